"""
Fill a simulated portal with staff, clients and call tasks: one by one, or all from a seed.

The numbers are reserved for fiction (Ofcom's 020 7946 0xxx); the ways of writing them are real.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from bitrix24.simulator.portal import SimulatedPortal
from bitrix24.simulator.presence import log_in, log_out
from bitrix24.simulator.tasks import task_add

_NAMES = (
    "Анна Ковалёва", "Борис Лебедев", "Вера Соколова", "Глеб Орлов", "Дарья Жукова",
    "Егор Щукин", "Жанна Рябова", "Захар Ёлкин", "Инна Фомина", "Кирилл Цветков",
)  # fmt: skip
_CLIENTS = (
    "Иван Петров", "Мария Сидорова", "O'Brien & Sons", "ИП «Васильев»", "Ольга <Оля> Ким",
    "Пётр; Ильич", "Élodie Dupré", "Анна-Мария Ши", "Без Имени", "Юрий Цой",
)  # fmt: skip
#: How people write the British number 020 7946 0ddd in a Russian CRM.
_MESSY = (
    "+44 20 7946 0{0}", "+442079460{0}", "+44 (20) 7946-0{0}", "8~10 44 20 7946 0{0}",
    "+44 20 7946 0{0} доб. 12", "+44 20 7946 0{0} #15", "тел: +44 20 7946 0{0}",
    "+44 20 7946 0{0},,17", " +44\u00a020\u00a07946\u00a00{0} ", "0044 20 7946 0{0}",
)  # fmt: skip
_JUNK = ("нет", "спросить у Ани", "123", "", "+44 20 79", "000-000", "+7 (000) 000-00-00")
_KINDS = ("MOBILE", "WORK", "WORK", "HOME", "OTHER", "FAX", "PAGER")

#: The department of the call centre and the tag of its call tasks.
DEPARTMENT, TAG = 5, "autodial"
#: A smart process: its type number, and the prefix of its items' codes.
PROCESS, PROCESS_CODE = 128, "T80"


def add_operator(
    portal: SimulatedPortal,
    number: int,
    extension: str,
    *,
    name: str | None = None,
    seen: datetime | None = None,
) -> None:
    """A user of the call centre; at work if ``seen`` is recent."""
    portal.departments.setdefault(1, {"ID": 1, "NAME": "Компания", "PARENT": 0})
    portal.departments.setdefault(DEPARTMENT, {"ID": DEPARTMENT, "NAME": "Call-центр", "PARENT": 1})
    first, _, last = (name or _NAMES[number % len(_NAMES)]).partition(" ")
    portal.users[number] = {
        "ID": number,
        "ACTIVE": True,
        "NAME": first,
        "LAST_NAME": last,
        "UF_PHONE_INNER": extension,
        "UF_DEPARTMENT": [DEPARTMENT],
        "LAST_LOGIN": seen,
        "LAST_ACTIVITY": seen,
    }


def add_contact(portal: SimulatedPortal, name: str, *phones: tuple[str, str]) -> str:
    """A contact; returns its CRM code."""
    number = portal.next_id()
    first, _, last = name.partition(" ")
    portal.contacts[number] = {
        "ID": number,
        "NAME": first,
        "LAST_NAME": last,
        "PHONE": list(phones),
    }
    return f"C_{number}"


def add_company(portal: SimulatedPortal, title: str, *phones: tuple[str, str]) -> str:
    """A company; returns its CRM code."""
    number = portal.next_id()
    portal.companies[number] = {"ID": number, "TITLE": title, "PHONE": list(phones)}
    return f"CO_{number}"


def add_lead(
    portal: SimulatedPortal, title: str, *phones: tuple[str, str], contact: str = ""
) -> str:
    """A lead, with phones of its own or a contact's; returns its CRM code."""
    number = portal.next_id()
    portal.leads[number] = {
        "ID": number, "TITLE": title, "NAME": "", "LAST_NAME": "", "PHONE": list(phones),
        "CONTACT_ID": int(contact[2:]) if contact else None, "COMPANY_ID": None,
    }  # fmt: skip
    return f"L_{number}"


def add_deal(
    portal: SimulatedPortal, title: str, *contacts: str, company: str = "", process: bool = False
) -> str:
    """A deal, or an item of a smart process, with contacts and a company; its CRM code."""
    number = portal.next_id()
    row = {
        "ID": number,
        "TITLE": title,
        "CONTACT_IDS": [int(code[2:]) for code in contacts],
        "COMPANY_ID": int(company[3:]) if company else 0,
    }
    if process:
        portal.items.setdefault(PROCESS, {})[number] = row
        return f"{PROCESS_CODE}_{number}"
    portal.deals[number] = row
    return f"D_{number}"


def add_task(
    portal: SimulatedPortal, title: str, *codes: str, responsible: int, deadline: datetime,
    tags: tuple[str, ...] = (),
) -> int:  # fmt: skip
    """A call task with its tag and further tags; returns its id."""
    fields = {
        "TITLE": title,
        "RESPONSIBLE_ID": responsible,
        "DEADLINE": deadline.isoformat(),
        "UF_CRM_TASK": list(codes),
        "TAGS": [TAG, *tags],
    }
    with portal.lock:
        return int(task_add(portal, {"fields": fields})["task"]["id"])


def populate(
    portal: SimulatedPortal, seed: int, *, tasks: int, operators: int, now: datetime
) -> None:
    """
    A complete portal, the same for the same seed: staff of two departments with logins through
    the day, clients of every kind with irregular phones, tasks due from yesterday to tomorrow.
    """
    random = Random(seed)
    portal.departments[6] = {"ID": 6, "NAME": "Вторая смена", "PARENT": DEPARTMENT}
    for place in range(operators):
        _operator(portal, random, 500 + place, now)
    for place in range(tasks):
        codes = [_client(portal, random) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        add_task(
            portal,
            f"Позвонить: {random.choice(_CLIENTS)}, вопрос {place}",
            *codes,
            responsible=500 + random.randrange(max(operators, 1)),
            deadline=now + timedelta(minutes=random.randint(-1440, 1440)),
        )


def _operator(portal: SimulatedPortal, random: Random, number: int, now: datetime) -> None:
    """Logged in this morning or yesterday; some are gone, a few have no internal number."""
    extension = "" if random.random() < 0.05 else str(number - 400 + 1)
    add_operator(portal, number, extension)
    row = portal.users[number]
    if random.random() < 0.3:
        row["UF_DEPARTMENT"] = [6]
    came = now - timedelta(minutes=random.randint(30, 600))
    left = came + timedelta(minutes=random.randint(60, 500))
    clock, portal.now = portal.now, lambda: came
    try:
        log_in(portal, number)
        row["DAY"] = "OPENED"
        row["LAST_ACTIVITY"] = min(left, now)
        if left < now:
            portal.now = lambda: left
            row["DAY"] = "CLOSED"
            if random.random() < 0.7:  # the others close the browser
                log_out(portal, number)
    finally:
        portal.now = clock


def _phones(random: Random) -> Sequence[tuple[str, str]]:
    phones = []
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        number = _MESSY[random.randrange(len(_MESSY))].format(f"{random.randrange(1000):03d}")
        phones.append((random.choice(_KINDS), number))
    if random.random() < 0.1:
        phones.append(("WORK", random.choice(_JUNK)))
    return phones


def _client(portal: SimulatedPortal, random: Random) -> str:
    name = random.choice(_CLIENTS)
    match random.randrange(10):
        case 0:
            return add_company(portal, f"ООО «{name}»", *_phones(random))
        case 1:
            contact = add_contact(portal, name, *_phones(random))
            return add_lead(portal, f"Лид {name}", *_phones(random), contact=contact)
        case 2:
            contacts = [add_contact(portal, name, *_phones(random)) for _ in range(2)]
            company = add_company(portal, f"ООО «{name}»", *_phones(random))
            return add_deal(portal, f"Сделка {name}", *contacts, company=company)
        case 3:
            contact = add_contact(portal, name, *_phones(random))
            return add_deal(portal, f"Заявка {name}", contact, process=True)
        case _:
            return add_contact(portal, name, *_phones(random))
