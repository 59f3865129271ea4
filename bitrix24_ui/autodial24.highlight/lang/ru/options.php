<?php
$MESS['AUTODIAL24_HIGHLIGHT_ENABLED'] = 'Выделять звонки автодозвона';
$MESS['AUTODIAL24_HIGHLIGHT_LINES'] = 'Номера внешних линий автодозвона, через запятую';
$MESS['AUTODIAL24_HIGHLIGHT_TAG'] = 'Слово на карточке (то же, что в названии линии)';
$MESS['AUTODIAL24_HIGHLIGHT_COLOR'] = 'Цвет шапки, #rrggbb';
$MESS['AUTODIAL24_HIGHLIGHT_SOUND'] = 'Адрес короткого звука; пусто: без звука';
$MESS['AUTODIAL24_HIGHLIGHT_LINK'] = 'Показывать на карточке ссылку на задачу';
$MESS['AUTODIAL24_HIGHLIGHT_FIELD'] = 'Поле задачи, куда автодозвон пишет номер звонка';
$MESS['AUTODIAL24_HIGHLIGHT_SAVE'] = 'Сохранить';
$MESS['AUTODIAL24_HIGHLIGHT_SAVED'] = 'Сохранено. В настольном приложении изменения видны после его перезапуска.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_TAG'] = 'Слово не может быть пустым и содержать кавычки, апостроф, обратную косую черту, угловые скобки: от них окно звонка в приложении остаётся пустым.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_COLOR'] = 'Цвет пишется как #6a1b9a.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_LINES'] = 'Назовите хотя бы одну линию.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_SOUND'] = 'Адрес звука начинается с https:// или с /.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_FIELD'] = 'Поле задачи называется UF_…, заглавными буквами.';
