<?php
$MESS['AUTODIAL24_HIGHLIGHT_NAME'] = 'Autodial24: выделение звонков автодозвона';
$MESS['AUTODIAL24_HIGHLIGHT_DESCRIPTION'] = 'Выделяет карточку звонка, пришедшего от автодозвона, в браузере и в настольном приложении. Чужих файлов не меняет.';
$MESS['AUTODIAL24_HIGHLIGHT_NO_COPY'] = 'Не удалось скопировать файлы в #DIR#: проверьте права на запись.';
$MESS['AUTODIAL24_HIGHLIGHT_UNINSTALL'] = 'Удаление модуля Autodial24';
$MESS['AUTODIAL24_HIGHLIGHT_KEEP'] = 'Сохранить настройки (после обновления они останутся прежними)';
$MESS['AUTODIAL24_HIGHLIGHT_REMOVE'] = 'Удалить';
/* This file is UTF-8, and the portal may be in another encoding. */
if (defined('SITE_CHARSET') && strcasecmp(SITE_CHARSET, 'UTF-8') !== 0) {
	foreach ($MESS as $autodial24_key => $autodial24_text) {
		if (strpos($autodial24_key, 'AUTODIAL24_HIGHLIGHT_') === 0) {
			$MESS[$autodial24_key] = iconv('UTF-8', SITE_CHARSET . '//TRANSLIT', $autodial24_text);
		}
	}
}
