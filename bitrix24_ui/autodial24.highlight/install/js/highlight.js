/*
 * Autodial24: shows on the portal's call card that the call comes from the autodialler.
 *
 * One script for the browser and for the desktop app's call window (which is built from a copy of the
 * main window's <head>), for portals of 2017 and later: ES5, nothing else needed. Configuration:
 *
 *   window.AUTODIAL_HIGHLIGHT = {
 *     enabled: true,               false: does nothing at all
 *     lines: ['autodial'],         numbers of the dialler's external lines; one with a word and a colour of
 *                                  its own is {line: 'autodial-debt', tag: 'DEBT', color: '#b71c1c'}
 *     tag: 'AUTODIAL',             the word; also what the lines' NAME contains (by default in Russian)
 *     color: '#6a1b9a',            of the header; the text on it is black or white, whichever reads better
 *     sound: '',                   address of a short sound, played once over all tabs; '' none
 *     link: true,                  look the task up and link to it (field: where the dialler writes the CALL_ID)
 *     field: 'UF_AUTODIAL_CALL'
 *   };
 *
 * Three rules. It never throws into the portal: a subscriber that throws can keep the genuine card from being
 * drawn. It never paints because a call was announced: another card may be on the screen, and that one
 * stays; what the card on the screen says decides. It never touches a card that is not the dialler's.
 *
 * This file is ASCII: a portal in windows-1251 serves it as what it is not.
 */
(function (root) {
'use strict';

var TEXTS = {
	ru: {
		task: '\u0417\u0430\u0434\u0430\u0447\u0430',
		open: '\u041e\u0442\u043a\u0440\u044b\u0442\u044c \u0437\u0430\u0434\u0430\u0447\u0443'
	},
	en: { task: 'Task', open: 'Open the task' }
};
/* Portals in a language of which we have no words take what the portal itself takes. */
var LIKE_RU = ' ru kz by uz ';
var DEFAULTS = {
	enabled: true, lines: ['autodial'], tag: '\u0410\u0412\u0422\u041e\u0414\u041e\u0417\u0412\u041e\u041d',
	color: '#6a1b9a', sound: '', link: false, field: 'UF_AUTODIAL_CALL', language: ''
};
/* Calls are remembered over tabs and windows for this long, in ms. */
var REMEMBERED = 6 * 3600 * 1000;
/* A lookup that takes longer is given up, in ms; the tab's title is looked after this often. */
var LOOKUP = 4000, TITLE = 1000;
/* After a lookup that found nothing, the next one so much later, in ms. */
var AGAIN = [1000, 3000, 8000];
var STORE = 'autodial-highlight-calls', PLAYED = 'autodial-highlight-played';

/* Pure functions: tested without a page. */

function settings(given) {
	var said = {}, key;
	given = given && typeof given === 'object' ? given : {};
	for (key in DEFAULTS) {
		said[key] = given[key] === undefined || given[key] === null ? DEFAULTS[key] : given[key];
	}
	if (!(said.lines instanceof Array)) { said.lines = said.lines ? [said.lines] : []; }
	said.tag = word(said.tag) || DEFAULTS.tag;
	said.color = color(said.color) || DEFAULTS.color;
	said.looks = [{ tag: said.tag, color: said.color }];
	for (key = 0; key < said.lines.length; key++) { said.lines[key] = line(said.lines[key], said); }
	return said;
}

/* As a browser gives a title back: one blank for several, and for what is no character. */
function word(text) {
	return typeof text === 'string' ? text.replace(/[\s\u0000-\u001f\u007f]+/g, ' ').replace(/^ | $/g, '') : '';
}

function color(text) { return /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.test(text) ? text : ''; }

/* A line and its look: words and colours of their own are added to the looks there are. */
function line(given, said) {
	var own = given && typeof given === 'object' ? given : { line: given }, n, look;
	look = { tag: word(own.tag) || said.tag, color: color(own.color) || said.color };
	for (n = 0; n < said.looks.length; n++) {
		if (said.looks[n].tag === look.tag && said.looks[n].color === look.color) { break; }
	}
	if (n === said.looks.length) { said.looks.push(look); }
	return { line: own.line, look: n };
}

/*
 * The look of a line (by its number and by its name, as an event or a card has them); -1: not one of the
 * dialler's. Behind the word a name may hold the title of a task, whatever words are in that: a name that
 * is the word, or begins with it and a colon, says more than one that holds it, and more than the number
 * of a line without a word of its own.
 */
function lookOf(number, name, config) {
	var n, byNumber = -1, begins = -1, inside = -1;
	for (n = 0; n < config.lines.length; n++) {
		if (named(number) && String(config.lines[n].line).toLowerCase() === String(number).toLowerCase()) {
			byNumber = config.lines[n].look;
			break;
		}
	}
	if (byNumber > 0) { return byNumber; }
	if (typeof name === 'string') {
		for (n = 0; n < config.looks.length; n++) {
			if (saysOnly(name, config.looks[n].tag)) { begins = longer(begins, n, config); }
			if (says(name, config.looks[n].tag)) { inside = longer(inside, n, config); }
		}
	}
	return begins >= 0 ? begins : byNumber >= 0 ? byNumber : inside;
}

function named(said) { return said !== undefined && said !== null && said !== ''; }

/* Of two words that fit, the longer: one may hold the other. */
function longer(one, other, config) {
	return one >= 0 && config.looks[one].tag.length >= config.looks[other].tag.length ? one : other;
}

function saysOnly(name, tag) {
	var text = name.toUpperCase();
	tag = tag.toUpperCase();
	return text === tag || text.indexOf(tag + ': ') === 0;
}

/* Is it there as a word, and not within another: DEBT is not in DEBTFORD? */
function says(text, tag) {
	var at = -1;
	text = text.toUpperCase();
	tag = tag.toUpperCase();
	while ((at = text.indexOf(tag, at + 1)) >= 0) {
		if (!isLetter(text.charAt(at - 1)) && !isLetter(text.charAt(at + tag.length))) { return true; }
	}
	return false;
}

function isLetter(sign) { return sign.toLowerCase() !== sign.toUpperCase() || (sign >= '0' && sign <= '9'); }

/* What stands behind the word in a line's name, as a pool of lines has it: the title of the task. */
function behindTag(text, tag) {
	var at = text.toUpperCase().indexOf(tag.toUpperCase() + ': ');
	return at < 0 ? '' : text.slice(at + tag.length + 2);
}

/* The call that a command of the portal announces; null: none. */
function announced(command, params, config) {
	if (command !== 'showExternalCall' && command !== 'invite') { return null; }
	if (!params || !params.callId) { return null; }
	var look = lookOf(params.lineNumber, params.companyPhoneNumber, config);
	/* The SIP connector: its line's title stands in phoneNumber. */
	if (look < 0 && command === 'invite') { look = lookOf('', params.phoneNumber, config); }
	return { id: String(params.callId), look: look, client: clientOf(params, command) };
}

/* Whom a call is with, as the portal tells its page. */
function clientOf(params, command) {
	var contact = params.CRM && params.CRM.CONTACT, number = command === 'invite' ? params.callerId : params.phoneNumber;
	if (contact && typeof contact.NAME === 'string' && word(contact.NAME)) { return word(contact.NAME); }
	/* The portal drops the plus of a whole number; one that begins otherwise never had one. */
	return typeof number === 'string' || typeof number === 'number' ? String(number).replace(/^(?=[1-79]\d{10})/, '+') : '';
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

/*
 * The tab's title with its mark, and without any. The messenger looks for its counter, "(3) ", at the
 * beginning only, and puts another one in front where it does not find it: the mark goes behind it.
 */
function marked(title, tag, config) {
	var plain = unmarked(title, config), counter = /^\(\d+\+?\) /.exec(plain), head = counter ? counter[0] : '';
	return head + '\u260e ' + tag + ' \u2014 ' + plain.slice(head.length);
}

function unmarked(title, config) {
	var tags = [], n, mark;
	for (n = 0; n < config.looks.length; n++) { tags.push(config.looks[n].tag); }
	tags.sort(function (one, other) { return other.length - one.length; });  /* one may begin as another */
	for (n = 0; n < tags.length; n++) {
		mark = '\u260e ' + tags[n] + ' \u2014';
		title = title.split(mark + ' ').join('').split(mark).join('');
	}
	return title;
}

/*
 * Calls known to be the dialler's, as JSON: with one more, and without those of long ago. Each has its
 * time, and one with a look of its own that look's word.
 */
function remembered(json, id, now, tag) {
	var known = parsed(json), kept = {}, key, at;
	for (key in known) {
		if (Object.prototype.hasOwnProperty.call(known, key)) {
			at = known[key] instanceof Array ? known[key][0] : known[key];
			if (typeof at === 'number' && now - at < REMEMBERED && at <= now + REMEMBERED) { kept[key] = known[key]; }
		}
	}
	if (id) { kept[id] = tag ? [now, tag] : now; }
	return JSON.stringify(kept);
}

/* The look of a call that was remembered; -1: none was. */
function recalled(json, id, config) {
	var known = parsed(json)[id], n;
	if (typeof known === 'number') { return 0; }
	if (!(known instanceof Array) || typeof known[0] !== 'number') { return -1; }
	for (n = 0; n < config.looks.length; n++) {
		if (config.looks[n].tag === known[1]) { return n; }
	}
	return 0;
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
	settings: settings, lookOf: lookOf, clientOf: clientOf, behindTag: behindTag, announced: announced, contrast: contrast,
	textOn: textOn, marked: marked, unmarked: unmarked, remembered: remembered, recalled: recalled, taskOf: taskOf
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
var calls = {};          /* by id: its look, -1 for not the dialler's, as events have said */
var clients = {};        /* by id: whom the call is with */
var shown = null;        /* the last card that said whose it is: {id, look} */
var present = false;     /* there was a card on the screen */
var ours = -1;           /* the look of the card on the screen; -1: it is not the dialler's */
var painted = null;      /* the title of the card that was painted, so that it is done once */
var titled = null;       /* a title and what was written over it, until it is seen there */
var timer = null;        /* looks after the tab's title while our card is open */
var watched = false;     /* the title was marked, and others may have kept it so and write it back */
var tasks = {};          /* by call: what a lookup found; false: asked, and nothing yet */
var asked = {};          /* by call: how often */
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
	clients[call.id] = call.client;
	learn(call.id, call.look);
}

function learn(id, look) {
	calls[id] = look;
	if (look >= 0) { store(STORE, remembered(stored(STORE), id, now(), look > 0 ? config.looks[look].tag : '')); }
	paintSoon();
}

/* The look of a call that we have heard of, here or in another window; -1: none. */
function known(id) {
	if (!id) { return -1; }
	return calls[id] !== undefined ? calls[id] : recalled(stored(STORE), id, config);
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
	var look = known(id);
	shown = {
		id: id, look: look >= 0 ? look : lookOf(data.LINE_NUMBER, data.LINE_NAME, config),
		named: named(data.LINE_NUMBER) || named(data.LINE_NAME)
	};
	learn(id, shown.look);
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

/* Whose is the card on the screen? Its look, -1 if another's, or null: nothing says so (a folded card has no title). */
function whose(title) {
	var open = view() || (title === '' && shown === null && isFolded() ? foldedBefore() : null), look;
	if (open && open.callId !== undefined) {
		look = known(open.callId);
		if (look < 0) { look = lookOf(open.lineNumber, open.companyPhoneNumber, config); }
		if (look >= 0) { return look; }
		/* Only where nobody has named a line the title's words decide. */
		if (calls[open.callId] !== undefined || named(open.lineNumber) || named(open.companyPhoneNumber)) { return -1; }
		return title === '' ? null : lookOf('', title, config);
	}
	if (shown !== null) { return shown.look >= 0 || shown.named ? shown.look : lookOf('', title, config); }
	return title === '' ? null : lookOf('', title, config);
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
		unmarkTab();
		return;
	}
	present = true;
	title = titleOf(card);
	text = title ? title.textContent || '' : '';
	said = whose(text);
	if (said === null) { said = ours; }
	if (said < 0) {
		if (ours >= 0) { forget(); }
		unmarkTab();
		return;
	}
	if (ours >= 0 && ours !== said) { forget(); }
	ours = said;
	id = callId();
	dress(card, title, text, nameOf(card, id));
	markTab();
	play(id);
	ask(id);
	link(card, id, text);
}

/* The client's name, as the card shows it, or as the portal told it with the call. */
function nameOf(card, id) {
	var shownName = first(card, 'crm-card-show-user-name-link'), name = shownName ? word(shownName.textContent) : '';
	if (name && id) { clients[id] = name; }
	return name || (id && clients[id]) || '';
}

var paintSoon = function () { window.setTimeout(safely(paint), 0); };

function isDressed(card) { return /(^|\s)autodial-call(\s|$)/.test(card.className); }

function holderOf(card) { return first(card, 'im-phone-call-header-container') || first(card, 'im-phone-calling-section'); }

function headerOf(card) { return first(card, 'im-phone-call-header') || first(card, 'im-phone-calling-section'); }

/* Our card: one class, and the word as a pseudo-element, which the portal's redrawing leaves alone. */
function dress(card, title, text, client) {
	var header, holder, before, tag = config.looks[ours].tag, said = isFolded() && client ? tag + '\n' + client : tag;
	addStyle();
	if (painted === text && isDressed(card)) {
		if (card.getAttribute('data-autodial') !== said) { card.setAttribute('data-autodial', said); }
		return;
	}
	undress(card);
	header = headerOf(card);
	before = header ? header.offsetHeight : 0;
	card.className += ' autodial-call autodial-look-' + ours;
	card.setAttribute('data-autodial', said);
	if (title) { title.setAttribute('data-autodial', tag); }
	holder = holderOf(card);
	if (holder && window.getComputedStyle(holder).position === 'static') { holder.className += ' autodial-call-anchor'; }
	/* No height may be added: the card's is fixed, and its buttons would be pushed out of it. */
	if (before && header.offsetHeight !== before) {
		header.style.boxSizing = 'border-box';
		header.style.height = before + 'px';
		header.style.overflow = 'hidden';
	}
	/* A card that is not visible yet could not be measured: once more when it is. (A folded one has no header.) */
	painted = before || !header ? text : null;
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
		node.className = node.className.replace(/(^|\s)autodial-(call|look-\d+)(?=\s|$)/g, '');
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
	ours = -1;
	painted = null;
	undress(null);
	unmarkTab();
}

function addStyle() {
	if (document.getElementById('autodial-call-style')) { return; }
	var style = document.createElement('style'), sheet = [], n, look;
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
			'content:attr(data-autodial);position:absolute;left:-3px;right:-3px;bottom:100%;margin-bottom:3px;padding:0 8px;' +
			'background:C;color:T;font:bold 12px/18px Arial,sans-serif;white-space:pre;overflow:hidden;text-overflow:ellipsis}',
		'.autodial-call-link{position:absolute;left:16px;right:110px;bottom:1px;height:14px;overflow:hidden;' +
			'font:11px/14px Arial,sans-serif;text-align:left;text-overflow:ellipsis;white-space:nowrap;' +
			'z-index:2}',
		'.im-phone-calling-section .autodial-call-link{bottom:auto;top:8px}',
		'.autodial-call .autodial-call-link{color:T!important}',
		'.autodial-call a.autodial-call-link{text-decoration:underline!important}',
		'.autodial-call .autodial-call-anchor{position:relative}'
	];
	for (n = 0; n < config.looks.length; n++) {
		look = config.looks[n];
		sheet.push(rules.join('\n').replace(/\bC\b/g, look.color).replace(/\bT\b/g, textOn(look.color))
			.replace(/\.autodial-call(?![-\w])/g, '.autodial-look-' + n));
	}
	style.id = 'autodial-call-style';
	style.appendChild(document.createTextNode(sheet.join('\n')));
	(document.head || document.getElementsByTagName('head')[0] || document.documentElement).appendChild(style);
}

/* The tab's title: the messenger and the sliders rewrite it now and then, so it is looked after. */
var markTab = safely(function () {
	if (window.PCW) { return; }
	watched = true;
	var wanted = marked(document.title, config.looks[ours].tag, config);
	if (document.title === wanted) {
		titled = null;
	} else if (titled !== document.title + wanted && marked(wanted, config.looks[ours].tag, config) === wanted) {
		/* (A browser may change what it is given: then once more would be for ever.) */
		titled = document.title + wanted;
		document.title = wanted;
	}
	if (timer === null) { timer = window.setInterval(safely(paint), TITLE); }
});

/*
 * Who has kept a title with the mark in it (a slider does, from its opening to its closing) writes it
 * back when our card is long gone: the observer of the page sees that; without one the timer stays.
 */
function unmarkTab() {
	if (timer !== null && window.MutationObserver) { window.clearInterval(timer); timer = null; }
	if (!watched || document.title.indexOf('\u260e') < 0) { return; }
	var plain = unmarked(document.title, config);
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

/*
 * 3. The task: asked for with a time limit; without an answer there is no link. The card is up a moment
 * before the dialler has written the call into the task: so again a few times, while the card is there.
 */
var ask = safely(function (id) {
	if (!config.link || !id || tasks[id] !== undefined) { return; }
	var rest = window.BX && window.BX.rest, filter = {}, late = false, limit;
	/* It may be loaded later, and is asked then. */
	if (!rest || !rest.callMethod) { return; }
	tasks[id] = false;
	asked[id] = (asked[id] || 0) + 1;
	filter[config.field] = id;
	limit = window.setTimeout(safely(function () { late = true; askLater(id); }), LOOKUP);
	rest.callMethod('tasks.task.list', { filter: filter, select: ['ID', 'TITLE'] }, safely(function (result) {
		window.clearTimeout(limit);
		if (late) { return; }
		var found = !result || (result.error && result.error()) ? null : taskOf(result.data ? result.data() : null, userId());
		if (!found) { askLater(id); return; }
		tasks[id] = found;
		paint();
	}));
});

function askLater(id) {
	var wait = AGAIN[asked[id] - 1];
	if (!wait) { return; }
	window.setTimeout(safely(function () {
		if (ours < 0 || callId() !== id) { return; }
		tasks[id] = undefined;
		ask(id);
	}), wait);
}

function userId() {
	try { return window.BX.message('USER_ID'); } catch (error) { return 0; }
}

function words() {
	var language = config.language;
	try { language = language || window.BX.message('LANGUAGE_ID'); } catch (error) { /* no BX yet */ }
	return LIKE_RU.indexOf(' ' + (language || 'ru') + ' ') >= 0 ? TEXTS.ru : TEXTS.en;
}

/* A line of its own at the foot of the header: the task with a link, or its title as a pool of lines has it. */
var link = safely(function (card, id, text) {
	var task = tasks[id], holder = holderOf(card), there = holder ? first(holder, 'autodial-call-link') : null, anchor;
	/* (The simple layout has room for the whole of it.) */
	var title = first(card, 'im-phone-call-title-text') ? behindTag(text, config.looks[ours].tag) : '';
	if (!holder) { return; }
	if (!task && !title) {
		if (there && there.getAttribute('data-call') !== id) { holder.removeChild(there); }
		return;
	}
	if (there) {
		if (there.getAttribute('data-call') === id && (!task || there.nodeName === 'A')) { return; }
		holder.removeChild(there);
	}
	if (!task) {
		anchor = document.createElement('span');
		anchor.className = 'autodial-call-link';
		anchor.setAttribute('data-call', id);
		anchor.title = anchor.textContent = title;
		holder.appendChild(anchor);
		return;
	}
	anchor = document.createElement('a');
	anchor.className = 'autodial-call-link';
	anchor.setAttribute('data-call', id);
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
