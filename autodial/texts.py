"""
Every text that people see, in Russian and English, and the care names need on their way out.

The catalogue is one dictionary; a missing language is a failing test.
"""

import unicodedata
from collections.abc import Mapping
from typing import Literal

Language = Literal["ru", "en"]

#: Asterisk keeps 79 bytes of a caller id's name and cuts in the middle of a character.
CALLER_NAME = 79

CATALOGUE: Mapping[str, Mapping[Language, str]] = {
    "tag": {"ru": "АВТОДОЗВОН", "en": "AUTODIAL"},
    # outcomes
    "talked": {"ru": "разговор состоялся", "en": "talked"},
    "busy": {"ru": "занято", "en": "busy"},
    "silent": {"ru": "не ответил", "en": "no answer"},
    "rejected": {"ru": "звонок отклонён", "en": "call rejected"},
    "forwarded": {"ru": "телефон переадресован", "en": "call forwarded elsewhere"},
    "unreachable": {"ru": "телефон недоступен", "en": "phone unreachable"},
    "bad number": {"ru": "неверный номер", "en": "wrong number"},
    "client left": {"ru": "клиент не дождался оператора", "en": "the client did not wait"},
    "operator missed": {
        "ru": "клиент ответил, оператор не взял трубку",
        "en": "the client answered, no operator did",
    },
    "line failed": {"ru": "сбой связи", "en": "the line failed"},
    "lost": {"ru": "результат неизвестен", "en": "the result is unknown"},
    "withdrawn": {"ru": "звонок отменён", "en": "the call was called off"},
    # comments in the task
    "comment": {
        "ru": "Автодозвон {number}{count}: {outcome}{detail}. {next}",
        "en": "Autodial {number}{count}: {outcome}{detail}. {next}",
    },
    "comment.count": {"ru": ", попытка {count}", "en": ", attempt {count}"},
    "seconds": {"ru": "{seconds} с", "en": "{seconds} s"},
    "minutes": {"ru": "{minutes} мин {seconds} с", "en": "{minutes} min {seconds} s"},
    "comment.same client": {
        "ru": "Автодозвон {number}: с клиентом говорил {operator} по задаче {task}.",
        "en": "Autodial {number}: {operator} talked to the client for task {task}.",
    },
    "comment.disposition": {
        "ru": "{operator}: {disposition}. {next}",
        "en": "{operator}: {disposition}. {next}",
    },
    "done": {"ru": "задача выполнена", "en": "the task is done"},
    "call later": {
        "ru": "клиент просит перезвонить позже",
        "en": "the client asks for a call later",
    },
    "not his number": {"ru": "это номер другого человека", "en": "somebody else has this number"},
    "never again": {
        "ru": "клиент просит больше не звонить; автодозвон его больше не набирает",
        "en": "the client wants no more calls; the dialler will not call him again",
    },
    "comment.again": {"ru": "Следующий звонок {when}.", "en": "Next call {when}."},
    "comment.done": {
        "ru": "Автодозвон по задаче закончен.",
        "en": "The dialler is through with this task.",
    },
    "comment.do": {
        "ru": "Автодозвон больше не звонит: позвоните сами или перенесите крайний срок — тогда"
        " автодозвон начнёт сначала.",
        "en": "The dialler is through with this task: call yourself, or move the deadline and it"
        " starts again.",
    },
    "comment.do.number": {
        "ru": "Автодозвон больше не звонит: исправьте номер в CRM — тогда автодозвон начнёт"
        " сначала.",
        "en": "The dialler is through with this task: correct the number in the CRM and it starts"
        " again.",
    },
    "comment.do.closed": {
        "ru": "Автодозвон больше не звонит: позвоните сами или откройте задачу снова и перенесите"
        " крайний срок.",
        "en": "The dialler is through with this task: call yourself, or open it again and move its"
        " deadline.",
    },
    "comment.do.number.closed": {
        "ru": "Автодозвон больше не звонит: исправьте номер в CRM и откройте задачу снова.",
        "en": "The dialler is through with this task: correct the number in the CRM and open the"
        " task again.",
    },
    "comment.do.talked": {
        "ru": "Автодозвон по задаче закончен: запишите итог и закройте задачу.",
        "en": "The dialler is through with this task: write down the result and close it.",
    },
    "notice": {
        "ru": "Автодозвон: {client}. Задача: {task}",
        "en": "Autodial: {client}. Task: {task}",
    },
    # numbers that will not be dialled
    "phone.fax": {"ru": "факс или пейджер", "en": "a fax or a pager"},
    "phone.empty": {"ru": "нет цифр", "en": "no digits"},
    "phone.unreadable": {"ru": "не похоже на номер", "en": "not a phone number"},
    "phone.impossible": {"ru": "такого номера не бывает", "en": "no such number exists"},
    "phone.abroad": {
        "ru": "страна не разрешена ([phones] countries)",
        "en": "its country is not allowed ([phones] countries)",
    },
    "phone.special": {
        "ru": "платный, спутниковый или особый номер",
        "en": "a premium, satellite or other special number",
    },
    "phone.extension": {
        "ru": "неясен добавочный: напишите один, «доб. 12»",
        "en": "its extension is unclear: write one, as 'ext. 12'",
    },
    "phone.unclear": {
        "ru": "неясно, какая страна: напишите +7 или 8",
        "en": "of which country is unclear: write it with its own country code",
    },
    "phone.short": {"ru": "короткий номер", "en": "a short number"},
    "phone.emergency": {"ru": "экстренная служба", "en": "an emergency number"},
    # what is wrong with an operator's phone
    "no extension": {"ru": "нет внутреннего номера", "en": "no internal number"},
    "unusable extension": {
        "ru": "это не внутренний номер (латинские буквы, цифры и _ . -, до 40 знаков): не звоним",
        "en": "no usable internal number (letters, digits and _ . -, up to 40): never rung",
    },
    "shared extension": {"ru": "номер у двоих", "en": "number shared by two"},
    "forwards": {
        "ru": "телефон переадресует звонки: на него автодозвон не соединяет",
        "en": "this phone forwards calls: nobody is connected there",
    },
    "unknown to asterisk": {"ru": "Asterisk не знает номера", "en": "unknown to Asterisk"},
    "event log": {"ru": "журнал событий портала", "en": "the portal's event log"},
    "poll": {"ru": "опрос портала", "en": "a poll of the portal"},
    "presence.login": {"ru": "вошёл в портал", "en": "logged in"},
    "presence.logout": {"ru": "вышел из портала", "en": "logged out"},
    "presence.came": {"ru": "на месте", "en": "came to work"},
    "presence.left": {"ru": "ушёл", "en": "left"},
    # what is wrong with the portal
    "check.fastagi": {"ru": "отвечает за {detail}", "en": "answers in {detail}"},
    "check.well": {
        "ru": "всё в порядке, вебхук пользователя {detail}; работает ли push-сервер, без которого"
        " нет карточек, покажет только autodial test-card НОМЕР",
        "en": "all is well; we are user {detail} there; whether the push server works, without"
        " which there are no cards, only autodial test-card EXTENSION shows",
    },
    "check.scopes": {
        "ru": "вебхуку не хватает прав: {detail}; добавьте их в его настройках",
        "en": "the webhook lacks scopes: {detail}; add them where it was made",
    },
    "check.methods": {
        "ru": "портал не знает методов: {detail}; установите или обновите модули",
        "en": "the portal does not know methods: {detail}; install or update its modules",
    },
    "check.lines": {
        "ru": "внешняя линия недоступна: {detail}; карточка звонка не появится",
        "en": "the external line cannot be kept: {detail}; no call card will appear",
    },
    "check.administrator": {
        "ru": "владелец вебхука (пользователь {detail}) не администратор: перенос сроков и события"
        " входа могут быть ему запрещены",
        "en": "the webhook's owner (user {detail}) is not an administrator: moving deadlines and"
        " reading logins may be refused",
    },
    "check.blind": {
        "ru": "портал не сообщает, кто из сотрудников на месте: добавьте вебхуку право im, иначе"
        " никому не звоним",
        "en": "the portal does not say who is at work: give the webhook the scope im, or nobody is"
        " called",
    },
    "check.lacks": {
        "ru": "этот портал старый, в нём нет: {detail}; обходимся без этого, см."
        " docs/ru/administration.md",
        "en": "an old portal, without {detail}: we do without them, see docs/administration.md",
    },
    "check.tags": {
        "ru": "портал не сообщает теги задач, а от них зависит, кому звонить ({detail}): не звоним"
        " никому; используйте поле задачи или клиента",
        "en": "the portal does not tell tasks' tags, by which it is decided whom to call"
        " ({detail}): nobody is called; use a field of the task or of the client",
    },
    "check.names": {"ru": "{detail}", "en": "{detail}"},
    "check.useful": {
        "ru": "без прав {detail} о присутствии операторов известно меньше",
        "en": "without the scopes {detail} less is known of the operators' presence",
    },
    # what a site must know of the rules
    "zones.used": {
        "ru": "база часовых поясов {detail}",
        "en": "time zone database {detail}",
    },
    "zones.old": {
        "ru": "база часовых поясов {detail} — прошлых лет: обновите пакет tzdata (pip install"
        " -U tzdata) или систему, иначе часы клиентов могут быть неверны",
        "en": "time zone database {detail} is of a year gone by: update the package tzdata (pip"
        " install -U tzdata) or the system, or clients' clocks may be wrong",
    },
    "law.consent": {
        "ru": "с 1 сентября 2025 года массовые и автоматические звонки с любой целью требуют"
        " согласия абонента, договора с оператором связи и маркировки (126-ФЗ в редакции 41-ФЗ"
        " от 01.04.2025). Согласие можно требовать ключом [rules] consent_field; договор и"
        " маркировка — дело оператора связи",
        "en": "in Russia mass and automatic calls of any purpose need the subscriber's consent,"
        " a contract with the carrier, and its label since 2025-09-01 (126-FZ as changed by"
        " 41-FZ of 2025-04-01). [rules] consent_field demands the consent; contract and label"
        " are a matter of your carrier",
    },
    "law.own": {
        "ru": "вместо цифр набора действуют ваши: {detail}",
        "en": "your own figures stand in place of the preset's: {detail}",
    },
    "law.days": {
        "ru": "актов о переходящих праздниках регионов в таблице нет за {detail}; считаются"
        " расчётный день и соседние, точные дни впишите в [calendar.days_off_in]",
        "en": "the table has no acts on movable regional holidays for {detail}; the computed"
        " day counts with the days beside it; write the exact ones into [calendar.days_off_in]",
    },
    "law.no harbour": {
        "ru": "[pace] dial_ratio = {detail}: с 1 марта 2017 года для Ofcom нет допустимой доли"
        " потерянных вызовов; верните 1.0, если риск не обдуман",
        "en": "[pace] dial_ratio = {detail}: since 1 March 2017 Ofcom knows no acceptable rate of"
        " abandoned calls; put it back to 1.0 unless you have weighed that",
    },
    "law.harbour": {
        "ru": "[pace] dial_ratio = {detail}: 16 CFR 310.4(b)(4) кроме доли потерянных требует"
        " записанного сообщения в течение двух секунд после приветствия и учёта; это за вами",
        "en": "[pace] dial_ratio = {detail}: besides the rate, 16 CFR 310.4(b)(4) asks for a"
        " recorded message within two seconds of the greeting, and for records; these are yours"
        " to see to",
    },
    # what is wrong with Asterisk
    "check.denied": {
        "ru": "{detail}; вебхук неверный, удалён или его владелец уволен: создайте новый "
        "(Разработчикам → Другое → Входящий вебхук) и впишите его адрес в [portal] "
        "webhook",
        "en": "{detail}; the webhook is wrong or deleted, or its owner was dismissed: make a "
        "new one (Developer resources, Other, Inbound webhook) and write its address "
        "into [portal] webhook",
    },
    "check.unreachable": {
        "ru": "{detail}",
        "en": "{detail}",
    },
    "host.well": {
        "ru": "спул доступен, Asterisk работает от имени {detail}",
        "en": "the spool can be used; Asterisk's user is {detail}",
    },
    "host.strangers": {
        "ru": "в спуле есть call-файлы другой программы: {detail}; два автодозвона могут позвонить"
        " одному клиенту",
        "en": "call files of another program are in the spool: {detail}; two diallers may call one"
        " client",
    },
    "host.disk": {
        "ru": "мало места на диске: {detail}; освободите место или перенесите [store] path",
        "en": "little room on the disk: {detail}; make room, or move [store] path",
    },
    "host.clock": {
        "ru": "часы расходятся: {detail}; настройте NTP (timedatectl set-ntp true)",
        "en": "the clocks differ: {detail}; set up NTP (timedatectl set-ntp true)",
    },
    "host.zone": {
        "ru": "часовые пояса этой машины и Asterisk различаются: {detail}; звонки идут вовремя, но"
        " время в журналах разное (timedatectl set-timezone)",
        "en": "the time zones of this host and of Asterisk differ: {detail}; calls are in time, but"
        " the logs are not (timedatectl set-timezone)",
    },
    "portal.zone": {
        "ru": "часовой пояс портала не тот, что мы считаем: {detail}; если это пояс его сервера,"
        " укажите [portal] zone, иначе сроки сдвинуты",
        "en": "the portal's time zone is not the one that we assume: {detail}; if it is its"
        " server's, set [portal] zone, or deadlines are shifted",
    },
    "store.none": {
        "ru": "базы ещё нет ({detail}): её создаст 'autodial init' или первый запуск",
        "en": "there is no store yet ({detail}): 'autodial init' makes it, or the first start",
    },
    "store.owner": {
        "ru": "база и спул принадлежат разным пользователям: {detail}; chown базу и файлы "
        "рядом с ней",
        "en": "the store and the spool belong to different users: {detail}; chown the store "
        "and the files beside it",
    },
    "store.running": {
        "ru": "автодозвон работает",
        "en": "the dialler runs",
    },
    "store.stopped": {
        "ru": "база читается; автодозвон не работает",
        "en": "the store can be read; the dialler does not run",
    },
    "store.unread": {
        "ru": "портал ещё не читали: запустите автодозвон",
        "en": "the portal was not read yet: start the dialler",
    },
    "asterisk.away": {
        "ru": "Asterisk не запущен, или его manager не слушает {detail}: запустите его или"
        " поправьте [asterisk] ami_host, ami_port",
        "en": "Asterisk does not run, or its manager does not listen on {detail}: start it, or"
        " correct [asterisk] ami_host, ami_port",
    },
    "check.unconnected": {
        "ru": "портал ещё не подключён: autodial init",
        "en": "the portal is not connected yet: autodial init",
    },
    "store.empty": {
        "ru": "нет ни одной открытой задачи на звонок ({detail}): тот ли тег или группа в [tasks]?",
        "en": "there is no open call task ({detail}): is it the right tag or group in [tasks]?",
    },
    "fastagi.reached": {
        "ru": "Asterisk спросил сервер через спул, диалплан, AD_AGI и секрет: {detail}",
        "en": "Asterisk has asked the server, through spool, dialplan, AD_AGI and secret: {detail}",
    },
    "fastagi.untouched": {
        "ru": "Asterisk не взял файл вызова из спула: загружен ли pbx_spool.so, тот ли это спул?",
        "en": "Asterisk did not take the call file from the spool: is pbx_spool.so loaded, is"
        " it this spool?",
    },
    "fastagi.unreached": {
        "ru": "Asterisk взял файл вызова, но до сервера не дошёл: проверьте AD_AGI и "
        "AD_SECRET (autodial secret) и выполните asterisk -rx 'dialplan reload'; журнал"
        " автодозвона назовёт отказ",
        "en": "Asterisk took the call file and did not get through to the server: check "
        "AD_AGI and AD_SECRET (autodial secret), then asterisk -rx 'dialplan reload'; "
        "the dialler's log names a refusal",
    },
    "asterisk.manager": {
        "ru": "manager не отвечает ({detail}); проверьте [asterisk] ami_host, ami_port, "
        "ami_user, ami_secret и manager.conf, затем asterisk -rx 'manager reload'",
        "en": "the manager interface does not serve us ({detail}); check [asterisk] ami_host,"
        " ami_port, ami_user, ami_secret and manager.conf, then asterisk -rx 'manager "
        "reload'",
    },
    "asterisk.spool": {
        "ru": "спул Asterisk и [asterisk] spool расходятся: {detail}",
        "en": "Asterisk's spool and [asterisk] spool differ: {detail}",
    },
    "asterisk.channelvars": {
        "ru": "каналы не называют свою попытку: добавьте channelvars = {detail} в [general]"
        " manager.conf (к тому, что там есть), затем asterisk -rx 'manager reload'",
        "en": "channels do not name their attempt: add channelvars = {detail} to [general] of"
        " manager.conf (to what is there), then asterisk -rx 'manager reload'",
    },
    "asterisk.rights": {
        "ru": "пользователь manager может больше, чем нужно: {detail}; оставьте read = "
        "system,call,reporting и write = reporting",
        "en": "the manager's user may do more than it needs: {detail}; leave read = "
        "system,call,reporting and write = reporting",
    },
    "asterisk.trunks": {
        "ru": "линия сейчас недоступна: {detail}; см. asterisk -rx 'pjsip show aors' и регистрацию",
        "en": "a trunk cannot be reached now: {detail}; see asterisk -rx 'pjsip show aors', "
        "and its registration",
    },
    "asterisk.phones": {
        "ru": "у операторов есть внутренние номера без PJSIP endpoint с таким именем: {detail}",
        "en": "internal numbers of operators without a PJSIP endpoint of that name: {detail}",
    },
    "dialplan.release": {
        "ru": "в Asterisk диалплан другой версии: замените autodial.conf на файл этой версии "
        "({detail}) и выполните asterisk -rx 'dialplan reload'",
        "en": "Asterisk has the dialplan of another version: replace autodial.conf by this "
        "one's ({detail}), then asterisk -rx 'dialplan reload'",
    },
    "staff.none": {
        "ru": "операторов нет: верны ли [staff] departments или group?",
        "en": "there are no operators: is [staff] departments or group right?",
    },
    "files.well": {
        "ru": "наши файлы подключены, и они этой версии",
        "en": "our files are included, and of this release",
    },
    "files.unreadable": {
        "ru": "не читается {detail}: права 0640 и группа Asterisk",
        "en": "cannot be read: {detail}; mode 0640, Asterisk's group",
    },
    "files.missing": {
        "ru": "extensions.conf не подключает наш файл: добавьте строку {detail} вне ваших секций",
        "en": "extensions.conf does not include our file: add the line {detail} outside your "
        "sections",
    },
    "files.release": {
        "ru": "{detail} от другой версии программы: замените файлом этой версии",
        "en": "{detail} is of another release of the program: replace it by this one's",
    },
    "files.copy": {
        "ru": "наш контекст определён и в другом файле, Asterisk соединит оба: {detail}; "
        "уберите там",
        "en": "a context of ours is in another file, too, and Asterisk joins both: {detail}; "
        "remove it there",
    },
    "files.variable": {
        "ru": "нет такой переменной: {detail}",
        "en": "there is no such variable: {detail}",
    },
    "files.unsafe": {
        "ru": "значение в кавычках внутри $[...] разбирается как код: {detail}; сначала "
        "проверьте его (docs/security.md)",
        "en": "a quoted value inside $[...] is parsed as code: {detail}; check it against a "
        "whitelist first (docs/security.md)",
    },
    "files.hook": {
        "ru": "такого хука диалплан не вызывает: {detail}; есть dial, answered, operator, "
        "nobody, end",
        "en": "the dialplan calls no such hook: {detail}; there are dial, answered, operator,"
        " nobody, end",
    },
    "files.return": {
        "ru": "хук не возвращается, звонок на нём кончится: {detail}; последним шагом нужен "
        "Return()",
        "en": "the hook does not come back, and the call ends in it: {detail}; its last step "
        "is Return()",
    },
    "files.start": {
        "ru": "в хуке нет exten => s,1: {detail}; он не вызывается",
        "en": "the hook has no exten => s,1: {detail}; it is not called",
    },
    "dialplan.well": {
        "ru": "диалплан и его переменные на месте",
        "en": "the dialplan and its globals are there",
    },
    "dialplan.unasked": {
        "ru": "[asterisk] ami_port не задан: диалплан не проверен",
        "en": "[asterisk] ami_port is not set: the dialplan was not looked at",
    },
    "dialplan.rights": {
        "ru": "пользователю manager не хватает прав ({detail}): в manager.conf нужны read ="
        " system,call,reporting и write = reporting, затем asterisk -rx 'manager reload'",
        "en": "the manager's user lacks rights ({detail}): give it read = system,call,reporting and"
        " write = reporting in manager.conf, then asterisk -rx 'manager reload'",
    },
    "dialplan.contexts": {
        "ru": "в диалплане нет: {detail}; ./install.sh production вернёт это, или добавьте строку"
        " #tryinclude autodial.conf в extensions.conf и выполните asterisk -rx 'dialplan reload'",
        "en": "the dialplan lacks {detail}: './install.sh production' puts it back, or add the line"
        " #tryinclude autodial.conf to extensions.conf, then asterisk -rx 'dialplan reload'",
    },
    "dialplan.globals": {
        "ru": "не заданы переменные диалплана: {detail}; добавьте строку #tryinclude"
        " autodial-globals.conf в extensions.conf и выполните asterisk -rx 'dialplan reload'",
        "en": "the dialplan's globals are not set: {detail}; add the line #tryinclude"
        " autodial-globals.conf to extensions.conf, then asterisk -rx 'dialplan reload'",
    },
    "dialplan.address": {
        "ru": "AD_AGI диалплана и порт [fastagi] расходятся: {detail}; исправьте AD_AGI в"
        " autodial-globals.conf и выполните asterisk -rx 'dialplan reload'",
        "en": "AD_AGI of the dialplan and [fastagi] port differ: {detail}; correct AD_AGI in"
        " autodial-globals.conf, then asterisk -rx 'dialplan reload'",
    },
    "dialplan.via": {
        "ru": "AD_VIA называет контекст {detail}, которого в диалплане нет",
        "en": "AD_VIA names the context {detail}, which the dialplan does not have",
    },
    "dialplan.trunks": {
        "ru": "Asterisk не знает линий (PJSIP endpoint) с именами: {detail}; исправьте"
        " [[asterisk.trunks]] name или pjsip.conf",
        "en": "Asterisk knows no PJSIP endpoint called {detail}: correct [[asterisk.trunks]] name,"
        " or pjsip.conf",
    },
    # reasons of the dispatcher
    "new": {"ru": "ещё не смотрели", "en": "not looked at yet"},
    "dial": {"ru": "звоним", "en": "being dialled"},
    "closed": {"ru": "задача закрыта", "en": "the task is closed"},
    "no phone": {"ru": "нет пригодного телефона", "en": "no phone that can be dialled"},
    "do not call": {"ru": "номер в списке «не звонить»", "en": "on the do-not-call list"},
    "no consent": {
        "ru": "в CRM нет согласия клиента на звонки",
        "en": "the CRM has no consent of the client to be called",
    },
    "no deadline": {"ru": "нет крайнего срока", "en": "no deadline says when to call"},
    "finished": {"ru": "закончена", "en": "finished"},
    "exhausted": {"ru": "попытки исчерпаны", "en": "attempts used up"},
    "skipped": {
        "ru": "пропущена человеком: autodial skip",
        "en": "taken away by a person: autodial skip",
    },
    "enough": {"ru": "достигнут предел попыток", "en": "as many attempts as a task may have"},
    "confirm": {
        "ru": "ждёт слова человека: autodial call-now",
        "en": "waits for a person's confirmation: autodial call-now",
    },
    "wrong number": {"ru": "номер неверный", "en": "the number has proved wrong"},
    "same client": {
        "ru": "этому клиенту сейчас звонят по другой задаче",
        "en": "this client is being called for another task",
    },
    "dialplan": {
        "ru": "в Asterisk чего-то не хватает (диалплан, транк, права): autodial doctor скажет",
        "en": "Asterisk lacks something (dialplan, trunk, rights): 'autodial doctor' says what",
    },
    "store moved": {
        "ru": "файл базы перемещён или удалён во время работы",
        "en": "the store's file was moved or deleted while the dialler ran",
    },
    "spool refuses": {
        "ru": "файлы вызовов не записываются (права или место на диске)",
        "en": "call files cannot be written (rights, or room on the disk)",
    },
    "client hours": {
        "ru": "у клиента сейчас не время для звонков",
        "en": "not a time for calls where the client is",
    },
    "budget": {
        "ru": "клиенту уже звонили столько, сколько можно",
        "en": "the client has been called as often as he may be",
    },
    "responsible busy": {
        "ru": "ждём, пока освободится ответственный",
        "en": "waiting for the responsible operator to be free",
    },
    "not for others": {
        "ru": "нет свободных среди тех, кому можно эту задачу",
        "en": "nobody is free of those who may take this task",
    },
    "in progress": {"ru": "попытка идёт", "en": "an attempt is under way"},
    "not due": {"ru": "срок ещё не наступил", "en": "not due yet"},
    "paused": {"ru": "автодозвон приостановлен", "en": "the dialler is paused"},
    "hours": {"ru": "вне часов звонков", "en": "outside calling hours"},
    "rules unreadable": {
        "ru": "список «не звонить» не читается: не звоним никому",
        "en": "the do-not-call list cannot be read: nobody is called",
    },
    "portal silent": {
        "ru": "портал не отвечает слишком долго",
        "en": "the portal has been silent for too long",
    },
    "pbx silent": {"ru": "нет связи с Asterisk", "en": "Asterisk cannot be reached"},
    "nobody at work": {"ru": "никто из операторов не на месте", "en": "no operator is at work"},
    "operators busy": {"ru": "нет свободного оператора", "en": "no operator is free"},
    "abandoned": {
        "ru": "слишком много клиентов не дождались: одного оператора держим свободным",
        "en": "too many clients found nobody: one operator is kept free",
    },
    "no route": {
        "ru": "линии или номера для таких звонков заняты",
        "en": "the carriers or numbers for such calls are used up",
    },
    "trunks full": {"ru": "все линии заняты", "en": "all lines are in use"},
    "shadow": {
        "ru": "позвонили бы: теневой режим",
        "en": "would be dialled: shadow mode",
    },
    "pace": {"ru": "ограничение темпа звонков", "en": "the pace limit"},
    "other node": {
        "ru": "оператор на другой станции, она и позвонит",
        "en": "the operator is at another node, which dials",
    },
    # what would change a reason
    "change": {"ru": "изменит это", "en": "what would change it"},
    "change.closed": {
        "ru": "откройте задачу на портале снова",
        "en": "the task is opened again in the portal",
    },
    "change.finished": {
        "ru": "крайний срок, перенесённый вручную, начнёт сначала",
        "en": "a deadline moved by hand starts it again",
    },
    "change.skipped": {
        "ru": "autodial skip --undo или крайний срок, перенесённый вручную",
        "en": "autodial skip --undo, or a deadline moved by hand",
    },
    "change.bad number": {
        "ru": "исправьте номер в CRM: новый номер начнёт сначала",
        "en": "mend the number in the CRM: a new one starts it again",
    },
    "change.no phone": {
        "ru": "добавьте клиенту пригодный номер или привяжите клиента",
        "en": "give the client a number that can be dialled, or bind a client",
    },
    "change.no deadline": {"ru": "поставьте задаче крайний срок", "en": "give the task a deadline"},
    "change.enough": {
        "ru": "крайний срок, перенесённый вручную, или [client] attempts",
        "en": "a deadline moved by hand, or [client] attempts",
    },
    "change.in progress": {"ru": "конец идущей попытки", "en": "the end of the attempt under way"},
    "change.not due": {
        "ru": "наступит срок, или перенесите его раньше",
        "en": "its time comes, or move the deadline forward",
    },
    "change.confirm": {"ru": "autodial call-now", "en": "autodial call-now"},
    "change.paused": {"ru": "autodial resume", "en": "autodial resume"},
    "change.rules unreadable": {
        "ru": "исправьте файл [rules] do_not_call",
        "en": "mend the file [rules] do_not_call",
    },
    "change.do not call": {
        "ru": "уберите номер из списка, поле клиента, тег задачи или autodial do-not-call --remove",
        "en": "take the number off the list, the client's field, the task's tag, or"
        " autodial do-not-call --remove",
    },
    "change.no consent": {
        "ru": "отметьте согласие в поле клиента ([rules] consent_field), если оно получено",
        "en": "note the consent in the client's field ([rules] consent_field), if he has given it",
    },
    "change.wrong number": {"ru": "исправьте номер в CRM", "en": "correct the number in the CRM"},
    "change.same client": {
        "ru": "конец звонка по другой задаче",
        "en": "the end of the call for the other task",
    },
    "change.client hours": {
        "ru": "наступит время по часам клиента, см. [client]",
        "en": "the hour comes by the client's clock, see [client]",
    },
    "change.budget": {
        "ru": "пройдёт время, см. [client] per_day и другие",
        "en": "time passes, see [client] per_day and the others",
    },
    "change.hours": {
        "ru": "начнутся часы звонков, см. [hours]",
        "en": "calling hours begin, see [hours]",
    },
    "change.store moved": {
        "ru": "база снова на своём месте, диалер перезапущен",
        "en": "the store is in its place again, and the dialler was restarted",
    },
    "change.spool refuses": {
        "ru": "каталог спула снова доступен для записи",
        "en": "the spool can be written again",
    },
    "change.portal silent": {"ru": "портал снова ответит", "en": "the portal answers again"},
    "change.pbx silent": {
        "ru": "связь с manager Asterisk",
        "en": "Asterisk's manager answers again",
    },
    "change.dialplan": {
        "ru": "диалплан исправлен: autodial doctor скажет, чего в нём не хватает",
        "en": "the dialplan is put right: 'autodial doctor' says what it lacks",
    },
    "change.nobody at work": {
        "ru": "кто-нибудь из операторов войдёт в портал с включённым телефоном",
        "en": "an operator logs in, with a phone that is on",
    },
    "change.operators busy": {"ru": "оператор освободится", "en": "an operator gets free"},
    "change.responsible busy": {
        "ru": "ответственный освободится или выйдет [staff] wait_for_responsible",
        "en": "the responsible gets free, or [staff] wait_for_responsible runs out",
    },
    "change.not for others": {
        "ru": "освободится кто-то из них, или [staff] order, deputies",
        "en": "one of them gets free; or [staff] order, deputies",
    },
    "change.abandoned": {
        "ru": "доля потерянных клиентов станет меньше [pace] abandoned_cap, или освободится ещё"
        " один оператор",
        "en": "the share of abandoned calls falls below [pace] abandoned_cap, or one more operator"
        " gets free",
    },
    "change.no route": {
        "ru": "освободится линия или номер, см. [[purposes]] trunks, caller_ids",
        "en": "a line or a number gets free; see [[purposes]] trunks and caller_ids",
    },
    "change.trunks full": {
        "ru": "освободится линия, см. trunks и [pace] max_calls",
        "en": "a line gets free; see trunks and [pace] max_calls",
    },
    "change.pace": {"ru": "мгновение", "en": "a moment"},
    "change.other node": {
        "ru": "та станция звонит по своим правилам; см. autodial nodes",
        "en": "that node dials by its own rules; see 'autodial nodes'",
    },
    "change.shadow": {"ru": "[pace] shadow = false", "en": "[pace] shadow = false"},
    # states of an attempt
    "spooled": {"ru": "передан Asterisk", "en": "given to Asterisk"},
    "claimed": {"ru": "набирается", "en": "the client is dialled"},
    "answered": {"ru": "клиент ответил", "en": "the client has answered"},
    # lines of a history
    "client.never": {
        "ru": "Автодозвон: больше не звонить этому клиенту",
        "en": "Autodial: this client is not to be called again",
    },
    "event.given up": {"ru": "больше не звоним", "en": "given up"},
    "event.never call": {"ru": "не звонить", "en": "never call"},
    "event.imported": {"ru": "получена", "en": "imported"},
    "event.spooled": {"ru": "передан Asterisk", "en": "spooled"},
    "event.claimed": {"ru": "набран", "en": "claimed"},
    "event.claim refused": {"ru": "набор не разрешён", "en": "claim refused"},
    "event.ringing": {"ru": "звонит оператору", "en": "ringing"},
    "event.ended": {"ru": "итог", "en": "ended"},
    "event.put off": {"ru": "отложена", "en": "put off"},
    "event.disposition": {"ru": "код оператора", "en": "disposition"},
    "event.same client": {"ru": "тот же клиент", "en": "same client"},
    "event.again": {"ru": "отправить снова", "en": "send again"},
    "event.told portal": {"ru": "записано в портал", "en": "told portal"},
    "event.portal refused": {"ru": "портал отказал", "en": "portal refused"},
    "event.moved by hand": {"ru": "срок перенесён", "en": "moved by hand"},
    "event.number corrected": {"ru": "номер исправлен", "en": "number corrected"},
    "event.closed": {"ru": "закрыта", "en": "closed"},
    "event.skipped": {"ru": "пропущена", "en": "skipped"},
    "event.unskipped": {"ru": "снова в работе", "en": "taken back"},
    "event.confirmed": {"ru": "подтверждена", "en": "confirmed"},
    # what people did
    "act.pause": {"ru": "пауза", "en": "pause"},
    "act.resume": {"ru": "конец паузы", "en": "resume"},
    "act.call now": {"ru": "звонить сейчас", "en": "call now"},
    "act.skip": {"ru": "пропустить", "en": "skip"},
    "act.unskip": {"ru": "вернуть в работу", "en": "take back"},
    "act.disposition": {"ru": "код разговора", "en": "disposition"},
    "act.never call": {"ru": "не звонить", "en": "never call"},
    "act.may call": {"ru": "снова звонить", "en": "may call"},
    "act.day off": {"ru": "выходной", "en": "day off"},
    "act.working day": {"ru": "рабочий день", "en": "working day"},
    "act.send again": {"ru": "отправить снова", "en": "send again"},
    "act.reload": {"ru": "настройки", "en": "reload"},
    "act.test call": {"ru": "пробный звонок", "en": "test call"},
    "act.hand over": {"ru": "задачи переданы", "en": "hand over"},
    "act.take back": {"ru": "задачи возвращены", "en": "take back"},
    "act.postpone": {"ru": "перенести срок", "en": "postpone"},
    "act.token": {"ru": "ключ API", "en": "API token"},
    "door.command": {"ru": "команда", "en": "command"},
    "act.account": {"ru": "учётная запись", "en": "account"},
    "door.board": {"ru": "доска", "en": "board"},
    "door.portal": {"ru": "доска в портале", "en": "board in the portal"},
    "door.api": {"ru": "API", "en": "API"},
    "door.phone": {"ru": "телефон", "en": "phone"},
    # messages to the portal
    "message.register": {"ru": "звонок и карточка", "en": "call and card"},
    "message.move": {"ru": "карточка другому", "en": "card moved"},
    "message.notify": {"ru": "уведомление", "en": "notice"},
    "message.finish": {"ru": "конец звонка", "en": "end of call"},
    "message.record": {"ru": "запись разговора", "en": "recording"},
    "message.task": {"ru": "срок, ответственный", "en": "deadline, responsible"},
    "message.comment": {"ru": "комментарий", "en": "comment"},
    "message.status": {"ru": "статус задачи", "en": "status of the task"},
    "message.pending": {"ru": "ждёт", "en": "waits"},
    "message.sending": {"ru": "отправляется", "en": "being sent"},
    "message.delivered": {"ru": "доставлено", "en": "delivered"},
    "message.dead": {"ru": "не принято", "en": "dead letter"},
    # device states of Asterisk
    "device.NOT_INUSE": {"ru": "свободен", "en": "free"},
    "device.INUSE": {"ru": "занят", "en": "in use"},
    "device.BUSY": {"ru": "занят", "en": "busy"},
    "device.RINGING": {"ru": "звонит", "en": "rings"},
    "device.RINGINUSE": {"ru": "занят, звонит", "en": "in use, rings"},
    "device.ONHOLD": {"ru": "удержание", "en": "on hold"},
    "device.UNAVAILABLE": {"ru": "выключен", "en": "off"},
    "device.INVALID": {"ru": "нет в Asterisk", "en": "unknown to Asterisk"},
    "device.UNKNOWN": {"ru": "нет в Asterisk", "en": "unknown to Asterisk"},
    # the working day in the portal
    "day.opened": {"ru": "день начат", "en": "day begun"},
    "day.closed": {"ru": "день окончен", "en": "day over"},
    "day.paused": {"ru": "перерыв", "en": "break"},
    "day.expired": {"ru": "день не закрыт", "en": "day not closed"},
    # what an operator does
    "operator.no extension": {"ru": "нет внутреннего номера", "en": "no internal number"},
    "operator.offline": {"ru": "не на месте", "en": "not at work"},
    "operator.phone off": {"ru": "телефон выключен", "en": "the phone is off"},
    "operator.paused": {"ru": "на паузе", "en": "paused"},
    "operator.reserved": {"ru": "занят под звонок", "en": "held for a call"},
    "operator.talks": {"ru": "говорит", "en": "in a call"},
    "operator.writes": {"ru": "записывает разговор", "en": "writing up a talk"},
    "operator.free": {"ru": "свободен", "en": "free"},
}


def text(key: str, language: Language, **values: object) -> str:
    """The text for ``key``; raises KeyError for a key nobody wrote."""
    return CATALOGUE[key][language].format(**values)


def lasted(seconds: int, language: Language) -> str:
    """A length of time, for people."""
    minutes, rest = divmod(seconds, 60)
    key = "minutes" if minutes else "seconds"
    return text(key, language, minutes=minutes, seconds=rest)


def bb(text: str) -> str:
    """A text that its reader's portal will not take for BB code."""
    return one_line(text).replace("[", "(").replace("]", ")")


def escaped(text: str) -> str:
    """
    What a terminal or a log would obey, or not show, as ``\\x1b``: control characters, line ends,
    marks that turn the direction of writing, halves of surrogate pairs.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) for char in text)


#: Letters by their category, and nothing to the eye.
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")


def _escape(char: str) -> str:
    category = unicodedata.category(char)
    if category[0] == "C" or category in ("Zl", "Zp") or char in _FILLERS:
        return char.encode("unicode_escape", "surrogatepass").decode("ascii")
    return char


def one_line(name: str) -> str:
    """A name without control characters and line breaks, blanks folded."""
    kept = "".join(
        " " if unicodedata.category(char)[0] in "CZ" or char in _FILLERS else char for char in name
    )
    return " ".join(kept.split())


def cut(name: str, limit: int) -> str:
    """The longest beginning of ``name`` within ``limit`` bytes of UTF-8, at a character border."""
    data = name.encode("utf-8", "ignore")
    return data[:limit].decode("utf-8", "ignore").rstrip()


def caller_name(text: str) -> str:
    """As an operator's phone can show it: one line, and as much of it as fits."""
    return cut(one_line(text), CALLER_NAME)
