<?php
$autodial24_highlight_default_option = array(
	'enabled' => 'Y',
	'lines' => 'autodial',
	'tag' => 'АВТОДОЗВОН',
	'color' => '#6a1b9a',
	'sound' => '',
	'link' => 'N',
	'field' => 'UF_AUTODIAL_CALL',
);
