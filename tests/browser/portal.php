<?php
/*
 * Small stubs of the portal's classes, for the tests of the module: they keep what they are told, and the
 * program prints it as JSON. Run as: php portal.php STEP [JSON]
 */

namespace Bitrix\Main\Localization {
	class Loc
	{
		public static $messages = array();
		public static function loadMessages($file)
		{
			$module = dirname($file, basename(dirname($file)) === 'install' ? 2 : 1);
			$inside = substr($file, strlen($module) + 1);
			foreach (array('ru', 'en') as $language) {
				$MESS = array();
				include "$module/lang/$language/$inside";
				self::$messages[$language][$inside] = $MESS;
			}
		}
		public static function getMessage($key, $replace = array())
		{
			foreach (self::$messages['ru'] as $known) {
				if (isset($known[$key])) {
					return strtr($known[$key], $replace);
				}
			}
			return null;
		}
	}
}

namespace Bitrix\Main\Config {
	class Option
	{
		public static $kept = array();
		public static function get($module, $name, $default = '')
		{
			return isset(self::$kept[$module][$name]) ? self::$kept[$module][$name] : $default;
		}
		public static function set($module, $name, $value) { self::$kept[$module][$name] = $value; }
		public static function delete($module) { unset(self::$kept[$module]); }
	}
}

namespace Bitrix\Main\Page {
	class Asset
	{
		public $strings = array();
		public $scripts = array();
		public static $throws = false;
		private static $one;
		public static function getInstance()
		{
			if (self::$throws) {
				throw new \TypeError('another version');
			}
			return self::$one = self::$one ?: new self();
		}
		public function addString($text, $unique = false) { $this->strings[] = $text; }
		public function addJs($path) { $this->scripts[] = $path; }
	}
}

namespace Bitrix\Main\Web {
	class Json
	{
		public static function encode($data)
		{
			if (defined('SITE_CHARSET') && strcasecmp(SITE_CHARSET, 'UTF-8') !== 0) {
				array_walk_recursive($data, function (&$text) {  /* as the portal's own does */
					$text = is_string($text) ? iconv(SITE_CHARSET, 'UTF-8', $text) : $text;
				});
			}
			return json_encode($data, JSON_HEX_TAG | JSON_HEX_AMP | JSON_HEX_APOS | JSON_HEX_QUOT | JSON_UNESCAPED_UNICODE);
		}
	}
}

namespace Bitrix\Main {
	class Loader
	{
		public static function registerAutoLoadClasses($module, $classes)
		{
			spl_autoload_register(function ($class) use ($module, $classes) {
				if (isset($classes[$class])) {
					require MODULE . '/' . $classes[$class];
				}
			});
		}
		public static function includeModule($module) { return true; }
	}
	class EventManager
	{
		public $handlers = array();
		private static $one;
		public static function getInstance() { return self::$one = self::$one ?: new self(); }
		public function registerEventHandler() { $this->handlers[] = implode(' ', func_get_args()); }
		public function unRegisterEventHandler()
		{
			$this->handlers = array_values(array_diff($this->handlers, array(implode(' ', func_get_args()))));
		}
	}
	class ModuleManager
	{
		public static $known = array();
		public static function registerModule($id) { self::$known[] = $id; }
		public static function unRegisterModule($id) { self::$known = array_values(array_diff(self::$known, array($id))); }
	}
}

namespace {
	class CModule {}
	class Redirected extends Exception {}
	class CAdminMessage
	{
		public static function ShowMessage($text) { echo 'ERROR: ' . $text . "\n"; }
		public static function ShowNote($text) { echo 'NOTE: ' . $text . "\n"; }
	}
	class User
	{
		public $admin = true;
		public $known = true;
		public function IsAdmin() { return $this->admin; }
		public function IsAuthorized() { return $this->known; }
	}
	class Thrown
	{
		private $text;
		public function __construct($text) { $this->text = $text; }
		public function GetString() { return $this->text; }
	}
	class Application
	{
		public $thrown = '';
		public function ThrowException($text) { $this->thrown = $text; }
		public function GetException() { return $this->thrown === '' ? false : new Thrown($this->thrown); }
		public $included = '';
		public function IncludeAdminFile($title, $file)
		{
			ob_start();
			include $file;
			$this->included = $title . ': ' . ob_get_clean();
		}
		public function GetCurPage() { return '/bitrix/admin/settings.php'; }
	}
	/* As the portal's own: what a folder's copy comes to, it does not say. */
	function CopyDirFiles($from, $to)
	{
		if (!is_dir($to)) {
			@mkdir($to, 0777, true);
		}
		foreach (scandir($from) as $name) {
			if ($name[0] !== '.') {
				@copy("$from/$name", "$to/$name");
			}
		}
		return true;
	}
	function DeleteDirFilesEx($path)
	{
		foreach (glob($_SERVER['DOCUMENT_ROOT'] . $path . '/*') as $file) {
			unlink($file);
		}
		rmdir($_SERVER['DOCUMENT_ROOT'] . $path);
	}
	function check_bitrix_sessid() { return isset($_POST['sessid']) && $_POST['sessid'] === 'known'; }
	function bitrix_sessid_post() { return '<input type="hidden" name="sessid" value="known">'; }
	function htmlspecialcharsbx($text) { return htmlspecialchars($text, ENT_COMPAT, 'UTF-8'); }
	function LocalRedirect($where) { throw new Redirected($where); }

	error_reporting(E_ALL);
	set_error_handler(function ($level, $text, $file, $line) {
		if (!(error_reporting() & $level)) {
			return false;
		}
		throw new ErrorException($text, 0, $level, $file, $line);
	});
	define('MODULE', $argv[1]);
	define('B_PROLOG_INCLUDED', true);
	define('LANGUAGE_ID', 'ru');
	$_SERVER['DOCUMENT_ROOT'] = $argv[2];
	$_SERVER['REQUEST_METHOD'] = 'GET';
	$USER = new User();
	$APPLICATION = new Application();
	$said = array();
	include MODULE . '/include.php';
	foreach (json_decode($argv[3], true) as $step) {
		switch ($step[0]) {
			case 'charset': define('SITE_CHARSET', $step[1]); break;
			case 'option': Bitrix\Main\Config\Option::set('autodial24.highlight', $step[1], $step[2]); break;
			case 'latin':  /* what a settings page of such a portal says, as people see it */
				Bitrix\Main\Localization\Loc::loadMessages(MODULE . '/options.php');
				$said[] = iconv(SITE_CHARSET, 'UTF-8', Bitrix\Main\Localization\Loc::getMessage('AUTODIAL24_HIGHLIGHT_ENABLED'));
				break;
			case 'visitor': $USER->admin = $USER->known = false; break;
			case 'employee': $USER->admin = false; break;
			case 'install':
			case 'uninstall':
				$_REQUEST = isset($step[1]) ? $step[1] : array();
				$_POST = array('sessid' => isset($step[1]['sessid']) ? $step[1]['sessid'] : '');
				include_once MODULE . '/install/index.php';
				$module = new autodial24_highlight();
				$said[] = $step[0] === 'install' ? $module->DoInstall() : $module->DoUninstall();
				$said[] = array(
					Bitrix\Main\EventManager::getInstance()->handlers, Bitrix\Main\ModuleManager::$known,
					Bitrix\Main\Config\Option::$kept, $APPLICATION->thrown, $module->MODULE_NAME,
					$APPLICATION->included,
				);
				break;
			case 'page':
				if (isset($step[1])) {
					Bitrix\Main\Page\Asset::$throws = true;
				}
				Autodial24\Highlight\Page::onEpilog();
				Bitrix\Main\Page\Asset::$throws = false;
				$asset = Bitrix\Main\Page\Asset::getInstance();
				$said[] = array($asset->strings, $asset->scripts);
				break;
			case 'settings':
				ob_start();
				$_SERVER['REQUEST_METHOD'] = isset($step[1]) ? 'POST' : 'GET';
				$_POST = isset($step[1]) ? $step[1] : array();
				try {
					include MODULE . '/options.php';
				} catch (Redirected $where) {
					echo 'REDIRECT ' . $where->getMessage();
				}
				$said[] = ob_get_clean();
				break;
			case 'messages':
				Bitrix\Main\Localization\Loc::loadMessages(MODULE . '/options.php');
				Bitrix\Main\Localization\Loc::loadMessages(MODULE . '/install/index.php');
				$said[] = Bitrix\Main\Localization\Loc::$messages;
				break;
		}
	}
	echo json_encode($said);
}
