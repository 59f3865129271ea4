<?php
/*
 * Puts the script into the head of each page of the portal that a person opens; the desktop app's
 * main window is one of them, and its call window is built from a copy of that head.
 */

namespace Autodial24\Highlight;

use Bitrix\Main\Page\Asset;
use Bitrix\Main\Web\Json;

class Page
{
	const JS = '/bitrix/js/autodial24/highlight/highlight.js';

	/** Event handler of main, OnEpilog: before the head is sent, on whole pages only. */
	public static function onEpilog()
	{
		try {
			global $USER;
			if ((defined('ADMIN_SECTION') && ADMIN_SECTION === true) || !is_object($USER) || !$USER->IsAuthorized()) {
				return;
			}
			$values = Settings::read();
			if ($values['enabled'] !== 'Y') {
				return;
			}
			$asset = Asset::getInstance();
			/* data-skip-moving: stays in the head where a portal moves its scripts to the end of the body. */
			$asset->addString(
				'<script data-skip-moving="true">window.AUTODIAL_HIGHLIGHT=' .
				Json::encode(Settings::forScript($values)) . ';</script>',
				true
			);
			self::bringUpToDate();
			$asset->addJs(self::JS);
		} catch (\Throwable $error) {
			/* A page never fails for its highlight. */
		}
	}

	/**
	 * Who updates the module by copying its files has a new script here and the old one in the pages:
	 * the portal adds the file's time to its address, so that a copy made now is loaded anew.
	 */
	private static function bringUpToDate()
	{
		$own = dirname(__DIR__) . '/install/js/highlight.js';
		$copy = $_SERVER['DOCUMENT_ROOT'] . self::JS;
		if (!is_file($copy) || md5_file($copy) !== md5_file($own)) {
			CopyDirFiles(dirname($own), dirname($copy), true, true);
		}
	}
}
