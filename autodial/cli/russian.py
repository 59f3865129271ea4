"""The Russian texts of the commands, by the English ones; see ``language``."""

from collections.abc import Mapping

RUSSIAN: Mapping[str, str] = {
    # tables
    "attempt": "попытка",
    "abandoned": "потеряно",
    "attempts": "попыток",
    "below": "внутри",
    "busy": "занятость",
    "client": "клиент",
    "day": "день",
    "node": "станция",
    "Asterisk": "Asterisk",
    "seen": "видели",
    "version": "версия",
    "waits": "ждёт",
    "leads": "ведёт",
    "runs": "работает",
    "does not run": "не работает",
    "there is no node '{name}'": "станции «{name}» нет",
    "node '{name}' runs: stop it first": "станция «{name}» работает: сначала остановите её",
    "calls of node '{name}' are under way, or seem so: {count}; wait until they end,"
    " at the latest with their lease": (
        "звонки станции «{name}» идут или считаются идущими: {count}; подождите, пока они"
        " кончатся, самое позднее - по сроку"
    ),
    "connected": "на связи",
    "rows": "строк",
    "{count} rows are in {store}": "строк в {store}: {count}",
    "the store is of one dialler alone; see [node] and [store] url": (
        "хранилищем пользуется один автодозвон; см. [node] и [store] url"
    ),
    "set [store] url and [node] name first: the database to move into": (
        "сначала укажите [store] url и [node] name: базу, куда переносить"
    ),
    "department": "отдел",
    "% answered": "% ответов",
    "about": "о чём",
    "answered": "ответили",
    "calls": "звонков",
    "causes": "причины",
    "detail": "подробно",
    "door": "как",
    "hour": "час",
    "hour of the week": "час недели",
    "at work": "на месте",
    "rung": "звонил телефон",
    "rest": "остальное",
    "missed": "не взял",
    "tasks: {finished} finished, {given_up} given up, {put_off} to be called again": (
        "задачи: закончено {finished}, бросили {given_up}, позвоним снова {put_off}"
    ),
    "clients answer best at {hours}": "лучше всего отвечают в {hours}",
    "mean talk": "средний",
    "outcome": "итог",
    "purpose": "цель",
    "talk time": "разговор",
    "total": "всего",
    "trunk": "линия",
    "wait": "ожидание",
    "weekday": "день недели",
    "who": "кто",
    "monday": "понедельник",
    "tuesday": "вторник",
    "wednesday": "среда",
    "thursday": "четверг",
    "friday": "пятница",
    "saturday": "суббота",
    "sunday": "воскресенье",
    "dial ratio": "коэффициент",
    "done": "закончено",
    "due": "срок",
    "ext.": "доб.",
    "id": "id",
    "known by": "откуда",
    "last": "итог",
    "last call": "последний",
    "login": "вход",
    "logout": "выход",
    "name": "имя",
    "now": "сейчас",
    "number": "номер",
    "offline": "не в сети",
    "online": "в сети",
    "operator": "оператор",
    "operators": "операторов",
    "phone": "телефон",
    "portal": "портал",
    "reason": "причина",
    "reserved for": "занят под",
    "responsible": "ответственный",
    "would refuse for": "отказ, если",
    "no": "нет",
    "YES": "ДА",
    "source": "источник",
    "state": "состояние",
    "talks": "разговоров",
    "task": "задача",
    "tasks": "задач",
    "until": "до",
    "what": "что",
    "when": "когда",
    "why": "почему",
    "why it is a dead letter": "почему не принято",
    "why it waits": "почему ждёт",
    "work group": "рабочая группа",
    # the state
    "the dialler runs": "автодозвон работает",
    "the dialler runs, without Asterisk's manager": "автодозвон работает, без manager Asterisk",
    "the dialler does not run; last seen {when}": "автодозвон не работает; последний раз: {when}",
    "PAUSED for everybody: nobody is dialled until 'autodial resume'": (
        "ПАУЗА для всех: никого не набираем, пока не выполнен 'autodial resume'"
    ),
    "PAUSED for everybody until {when}, or 'autodial resume'": (
        "ПАУЗА для всех до {when} или до 'autodial resume'"
    ),
    "STALLED: tasks due, operators free, nothing dialled ({when})": (
        "СТОИТ: задачи есть, операторы свободны, никого не набираем ({when})"
    ),
    "{calls} calls in flight, operators: {at_work} at work, {free} free, {paused} paused": (
        "звонков сейчас: {calls}; операторы: на месте {at_work}, свободны {free}, на паузе {paused}"
    ),
    "purpose {purpose}: paused": "цель {purpose}: на паузе",
    "{path} has changed and was not reloaded: 'autodial reload' ({when})": (
        "{path} изменён и не перечитан: 'autodial reload' ({when})"
    ),
    "since {when}: {rates}": "с {when}: {rates}",
    "no purpose": "без цели",
    "cap {share}": "предел {share}",
    "of {answered} answered calls {abandoned} found nobody ({rate}), {late} had no operator"
    " within two seconds ({late_rate})": (
        "отвечено {answered}, не дождались оператора {abandoned} ({rate}), оператора не было"
        " две секунды у {late} ({late_rate})"
    ),
    # tasks
    "--page is of --all: the open tasks come as one list": (
        "--page относится к --all: открытые задачи выводятся одним списком"
    ),
    "more with --page {page}": "дальше: --page {page}",
    "name a task, or --operator EXTENSION": "назовите задачу или --operator НОМЕР",
    "{task} is not a known call task": "задача на звонок {task} неизвестна",
    "ext. {number}": "доб. {number}",
    "not dialled, {reason}": "не набирается, {reason}",
    "due {when}, attempts so far: {count}": "срок {when}, попыток: {count}",
    "looked at again {when}": "проверим снова {when}",
    "for {attempt}": "под {attempt}",
    "until {when}": "до {when}",
    "{task} is not an open call task; see 'autodial why {task}'": (
        "{task} — не открытая задача на звонок; см. 'autodial why {task}'"
    ),
    "{task}: due now; the other rules still hold ('autodial why {task}')": (
        "{task}: срок настал; остальные правила действуют ('autodial why {task}')"
    ),
    "{task} is skipped already": "задача {task} уже пропущена",
    "{task} was not skipped": "задача {task} не пропускалась",
    "{task}: the dialler's again": "{task}: снова в работе",
    "{task}: not dialled any more; 'autodial skip {task} --undo' ends that": (
        "{task}: больше не набирается; отменить: 'autodial skip {task} --undo'"
    ),
    "{what} is neither a task (8017) nor an attempt (t8017-3)": (
        "{what} — не задача (8017) и не попытка (t8017-3)"
    ),
    "nothing is known of {what}": "о {what} ничего не известно",
    # a history
    "cause {number}": "причина {number}",
    "{0} for {1}": "{0}, оператор {1}",
    "extension {0}": "номер {0}",
    "already {0}": "уже {0}",
    "hand-made call file": "файл вызова, положенный вручную",
    "{0}: the rules have changed": "{0}: изменились правила",
    "talked for task {0}": "разговор по задаче {0}",
    "no longer among the portal's open call tasks": "в портале больше нет среди открытых",
    "dial it now, confirmed by a person": "набрать сейчас, подтвердил человек",
    # people
    "everybody": "все",
    "'{command}' ends it": "снять: '{command}'",
    "{who}: paused; talks go on, {ends}": "{who}: пауза; разговоры продолжаются; {ends}",
    "{who}: calls again": "{who}: пауза снята",
    "{who}: was not paused": "{who}: паузы не было",
    "paused: {names}": "на паузе: {names}",
    "purpose {purpose}: paused; talks go on, {ends}": (
        "цель {purpose}: пауза; разговоры продолжаются; {ends}"
    ),
    "purpose {purpose}: calls again": "цель {purpose}: пауза снята",
    "purpose {purpose}: was not paused": "цель {purpose}: паузы не было",
    "name an extension, or --purpose": "назовите номер или --purpose",
    "{text}: write 14:00, fri 15:00, or 2026-11-27T09:00": (
        "{text}: напишите 14:00, пт 15:00 или 2026-11-27T09:00"
    ),
    "{text} has passed ({zone})": "{text} уже в прошлом ({zone})",
    "nobody stands in for {who}": "задачи {who} никому не переданы",
    "{who}: has his own tasks again": "{who}: снова сам ведёт свои задачи",
    "name two extensions: whose tasks, and who takes them": (
        "назовите два номера: чьи задачи и кто их берёт"
    ),
    "nobody stands in for himself": "сам себя никто не замещает",
    "{whom} takes the tasks of {who}, {ends}": "{whom} берёт задачи {who}, {ends}",
    "stand-in": "замещает",
    "the CRM was not told: {why}": "в CRM не записано: {why}",
    "no token is called {name}": "ключа с именем {name} нет",
    "{name} may not use the API any more": "{name} больше не пользуется API",
    "--operator says whose day an operator sees": ("--operator скажет, чей день видит оператор"),
    "the portal shows no task {task}": "портал не показывает задачу {task}",
    "{task}: due {when}; the next poll brings it": (
        "{task}: срок {when}; придёт со следующим опросом"
    ),
    "nobody of the staff has the extension {extension}": (
        "ни у кого из операторов нет номера {extension}"
    ),
    "{number} is not among them; see 'autodial do-not-call'": (
        "{number} там нет; см. 'autodial do-not-call'"
    ),
    "{number}: may be called again, as far as the other rules allow": (
        "{number}: снова можно звонить, если позволят остальные правила"
    ),
    "about {when}": "около {when}",
    "none since {when}": "не было с {when}",
    "unknown since {when}": "неизвестно с {when}",
    # rules
    "--remove needs a DATE": "для --remove нужна ДАТА",
    "{day}: was not named as a day off": "{day}: выходным не объявлялся",
    "it is one of [calendar] days_off": "он есть в [calendar] days_off",
    "{day}: a day like others; calls that were put off stay where they are": (
        "{day}: обычный день; отложенные звонки остаются на своих местах"
    ),
    "{day} has passed ({zone})": "{day} уже прошёл ({zone})",
    "{day}: a day off; nobody is called": "{day}: выходной, никому не звоним",
    "{day}: a day off, with the hours of [hours] holiday": (
        "{day}: выходной, часы из [hours] holiday"
    ),
    "{text}: write 2026-12-31, today or tomorrow": (
        "{text}: напишите 2026-12-31, today или tomorrow"
    ),
    "the settings are in order; the dialler does not run; it reads them at its start": (
        "настройки в порядке; автодозвон не работает и прочтёт их при запуске"
    ),
    "what was read before still holds": "действует то, что было прочитано раньше",
    "the dialler has not answered: does it use the same configuration? See its log": (
        "автодозвон не ответил: та же ли у него конфигурация? См. его журнал"
    ),
    # the portal
    "there is no dead letter with this number": "непринятого сообщения с таким номером нет",
    "{count} will be sent again": "будет отправлено снова: {count}",
    "[[purposes]] has none of the name {name}": "в [[purposes]] нет {name}",
    "nobody in the portal has the internal number {extension}": (
        "ни у кого в портале нет внутреннего номера {extension}"
    ),
    "the card is up for user {user}, for {seconds} s (Ctrl-C takes it away)": (
        "карточка показана пользователю {user} на {seconds} с (Ctrl-C уберёт её)"
    ),
    "the card is down. If none came up: is the push server on, the extension the right one, and no"
    " other card open? The portal's statistics have one more cancelled call.": (
        "карточка убрана. Если её не было: включён ли push-сервер, тот ли номер, не открыта ли"
        " другая карточка? В статистике портала прибавился один отменённый звонок."
    ),
    "no work groups: {error} (they need the scope sonet_group)": (
        "рабочих групп нет: {error} (для них нужно право sonet_group)"
    ),
    "[portal.application] is not set; a webhook needs no tokens": (
        "[portal.application] не задано; вебхуку токены не нужны"
    ),
    "{error}; a code lives 30 seconds": "{error}; код живёт 30 секунд",
    "tokens are in {file}": "токены записаны в {file}",
    # a test call
    "the dialler does not run, and it answers Asterisk: systemctl start autodial24": (
        "автодозвон не работает, а Asterisk спрашивает его: systemctl start autodial24"
    ),
    "name a NUMBER, or --dry": "назовите НОМЕР или --dry",
    "{number} is not dialled: {reason}": "{number} не набирается: {reason}",
    "{number}: name one number": "{number}: назовите один номер",
    "{number} is on a do-not-call list": "{number} в списке «не звонить»",
    "{number} is no internal number": "{number} — не внутренний номер",
    "no operator is free; name a phone with --operator": (
        "свободных операторов нет; назовите телефон: --operator"
    ),
    "the call file is in the spool": "файл вызова в спуле",
    "Asterisk took it and asked the dialler: dial {number}": (
        "Asterisk взял его и спросил автодозвон: набираем {number}"
    ),
    "an echo, no carrier": "эхо, без оператора связи",
    "the client answered; the phone {extension} is to ring": (
        "клиент ответил; должен звонить телефон {extension}"
    ),
    "Asterisk has no endpoint {name}": "в Asterisk нет endpoint {name}",
    "the phone {extension} is off, or not registered": (
        "телефон {extension} выключен или не зарегистрирован"
    ),
    "no end was reported; see 'asterisk -rx \"core show channels\"'": (
        "о конце не сообщено; см. 'asterisk -rx \"core show channels\"'"
    ),
    # the first configuration
    "The incoming webhook's address (Developer resources, Other, Inbound webhook)": (
        "Адрес входящего вебхука (Разработчикам, Другое, Входящий вебхук)"
    ),
    "a webhook's address is written https://portal.example.com/rest/1/secret/": (
        "адрес вебхука выглядит так: https://portal.example.com/rest/1/secret/"
    ),
    "correct that in the portal, and answer again": "исправьте это в портале и ответьте снова",
    "The departments of the operators, by number or name; or: group NAME": (
        "Отделы операторов, номером или названием; или: группа НАЗВАНИЕ"
    ),
    "the portal has no {name}": "в портале нет {name}",
    "no internal number in his profile: never rung": "нет внутреннего номера в профиле: не звоним",
    "known to Asterisk": "есть в Asterisk",
    "no endpoint of that name in Asterisk: never rung": (
        "в Asterisk нет endpoint с таким именем: не звоним"
    ),
    "The trunks, in the order to try, as NAME:LINES with commas between": (
        "Транки по порядку, как ИМЯ:ЛИНИЙ через запятую"
    ),
    "Asterisk has no endpoint {name}; it has {names}": (
        "в Asterisk нет endpoint {name}; есть {names}"
    ),
    "name at least one": "назовите хотя бы один",
    "a tag is a word, as people type it in the portal": "тег - слово, как его пишут в портале",
    "{text}: write NAME or NAME:LINES, from 1 to 9999": (
        "{text}: напишите ИМЯ или ИМЯ:ЛИНИЙ, от 1 до 9999"
    ),
    "The tag of call tasks; or: group NAME": "Тег задач на звонок; или: группа НАЗВАНИЕ",
    "written: {path}": "записано: {path}",
    "The dialler reads it at its next start, or now by 'autodial reload'": (
        "Автодозвон прочтёт её при следующем запуске или сейчас: 'autodial reload'"
    ),
    "Nobody is dialled yet. Start the dialler (systemctl start autodial24), look at 'autodial"
    " doctor' and 'autodial tasks', and let it dial: autodial resume": (
        "Пока никого не набираем. Запустите автодозвон (systemctl start autodial24), посмотрите"
        " 'autodial doctor' и 'autodial tasks' и разрешите звонить: autodial resume"
    ),
    "a new installation": "новая установка",
    "--add or --remove, not both": "либо --add, либо --remove",
    "{number} is no whole telephone number": "{number} — не полный номер телефона",
    "{number} is on the list already": "{number} уже в списке",
    "{number}: never called again, with all numbers of its client": (
        "{number}: больше не звоним, и на другие номера этого клиента"
    ),
    "--due or --replay, not both": "либо --due, либо --replay",
    "{count} tasks are held: {reason}": "не будут набраны, {count}: {reason}",
    "{count} tasks are due by the end of {day}": "к концу {day} подойдёт задач: {count}",
    "{day}: no open task is due that can be dialled": "{day}: набирать нечего",
    # the board
    "nobody may log in yet: autodial board-user add NAME --role manager": (
        "войти пока некому: autodial board-user add NAME --role manager"
    ),
    "the board: {address}": "доска: {address}",
    "a name has 1 to 40 letters, digits, and . @ - _": (
        "имя: от 1 до 40 букв, цифр и знаков . @ - _"
    ),
    "a password has 10 to 200 characters": "пароль: от 10 до 200 знаков",
    "{name} may log in": "{name}: может войти",
    "{name} may log in no more": "{name}: больше не может войти",
    "nobody is called {name}": "нет никого по имени {name}",
    "role": "роль",
    "since": "с",
    # reports
    "--day, or --from and --to": "либо --day, либо --from и --to",
    "--to needs --from": "--to задаётся вместе с --from",
    "--to {last} is before --from {first}": "--to {last} раньше, чем --from {first}",
    "at most {days} days at once": "за раз не больше {days} дней",
    "{text}: write 2026-11-27, today or yesterday": (
        "{text}: напишите 2026-11-27, today или yesterday"
    ),
    "--file {file}: name it .csv or .xlsx": "--file {file}: имя должно кончаться на .csv или .xlsx",
    "{file}: {count} rows": "{file}: строк: {count}",
    "not the dialler's": "не автодозвон",
    "on the do-not-call list since {when}": "в списке «не звонить» с {when}",
    "--late, --operator and --number are of the open tasks, without --all": (
        "--late, --operator и --number — для открытых задач, без --all"
    ),
    # the store
    "the store is a database, {store}: use {tool}": (
        "хранилище — база данных, {store}: используйте {tool}"
    ),
    "there is no store yet: 'autodial init' makes it, and the first start": (
        "базы ещё нет: её создаёт 'autodial init' или первый запуск"
    ),
    "{file}: a copy of {store}": "{file}: копия {store}",
    "{store} is {file} now": "{store} теперь {file}",
    "the old store is {file}": "прежняя база: {file}",
    # a simulated day
    "{value}: a number, or several with commas between": (
        "{value}: число или несколько через запятую"
    ),
    "{value}: from {least} to {most}": "{value}: от {least} до {most}",
    "{day}: the ledger has no calls of that day's hours": (
        "{day}: в журнале нет звонков рабочих часов этого дня"
    ),
    "{day}: the call centre does not work; name another --date, or --hours": (
        "{day}: колл-центр не работает; назовите другой --date или --hours"
    ),
}
