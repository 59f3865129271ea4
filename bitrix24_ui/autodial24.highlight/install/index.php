<?php
/*
 * Installs and uninstalls the highlight of Autodial24's calls. Touches no file of others: one event
 * handler, one folder of its own below /bitrix/js. PHP 7.1 and later.
 */

use Bitrix\Main\Config\Option;
use Bitrix\Main\EventManager;
use Bitrix\Main\Localization\Loc;
use Bitrix\Main\ModuleManager;

Loc::loadMessages(__FILE__);

class autodial24_highlight extends CModule
{
	public $MODULE_ID = 'autodial24.highlight';
	public $MODULE_VERSION;
	public $MODULE_VERSION_DATE;
	public $MODULE_NAME;
	public $MODULE_DESCRIPTION;
	public $PARTNER_NAME = 'Autodial24';
	public $PARTNER_URI = '';
	/* Only administrators may change settings; there are no rights to hand out. */
	public $MODULE_GROUP_RIGHTS = 'N';

	/** Where the script goes, below the document root. */
	const JS = '/bitrix/js/autodial24/highlight';

	public function __construct()
	{
		$arModuleVersion = array();
		include __DIR__ . '/version.php';
		$this->MODULE_VERSION = $arModuleVersion['VERSION'];
		$this->MODULE_VERSION_DATE = $arModuleVersion['VERSION_DATE'];
		$this->MODULE_NAME = Loc::getMessage('AUTODIAL24_HIGHLIGHT_NAME');
		$this->MODULE_DESCRIPTION = Loc::getMessage('AUTODIAL24_HIGHLIGHT_DESCRIPTION');
	}

	public function DoInstall()
	{
		global $USER, $APPLICATION;
		if (!is_object($USER) || !$USER->IsAdmin()) {
			return false;
		}
		$copy = $_SERVER['DOCUMENT_ROOT'] . self::JS . '/highlight.js';
		CopyDirFiles(__DIR__ . '/js', $_SERVER['DOCUMENT_ROOT'] . self::JS, true, true);
		/* The portal says "copied" whatever came of it, and shows nobody what an installation returns. */
		if (!is_file($copy) || md5_file($copy) !== md5_file(__DIR__ . '/js/highlight.js')) {
			$APPLICATION->ThrowException(Loc::getMessage('AUTODIAL24_HIGHLIGHT_NO_COPY', array('#DIR#' => self::JS)));
			$APPLICATION->IncludeAdminFile(Loc::getMessage('AUTODIAL24_HIGHLIGHT_NAME'), __DIR__ . '/failed.php');
			return false;
		}
		ModuleManager::registerModule($this->MODULE_ID);
		EventManager::getInstance()->registerEventHandler(
			'main', 'OnEpilog', $this->MODULE_ID, 'Autodial24\\Highlight\\Page', 'onEpilog'
		);
		return true;
	}

	/** In two steps, as the portal's own modules: what is to become of the settings is asked first. */
	public function DoUninstall()
	{
		global $USER, $APPLICATION;
		if (!is_object($USER) || !$USER->IsAdmin()) {
			return false;
		}
		if (!isset($_REQUEST['step']) || (int)$_REQUEST['step'] < 2 || !check_bitrix_sessid()) {
			$APPLICATION->IncludeAdminFile(Loc::getMessage('AUTODIAL24_HIGHLIGHT_UNINSTALL'), __DIR__ . '/unstep1.php');
			return false;
		}
		EventManager::getInstance()->unRegisterEventHandler(
			'main', 'OnEpilog', $this->MODULE_ID, 'Autodial24\\Highlight\\Page', 'onEpilog'
		);
		DeleteDirFilesEx(self::JS);
		@rmdir(dirname($_SERVER['DOCUMENT_ROOT'] . self::JS));  /* if nothing else of ours is there */
		if (!isset($_REQUEST['savedata']) || $_REQUEST['savedata'] !== 'Y') {
			Option::delete($this->MODULE_ID);
		}
		ModuleManager::unRegisterModule($this->MODULE_ID);
		return true;
	}
}
