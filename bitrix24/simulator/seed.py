"""Fill a simulated portal with staff, clients and call tasks. Numbers are reserved for fiction."""

from datetime import datetime

from bitrix24.simulator.portal import SimulatedPortal

_NAMES = (
    "Анна Ковалёва", "Борис Лебедев", "Вера Соколова", "Глеб Орлов", "Дарья Жукова",
    "Егор Щукин", "Жанна Рябова", "Захар Ёлкин", "Инна Фомина", "Кирилл Цветков",
)  # fmt: skip

#: The department and the tag that make a call centre and its call tasks.
DEPARTMENT, TAG = 5, "autodial"


def add_operator(
    portal: SimulatedPortal,
    number: int,
    extension: str,
    *,
    name: str | None = None,
    seen: datetime | None = None,
) -> None:
    """A member of the call centre; at work if ``seen`` is recent."""
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


def add_task(
    portal: SimulatedPortal, title: str, *codes: str, responsible: int, deadline: datetime
) -> int:
    """A call task, tagged as one; returns its id."""
    fields = {
        "TITLE": title,
        "RESPONSIBLE_ID": responsible,
        "DEADLINE": deadline.isoformat(),
        "UF_CRM_TASK": list(codes),
        "TAGS": [TAG],
    }
    said = _add(portal, fields)
    return int(said)


def _add(portal: SimulatedPortal, fields: dict[str, object]) -> int:
    from bitrix24.simulator.tasks import task_add

    with portal.lock:
        return int(task_add(portal, {"fields": fields})["task"]["id"])
