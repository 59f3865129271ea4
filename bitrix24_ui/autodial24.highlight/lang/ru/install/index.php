<?php
$MESS['AUTODIAL24_HIGHLIGHT_NAME'] = 'Autodial24: выделение звонков автодозвона';
$MESS['AUTODIAL24_HIGHLIGHT_DESCRIPTION'] = 'Выделяет карточку звонка, пришедшего от автодозвона, в браузере и в настольном приложении. Чужих файлов не меняет.';
$MESS['AUTODIAL24_HIGHLIGHT_NO_COPY'] = 'Не удалось скопировать файлы в #DIR#: проверьте права на запись.';
