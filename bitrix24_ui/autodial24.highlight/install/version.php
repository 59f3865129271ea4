<?php
$arModuleVersion = array(
	'VERSION' => '1.1.0',
	'VERSION_DATE' => '2026-11-26 21:00:00',
);
