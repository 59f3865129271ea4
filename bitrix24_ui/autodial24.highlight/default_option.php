<?php
/*
 * The word is written in ASCII, and comes in the portal's own encoding: a portal in windows-1251 would
 * take these letters for others.
 */
$autodial24_highlight_tag = json_decode('"\\u0410\\u0412\\u0422\\u041e\\u0414\\u041e\\u0417\\u0412\\u041e\\u041d"');
if (defined('SITE_CHARSET') && strcasecmp(SITE_CHARSET, 'UTF-8') !== 0) {
	$autodial24_highlight_tag = iconv('UTF-8', SITE_CHARSET, $autodial24_highlight_tag);
}
$autodial24_highlight_default_option = array(
	'enabled' => 'Y',
	'lines' => 'autodial',
	'tag' => $autodial24_highlight_tag,
	'color' => '#6a1b9a',
	'sound' => '',
	'link' => 'N',
	'field' => 'UF_AUTODIAL_CALL',
);
