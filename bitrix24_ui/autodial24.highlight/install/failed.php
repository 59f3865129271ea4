<?php
/*
 * Why the module was not installed.
 */

if (!defined('B_PROLOG_INCLUDED') || B_PROLOG_INCLUDED !== true) {
	die();
}
global $APPLICATION;
$autodial24_why = $APPLICATION->GetException();
CAdminMessage::ShowMessage(is_object($autodial24_why) ? $autodial24_why->GetString() : '');
