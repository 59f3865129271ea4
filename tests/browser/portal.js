/*
 * An imitation of the portal's page, for the tests of highlight.js: the documented DOM, events and their
 * order, of three generations. Our own code: it proves that the script does what the documents of the
 * portal ask for, not what a given portal does.
 *
 *   old      2017-2021: drawn at once, the view is BXIM.webrtc.phoneCallView, events go to all subscribers
 *   new      2022 on: drawn after a promise, the title later still; BX.PULL; the view cannot be reached, but
 *            BackgroundCallCard::initialized says whose card it is
 *   desktop  the app's call window: no events at all, the view is window.PCW
 */
(function () {
'use strict';

window.subscribers = {};
window.pullers = [];
window.intervals = 0;
var plain = { set: window.setInterval, clear: window.clearInterval };
window.setInterval = function () { window.intervals++; return plain.set.apply(window, arguments); };
window.clearInterval = function (id) { window.intervals--; return plain.clear.call(window, id); };
window.Audio = function (address) {
	this.play = function () {
		localStorage.setItem('heard', (localStorage.getItem('heard') || '') + address + ' ');
		return Promise.reject(new Error('not before the page was clicked'));
	};
};

window.makeBX = function (generation, user) {
	window.generation = generation;
	window.BX = {
		addCustomEvent: function (target, name, work) {
			(window.subscribers[name] = window.subscribers[name] || []).push(work);
		},
		message: function (name) { return { USER_ID: user || 1, LANGUAGE_ID: 'ru' }[name]; }
	};
	if (generation === 'old') {
		window.BXIM = { webrtc: { phoneCallView: null } };
	} else {
		window.BX.PULL = { subscribe: function (given) { window.pullers.push(given.callback); } };
	}
};

/* A subscriber that throws keeps those behind it, and the portal's own work, from happening. */
window.emit = function (name) {
	var given = Array.prototype.slice.call(arguments, 1);
	(window.subscribers[name] || []).slice().forEach(function (work) { work.apply(window, given); });
};

function element(name, children, text) {
	var node = document.createElement('div');
	node.className = name;
	(children || []).forEach(function (child) { node.appendChild(child); });
	if (text) { node.innerHTML = text; }
	return node;
}

function buttons() {
	return element('im-phone-call-buttons-container', [
		element('im-phone-call-btn im-phone-call-btn-green', [], 'Ответить'),
		element('im-phone-call-btn im-phone-call-btn-red', [], 'Закрыть')
	]);
}

function simple(title) {
	return element('im-phone-call-wrapper', [element('im-phone-call-container', [
		element('im-phone-calling-section', [element('im-phone-calling-text', [], title)]),
		element('im-phone-calling-progress-section', [element('im-phone-calling-process-status', [], 'Звонок')]),
		buttons()
	])]);
}

function crm(title) {
	var client = element('im-phone-call-crm-card', [element('crm-card-show-user-name-link', [], 'Пётр Петров')]);
	var level = element('im-phone-call-top-level', [element('im-phone-call-wrapper', [element('im-phone-call-container', [
		element('im-phone-call-header-container', [element('im-phone-call-header', [element('im-phone-call-title-text', [], title)])]),
		client,
		element('im-phone-call-section', [element('im-phone-call-status-description', [
			element('im-phone-call-status-description-item', [], 'Входящий звонок')])]),
		buttons(),
		element('im-phone-call-buttons-container-top', [element('im-phone-btn-arrow', [], 'Свернуть')])
	])])]);
	level.style.width = '550px';
	return level;
}

function panel() {
	return element(window.panelName || 'im-phone-call-panel-mini', [
		element('im-phone-call-panel-mini-time', [], '00:07'),
		element('im-phone-call-panel-mini-buttons', [], ''), element('im-phone-call-panel-mini-expand', [], '')
	]);
}

/* One card at a time: a call that comes while one is open gets none. */
window.card = null;

function Card(params) {
	var who = params.portalCall ? 'Звонок от коллеги' : 'Звонок от <span class="im-phone-call-title-number">+' + params.phoneNumber + '</span>';
	this.callId = params.callId;
	this.lineNumber = params.lineNumber;
	this.companyPhoneNumber = params.companyPhoneNumber;
	this.title = who + (params.companyPhoneNumber && !params.portalCall && !params.withoutName
		? ', поступил на номер ' + params.companyPhoneNumber : '');
	this.popup = element('popup-window', [this.content = element('popup-window-content')]);
	this.popup.id = 'im-phone-call-view';
}

Card.prototype.draw = function (layout, title) {
	var drawn = layout === 'crm' ? crm(title) : simple(title);
	this.layout = layout;
	if (this.root && this.root.parentNode) {  /* in the app's window there is no popup */
		this.root.parentNode.replaceChild(drawn, this.root);
		this.root = drawn;
		return;
	}
	this.content.innerHTML = '';
	this.content.appendChild(drawn);
};

Card.prototype.setTitle = function (title) {
	var node = document.querySelector('.im-phone-call-title-text, .im-phone-calling-text');
	if (node) { node.innerHTML = title; }
};

Card.prototype.fold = function () {
	this.popup.parentNode.removeChild(this.popup);
	document.body.appendChild(this.panel = panel());
};

Card.prototype.unfold = function () {
	document.body.removeChild(this.panel);
	this.draw(this.layout, this.title);
	document.body.appendChild(this.popup);
};

Card.prototype.close = function () {
	window.emit('CallCard::BeforeClose');
	[this.popup, this.panel, this.root].forEach(function (node) { if (node && node.parentNode) { node.parentNode.removeChild(node); } });
	window.card = null;
	if (window.BXIM) { window.BXIM.webrtc.phoneCallView = null; }
	delete window.PCW;
	window.emit('CallCard::AfterClose');
};

function open(params, layout) {
	var made;
	if (window.card) { return; }
	made = window.card = new Card(params);
	if (window.generation === 'old') {
		window.BXIM.webrtc.phoneCallView = made;
		made.draw(layout, made.title);
		document.body.appendChild(made.popup);
		window.emit('onPopupShow', { uniquePopupId: 'im-phone-call-view' });
		return;
	}
	if (window.generation === 'desktop') {
		window.PCW = made;
		made.draw(layout, made.title);
		document.body.className = 'im-desktop im-desktop-popup';
		document.body.appendChild(made.root = made.content.firstChild);
		return;
	}
	Promise.resolve().then(function () {
		made.draw(layout, '');
		document.body.appendChild(made.popup);
		window.emit('CallCard::EntityChanged', { PHONE_NUMBER: params.phoneNumber });
		if (params.command !== 'invite') {
			window.emit('BackgroundCallCard::initialized', {
				CALL_ID: params.callId, PHONE_NUMBER: params.phoneNumber,
				LINE_NUMBER: params.lineNumber, LINE_NAME: params.companyPhoneNumber
			});
		}
		window.emit('onPopupShow', { uniquePopupId: 'im-phone-call-view' });
		return new Promise(function (done) { window.setTimeout(done, 30); });
	}).then(function () { made.setTitle(made.title); });
}

/* A pull event: third parties first where they listen to events, then the portal draws. */
window.pull = function (command, params, layout) {
	if (window.generation === 'desktop') {
		open(params, layout || 'simple');
		return;
	}
	window.emit('onPullEvent-voximplant', command, params, {});
	params.command = command;
	open(params, layout || 'simple');
	window.pullers.forEach(function (work) {
		try { work({ command: command, params: params, extra: {} }); } catch (error) { window.thrown = String(error); }
	});
};

window.call = function (line, name, more) {
	var params = {
		callId: 'externalCall.' + Math.random().toString(16).slice(2), phoneNumber: '79990001122',
		lineNumber: line, companyPhoneNumber: name, portalCall: false, showCrmCard: true
	};
	Object.keys(more || {}).forEach(function (key) { params[key] = more[key]; });
	return params;
};
}());
