<?php
\Bitrix\Main\Loader::registerAutoLoadClasses('autodial24.highlight', array(
	'Autodial24\\Highlight\\Page' => 'lib/page.php',
	'Autodial24\\Highlight\\Settings' => 'lib/settings.php',
));
