<?php
/*
 * Before uninstalling: are the settings to be kept? An update is an uninstalling and an installing.
 */

use Bitrix\Main\Localization\Loc;

if (!defined('B_PROLOG_INCLUDED') || B_PROLOG_INCLUDED !== true) {
	die();
}
Loc::loadMessages(__DIR__ . '/index.php');
global $APPLICATION;
?>
<form action="<?= htmlspecialcharsbx($APPLICATION->GetCurPage()) ?>">
<?= bitrix_sessid_post() ?>
<input type="hidden" name="lang" value="<?= LANGUAGE_ID ?>">
<input type="hidden" name="id" value="autodial24.highlight">
<input type="hidden" name="uninstall" value="Y">
<input type="hidden" name="step" value="2">
<p><label><input type="checkbox" name="savedata" value="Y" checked> <?= htmlspecialcharsbx(Loc::getMessage('AUTODIAL24_HIGHLIGHT_KEEP')) ?></label></p>
<input type="submit" value="<?= htmlspecialcharsbx(Loc::getMessage('AUTODIAL24_HIGHLIGHT_REMOVE')) ?>">
</form>
