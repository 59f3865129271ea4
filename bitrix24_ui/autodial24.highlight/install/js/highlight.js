/*
 * Autodial24: shows on the portal's call card that the call comes from the autodialler.
 *
 * One script for the browser and for the desktop app's call window (which is built from a copy of the
 * main window's <head>), for portals of 2017 and later: ES5, nothing else needed. Configuration:
 *
 *   window.AUTODIAL_HIGHLIGHT = {
 *     enabled: true,               false: does nothing at all
 *     lines: ['autodial'],         numbers of the dialler's external lines
 *     tag: 'АВТОДОЗВОН',           the word; also what the lines' NAME contains
 *     color: '#6a1b9a',            of the header; the text on it is black or white, whichever reads better
 *     sound: '',                   address of a short sound, played once over all tabs; '' none
 *     link: true,                  look the task up and link to it (field: where the dialler writes the CALL_ID)
 *     field: 'UF_AUTODIAL_CALL'
 *   };
 *
 * Three rules. It never throws into the portal: a subscriber that throws can keep the genuine card from being
 * drawn. It never paints because a call was announced: another card may be on the screen, and that one
 * stays; what the card on the screen says decides. It never touches a card that is not the dialler's.
 */
(function (root) {
'use strict';

var TEXTS = {
	ru: { task: 'Задача', open: 'Открыть задачу' },
	en: { task: 'Task', open: 'Open the task' }
};
var DEFAULTS = {
	enabled: true, lines: ['autodial'], tag: 'АВТОДОЗВОН', color: '#6a1b9a', sound: '', link: false,
	field: 'UF_AUTODIAL_CALL', language: ''
};
/* Calls are remembered over tabs and windows for this long, in ms. */
var REMEMBERED = 6 * 3600 * 1000;
/* A lookup that takes longer is given up, in ms; the tab's title is looked after this often. */
var LOOKUP = 4000, TITLE = 1000;
var STORE = 'autodial-highlight-calls', PLAYED = 'autodial-highlight-played';

/* Pure functions: tested without a page. */

function settings(given) {
	var said = {}, key;
	given = given && typeof given === 'object' ? given : {};
	for (key in DEFAULTS) {
		said[key] = given[key] === undefined || given[key] === null ? DEFAULTS[key] : given[key];
	}
	if (!(said.lines instanceof Array)) { said.lines = said.lines ? [said.lines] : []; }
	/* As a browser gives a title back: one blank for several. */
	said.tag = String(said.tag).replace(/\s+/g, ' ').replace(/^ | $/g, '') || DEFAULTS.tag;
	if (!/^#([0-9a-f]{3}|[0-9a-f]{6})$/i.test(said.color)) { said.color = DEFAULTS.color; }
	return said;
}

/* Is a line (by its number and by its name, as an event or a card has them) one of the dialler's? */
function isOurLine(number, name, config) {
	var n;
	for (n = 0; n < config.lines.length; n++) {
		if (number !== undefined && number !== null && number !== '' &&
			String(config.lines[n]).toLowerCase() === String(number).toLowerCase()) { return true; }
	}
	return hasTag(name, config);
}

function hasTag(text, config) {
	return typeof text === 'string' && text.toUpperCase().indexOf(config.tag.toUpperCase()) >= 0;
}

/* The call that a command of the portal announces; null: none. */
function announced(command, params, config) {
	if (command !== 'showExternalCall' && command !== 'invite') { return null; }
	if (!params || !params.callId) { return null; }
	var ours = isOurLine(params.lineNumber, params.companyPhoneNumber, config) ||
		/* The SIP connector: its line's title stands in phoneNumber. */
		(command === 'invite' && hasTag(params.phoneNumber, config));
	return { id: String(params.callId), ours: ours };
}

/* WCAG's relative luminance of #rgb or #rrggbb, and the contrast of two colours. */
function luminance(color) {
	var hex = color.slice(1), parts = [], n, value;
	if (hex.length === 3) { hex = hex.replace(/(.)/g, '$1$1'); }
	for (n = 0; n < 3; n++) {
		value = parseInt(hex.substr(2 * n, 2), 16) / 255;
		parts.push(value <= 0.03928 ? value / 12.92 : Math.pow((value + 0.055) / 1.055, 2.4));
	}
	return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}

function contrast(one, other) {
	var a = luminance(one) + 0.05, b = luminance(other) + 0.05;
	return a > b ? a / b : b / a;
}

function textOn(color) {
	return contrast(color, '#ffffff') >= contrast(color, '#000000') ? '#ffffff' : '#000000';
}

/* The tab's title with its mark, and without it. */
function marked(title, tag) { return '\u260e ' + tag + ' \u2014 ' + unmarked(title, tag); }

function unmarked(title, tag) {
	var mark = '\u260e ' + tag + ' \u2014';
	while (title.indexOf(mark) === 0) { title = title.slice(mark.length).replace(/^ /, ''); }
	return title;
}

/* Calls known to be the dialler's, as JSON: with one more, and without those of long ago. */
function remembered(json, id, now) {
	var known = parsed(json), kept = {}, key;
	for (key in known) {
		if (Object.prototype.hasOwnProperty.call(known, key) && typeof known[key] === 'number' &&
			now - known[key] < REMEMBERED && known[key] <= now + REMEMBERED) { kept[key] = known[key]; }
	}
	if (id) { kept[id] = now; }
	return JSON.stringify(kept);
}

function parsed(json) {
	try {
		var said = JSON.parse(json || '{}');
		return said && typeof said === 'object' ? said : {};
	} catch (error) {
		return {};
	}
}

/* The task that a lookup found, and where it is; null: none, or not what we asked for. */
function taskOf(answer, user) {
	var tasks = answer && answer.tasks ? answer.tasks : answer, task = tasks instanceof Array ? tasks[0] : null;
	var id = task ? parseInt(task.id || task.ID, 10) : 0;
	if (!(id > 0)) { return null; }
	return {
		id: id,
		title: String(task.title || task.TITLE || ''),
		href: '/company/personal/user/' + (parseInt(user, 10) || 0) + '/tasks/task/view/' + id + '/'
	};
}

var pure = {
	settings: settings, isOurLine: isOurLine, hasTag: hasTag, announced: announced, contrast: contrast,
	textOn: textOn, marked: marked, unmarked: unmarked, remembered: remembered, taskOf: taskOf
};
if (!root || !root.document) {
	module.exports = pure;  /* under node, for its tests */
	return;
}

/* The page. */

var window = root, document = root.document;
if (window.AUTODIAL_HIGHLIGHT_RUNS) { return; }
window.AUTODIAL_HIGHLIGHT_RUNS = true;

var config;
var calls = {};          /* by id: is it the dialler's? as events have said */
var shown = null;        /* the last card that said whose it is: {id, ours} */
var present = false;     /* there was a card on the screen */
var ours = false;        /* the card on the screen is the dialler's */
var painted = null;      /* the title of the card that was painted, so that it is done once */
var titled = null;       /* a title and what was written over it, until it is seen there */
var timer = null;        /* looks after the tab's title while our card is open */
var tasks = {};          /* by call: what a lookup found; false: asked, and nothing yet */
var played = {};

/* Everything that is called from outside is wrapped: nothing is thrown into the portal. */
function safely(work) {
	return function () {
		try { return work.apply(null, arguments); } catch (error) { /* the card is more important than its colour */ }
	};
}

function stored(key) {
	try { return window.localStorage.getItem(key); } catch (error) { return null; }
}

function store(key, value) {
	try { window.localStorage.setItem(key, value); } catch (error) { /* private mode, or full */ }
}

function now() { return new Date().getTime(); }

/* 1. Recognise. */

function heard(command, params) {
	var call = announced(command, params, config);
	if (call === null) { return; }
	calls[call.id] = call.ours;
	if (call.ours) { store(STORE, remembered(stored(STORE), call.id, now())); }
	paintSoon();
}

function isKnown(id) {
	if (!id) { return false; }
	if (calls[id] !== undefined) { return calls[id]; }
	return typeof parsed(stored(STORE))[id] === 'number';
}

/* The portal's own view of the open card, where it can be reached: in the app's window, and until 2021. */
function view() {
	try {
		if (window.PCW) { return window.PCW; }
		return window.BXIM && window.BXIM.webrtc && window.BXIM.webrtc.phoneCallView || null;
	} catch (error) {
		return null;
	}
}

function callId() {
	var open = view();
	if (open && open.callId) { return String(open.callId); }
	return shown ? shown.id : '';
}

function initialized(data) {
	if (!data || !data.CALL_ID) { return; }
	var id = String(data.CALL_ID);
	shown = { id: id, ours: isKnown(id) || isOurLine(data.LINE_NUMBER, data.LINE_NAME, config) };
	calls[id] = shown.ours;
	if (shown.ours) { store(STORE, remembered(stored(STORE), id, now())); }
	paintSoon();
}

function closed() {
	shown = null;
	forget();
	paintSoon();
}

function isFolded() { return folded.length + folded18.length > 0; }

/* A card that was folded on the page before, and is unfolded from the portal's memory of it. */
function foldedBefore() {
	try {
		var kept = window.BX.localStorage.get('vox-folded-call-card'), its = kept && kept.callView || kept;
		return its ? { callId: kept.callId || its.callId, companyPhoneNumber: its.companyPhoneNumber } : null;
	} catch (error) {
		return null;
	}
}

/* Whose is the card on the screen? true, false, or null: nothing says so (a folded card has no title). */
function whose(title) {
	var open = view() || (title === '' && shown === null && isFolded() ? foldedBefore() : null);
	if (open && open.callId !== undefined) {
		if (isKnown(open.callId) || isOurLine(open.lineNumber, open.companyPhoneNumber, config)) { return true; }
		if (title !== '') { return hasTag(title, config); }
		return null;
	}
	if (shown !== null) { return shown.ours || hasTag(title, config); }
	return title === '' ? null : hasTag(title, config);
}

/* 2. Paint. */

var wrappers = document.getElementsByClassName('im-phone-call-wrapper');
var levels = document.getElementsByClassName('im-phone-call-top-level');
var folded = document.getElementsByClassName('im-phone-call-panel-mini');
var folded18 = document.getElementsByClassName('im-phone-call-panel-mini-container');  /* end of 2017 */
var dressed = document.getElementsByClassName('autodial-call');

function element() {
	var n;
	if (folded.length) { return folded[folded.length - 1]; }
	if (folded18.length) { return folded18[folded18.length - 1]; }
	if (levels.length) { return levels[levels.length - 1]; }
	for (n = wrappers.length - 1; n >= 0; n--) {
		/* (The bar of a call list that was put aside is no card.) */
		if (wrappers[n].className.indexOf('im-phone-call-wrapper-fixed') < 0) { return wrappers[n]; }
	}
	return null;
}

function first(node, name) {
	var found = node.getElementsByClassName(name);
	return found.length ? found[0] : null;
}

function titleOf(node) {
	return first(node, 'im-phone-call-title-text') || first(node, 'im-phone-calling-text');
}

function paint() {
	var card = element(), title, text, said, id;
	if (card === null) {
		if (present) {
			present = false;
			shown = null;
			forget();
		}
		return;
	}
	present = true;
	title = titleOf(card);
	text = title ? title.textContent || '' : '';
	said = whose(text);
	if (said === null) { said = ours; }
	if (!said) {
		if (ours) { forget(); }
		return;
	}
	ours = true;
	dress(card, title, text);
	id = callId();
	markTab();
	play(id);
	ask(id);
	link(card, id);
}

var paintSoon = function () { window.setTimeout(safely(paint), 0); };

function isDressed(card) { return /(^|\s)autodial-call(\s|$)/.test(card.className); }

function holderOf(card) { return first(card, 'im-phone-call-header-container') || first(card, 'im-phone-calling-section'); }

function headerOf(card) { return first(card, 'im-phone-call-header') || first(card, 'im-phone-calling-section'); }

/* Our card: one class, and the word as a pseudo-element, which the portal's redrawing leaves alone. */
function dress(card, title, text) {
	var header, holder, before;
	addStyle();
	if (painted === text && isDressed(card)) { return; }
	undress(card);
	header = headerOf(card);
	before = header ? header.offsetHeight : 0;
	card.className += ' autodial-call';
	card.setAttribute('data-autodial', config.tag);
	if (title) { title.setAttribute('data-autodial', config.tag); }
	holder = holderOf(card);
	if (holder && window.getComputedStyle(holder).position === 'static') { holder.className += ' autodial-call-anchor'; }
	/* No height may be added: the card's is fixed, and its buttons would be pushed out of it. */
	if (before && header.offsetHeight !== before) {
		header.style.boxSizing = 'border-box';
		header.style.height = before + 'px';
		header.style.overflow = 'hidden';
	}
	/* A card that is not visible yet could not be measured: once more when it is. */
	painted = before ? text : null;
}

/* All is as it was, but for the link of a card that stays. */
function undress(stays) {
	var nodes = [], n, node, title, header, holder, anchor;
	for (n = 0; n < dressed.length; n++) { nodes.push(dressed[n]); }
	for (n = 0; n < nodes.length; n++) {
		node = nodes[n];
		title = titleOf(node);
		header = headerOf(node);
		anchor = node === stays ? null : first(node, 'autodial-call-link');
		node.className = node.className.replace(/(^|\s)autodial-call(?=\s|$)/g, '');
		node.removeAttribute('data-autodial');
		if (title) { title.removeAttribute('data-autodial'); }
		if (header) {
			header.style.height = header.style.overflow = header.style.boxSizing = '';
			if (!header.getAttribute('style')) { header.removeAttribute('style'); }
		}
		holder = holderOf(node);
		if (holder) { holder.className = holder.className.replace(/(^|\s)autodial-call-anchor(?=\s|$)/g, ''); }
		if (anchor) { anchor.parentNode.removeChild(anchor); }
	}
}

/* The card has gone, or another one stands there. */
function forget() {
	ours = false;
	painted = null;
	undress(null);
	unmarkTab();
}

function addStyle() {
	if (document.getElementById('autodial-call-style')) { return; }
	var style = document.createElement('style'), text = textOn(config.color);
	var rules = [
		/* both layouts: a header in one colour, and text that reads on it */
		'.autodial-call .im-phone-call-header-container,.autodial-call .im-phone-calling-section{background:C!important}',
		'.autodial-call .im-phone-call-title-text,.autodial-call .im-phone-call-title-text *,' +
			'.autodial-call .im-phone-calling-text,.autodial-call .im-phone-calling-text *{color:T!important}',
		'.autodial-call .im-phone-call-header{border-bottom-color:transparent!important}',
		/* one line, with room for the button that folds the card */
		'.autodial-call .im-phone-call-title-text{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;' +
			'padding-right:90px;box-sizing:border-box}',
		'.autodial-call .im-phone-call-title-text:before,.autodial-call .im-phone-calling-text:before{' +
			'content:attr(data-autodial);display:inline-block;padding:0 7px;border-radius:3px;white-space:nowrap;' +
			'background:T;color:C;font:bold 12px/18px Arial,sans-serif;vertical-align:1px}',
		'.autodial-call .im-phone-call-title-text:before{margin-right:8px}',
		/* the simple layout has room above its title */
		'.autodial-call .im-phone-calling-text:before{position:absolute;left:16px;top:28px;font-size:14px;line-height:22px}',
		'.autodial-call .im-phone-btn-arrow{color:T!important;background:transparent!important}',
		/* the folded panel has no title */
		'.im-phone-call-panel-mini.autodial-call,.im-phone-call-panel-mini-container.autodial-call{' +
			'outline:3px solid C!important;overflow:visible!important}',
		'.im-phone-call-panel-mini.autodial-call:before,.im-phone-call-panel-mini-container.autodial-call:before{' +
			'content:attr(data-autodial);position:absolute;left:-3px;bottom:100%;margin-bottom:3px;padding:0 8px;background:C;color:T;font:bold 12px/20px Arial,sans-serif;' +
			'white-space:nowrap}',
		'.autodial-call-link{position:absolute;left:16px;right:110px;bottom:1px;height:14px;overflow:hidden;' +
			'font:11px/14px Arial,sans-serif;text-align:left;text-overflow:ellipsis;white-space:nowrap;' +
			'color:T!important;text-decoration:underline!important;z-index:2}',
		'.im-phone-calling-section .autodial-call-link{bottom:auto;top:8px}',
		'.autodial-call-anchor{position:relative}'
	];
	style.id = 'autodial-call-style';
	style.appendChild(document.createTextNode(rules.join('\n').replace(/\bC\b/g, config.color).replace(/\bT\b/g, text)));
	(document.head || document.getElementsByTagName('head')[0] || document.documentElement).appendChild(style);
}

/* The tab's title: the messenger of 2017-2019 rewrites it now and then, so it is looked after. */
var markTab = safely(function () {
	if (window.PCW) { return; }
	var wanted = marked(document.title, config.tag);
	if (document.title === wanted) {
		titled = null;
	} else if (titled !== document.title + wanted) {
		/* (A browser may change what it is given: then once more would be for ever.) */
		titled = document.title + wanted;
		document.title = wanted;
	}
	if (timer === null) { timer = window.setInterval(function () { if (ours) { markTab(); } }, TITLE); }
});

function unmarkTab() {
	if (timer !== null) { window.clearInterval(timer); timer = null; }
	var plain = unmarked(document.title, config.tag);
	if (document.title !== plain) { document.title = plain; }
}

/* Once over all tabs and windows: who has the last word on the call's id, a moment later, plays. */
var play = safely(function (id) {
	if (!config.sound || !id || played[id]) { return; }
	played[id] = true;
	if (String(stored(PLAYED)).indexOf(id + ' ') === 0) { return; }
	var mine = id + ' ' + Math.random();
	store(PLAYED, mine);
	window.setTimeout(safely(function () {
		if (stored(PLAYED) !== mine) { return; }
		var playing = new window.Audio(config.sound).play();
		if (playing && playing['catch']) { playing['catch'](function () { /* not before the page was clicked */ }); }
	}), 150);
});

/* 3. The task: asked for once a call, with a time limit; without an answer there is no link. */
var ask = safely(function (id) {
	if (!config.link || !id || tasks[id] !== undefined) { return; }
	tasks[id] = false;
	var rest = window.BX && window.BX.rest, filter = {}, late = false, limit;
	if (!rest || !rest.callMethod) { return; }
	filter[config.field] = id;
	limit = window.setTimeout(function () { late = true; }, LOOKUP);
	rest.callMethod('tasks.task.list', { filter: filter, select: ['ID', 'TITLE'] }, safely(function (result) {
		window.clearTimeout(limit);
		if (late || !result || (result.error && result.error())) { return; }
		tasks[id] = taskOf(result.data ? result.data() : null, userId()) || false;
		paint();
	}));
});

function userId() {
	try { return window.BX.message('USER_ID'); } catch (error) { return 0; }
}

function words() {
	var language = config.language;
	try { language = language || window.BX.message('LANGUAGE_ID'); } catch (error) { /* no BX yet */ }
	return TEXTS[language] || TEXTS.ru;
}

var link = safely(function (card, id) {
	var task = tasks[id], holder, anchor;
	if (!task) { return; }
	holder = holderOf(card);
	if (!holder || first(holder, 'autodial-call-link')) { return; }
	anchor = document.createElement('a');
	anchor.className = 'autodial-call-link';
	anchor.href = task.href;
	anchor.target = '_blank';
	anchor.title = words().open + ' ' + task.id;
	/* textContent: a title is what somebody typed. */
	anchor.textContent = words().task + ' ' + task.id + ': ' + task.title;
	holder.appendChild(anchor);
});

/* 4. Begin. */

function inSlider() {
	try { return window.top !== window && !window.PCW; } catch (error) { return true; }
}

var subscribed = false;

function subscribe() {
	var BX = window.BX;
	if (subscribed || !BX || !BX.addCustomEvent) { return; }
	subscribed = true;
	if (BX.PULL && BX.PULL.subscribe) {
		/* Runs after the portal's own handler. */
		BX.PULL.subscribe({ moduleId: 'voximplant', callback: safely(function (data) {
			if (data) { heard(data.command, data.params); }
		}) });
	} else {
		BX.addCustomEvent(window, 'onPullEvent-voximplant', safely(heard));
	}
	BX.addCustomEvent(window, 'BackgroundCallCard::initialized', safely(initialized));
	BX.addCustomEvent(window, 'CallCard::EntityChanged', safely(paintSoon));
	BX.addCustomEvent(window, 'CallCard::CallStateChanged', safely(paintSoon));
	BX.addCustomEvent(window, 'onPopupShow', safely(paintSoon));
	BX.addCustomEvent(window, 'CallCard::AfterClose', safely(closed));
}

function start() {
	subscribe();
	paint();
}

safely(function () {
	config = settings(window.AUTODIAL_HIGHLIGHT);
	if (!config.enabled || inSlider()) { return; }
	if (window.MutationObserver) {
		/* The card is drawn anew when its content arrives, and when it is folded. */
		new window.MutationObserver(safely(paint)).observe(
			document.documentElement, { childList: true, subtree: true, characterData: true }
		);
	}
	/* Another window of the app, or another tab, has learnt of a call. */
	window.addEventListener('storage', safely(paint));
	start();
	document.addEventListener('DOMContentLoaded', safely(start));
	window.addEventListener('load', safely(start));
})();

}(typeof window === 'undefined' ? null : window));
