<?php
/*
 * The settings page: /bitrix/admin/settings.php?mid=autodial24.highlight
 */

use Autodial24\Highlight\Settings;
use Bitrix\Main\Loader;
use Bitrix\Main\Localization\Loc;

if (!defined('B_PROLOG_INCLUDED') || B_PROLOG_INCLUDED !== true) {
	die();
}
global $USER, $APPLICATION;
if (!$USER->IsAdmin() || !Loader::includeModule('autodial24.highlight')) {
	return;
}
Loc::loadMessages(__FILE__);

$values = Settings::read();
$wrong = array();
if ($_SERVER['REQUEST_METHOD'] === 'POST' && isset($_POST['autodial24']) && check_bitrix_sessid()) {
	$given = is_array($_POST['autodial24']) ? $_POST['autodial24'] : array();
	foreach ($values as $name => $value) {
		$values[$name] = isset($given[$name]) && is_string($given[$name]) ? trim($given[$name]) : '';
	}
	foreach (array('enabled', 'link') as $name) {
		$values[$name] = $values[$name] === 'Y' ? 'Y' : 'N';
	}
	$wrong = Settings::write($values);
	if ($wrong === array()) {
		LocalRedirect($APPLICATION->GetCurPage() . '?mid=autodial24.highlight&lang=' . LANGUAGE_ID . '&saved=Y');
	}
}
foreach ($wrong as $message) {
	CAdminMessage::ShowMessage(Loc::getMessage($message));
}
if (isset($_GET['saved']) && $wrong === array()) {
	CAdminMessage::ShowNote(Loc::getMessage('AUTODIAL24_HIGHLIGHT_SAVED'));
}
?>
<form method="post" action="<?= htmlspecialcharsbx($APPLICATION->GetCurPage() . '?mid=autodial24.highlight&lang=' . LANGUAGE_ID) ?>">
<?= bitrix_sessid_post() ?>
<table class="adm-detail-content-table edit-table">
<?php foreach ($values as $name => $value): ?>
	<tr>
		<td width="40%"><label for="autodial24-<?= $name ?>"><?= htmlspecialcharsbx(Loc::getMessage('AUTODIAL24_HIGHLIGHT_' . strtoupper($name))) ?></label></td>
		<td width="60%">
		<?php if ($name === 'enabled' || $name === 'link'): ?>
			<input type="checkbox" id="autodial24-<?= $name ?>" name="autodial24[<?= $name ?>]" value="Y"<?= $value === 'Y' ? ' checked' : '' ?>>
		<?php else: ?>
			<input type="text" size="50" id="autodial24-<?= $name ?>" name="autodial24[<?= $name ?>]" value="<?= htmlspecialcharsbx($value) ?>">
		<?php endif; ?>
		</td>
	</tr>
<?php endforeach; ?>
</table>
<input type="submit" class="adm-btn-save" value="<?= htmlspecialcharsbx(Loc::getMessage('AUTODIAL24_HIGHLIGHT_SAVE')) ?>">
</form>
