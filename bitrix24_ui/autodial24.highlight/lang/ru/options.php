<?php
$MESS['AUTODIAL24_HIGHLIGHT_ENABLED'] = 'Выделять звонки автодозвона';
$MESS['AUTODIAL24_HIGHLIGHT_LINES'] = 'Номера внешних линий автодозвона, через запятую; со своим словом и цветом: autodial-debt=ДОЛГ #b71c1c';
$MESS['AUTODIAL24_HIGHLIGHT_TAG'] = 'Слово на карточке (то же, что в названии линии)';
$MESS['AUTODIAL24_HIGHLIGHT_COLOR'] = 'Цвет шапки, #rrggbb';
$MESS['AUTODIAL24_HIGHLIGHT_SOUND'] = 'Адрес короткого звука; пусто: без звука';
$MESS['AUTODIAL24_HIGHLIGHT_LINK'] = 'Показывать на карточке ссылку на задачу';
$MESS['AUTODIAL24_HIGHLIGHT_FIELD'] = 'Поле задачи, куда автодозвон пишет номер звонка';
$MESS['AUTODIAL24_HIGHLIGHT_SAVE'] = 'Сохранить';
$MESS['AUTODIAL24_HIGHLIGHT_SAVED'] = 'Сохранено. В настольном приложении изменения видны после его перезапуска.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_TAG'] = 'Слово не может быть пустым и содержать кавычки, апостроф, обратную косую черту, угловые скобки: от них окно звонка в приложении остаётся пустым.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_COLOR'] = 'Цвет пишется как #6a1b9a.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_LINES'] = 'Назовите хотя бы одну линию: autodial, или autodial-debt=ДОЛГ #b71c1c. В номере не бывает пробелов, в слове запятой, #, кавычек, апострофа, обратной косой черты, угловых скобок.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_SOUND'] = 'Адрес звука начинается с https:// или с /.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_FIELD'] = 'Поле задачи называется UF_…, заглавными буквами.';
/* This file is UTF-8, and the portal may be in another encoding. */
if (defined('SITE_CHARSET') && strcasecmp(SITE_CHARSET, 'UTF-8') !== 0) {
	foreach ($MESS as $autodial24_key => $autodial24_text) {
		if (strpos($autodial24_key, 'AUTODIAL24_HIGHLIGHT_') === 0) {
			$MESS[$autodial24_key] = iconv('UTF-8', SITE_CHARSET . '//TRANSLIT', $autodial24_text);
		}
	}
}
