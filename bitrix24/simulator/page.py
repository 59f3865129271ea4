"""A web page of the simulated portal, and its state for tests. Read only."""

import unicodedata
from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import Any

from bitrix24.simulator.presence import online
from bitrix24.simulator.state import PortalState

_STATUS = {
    1: "новая", 2: "ждёт", 3: "выполняется", 4: "на контроле", 5: "завершена", 6: "отложена",
}  # fmt: skip
#: Most rows of the tables; the last changed ones.
_ROWS, _CALLS = 60, 15

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:1.5rem;color:#222;background:#f6f7f8}
h1{font-size:1.2rem} h2{font-size:1rem;margin:1.4rem 0 .4rem}
table{border-collapse:collapse;background:#fff;width:100%}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #e4e7ea;vertical-align:top}
th{background:#eef1f4;font-weight:600} .card{background:#fff3d6}
"""


def page(portal: PortalState) -> str:
    """The page, which reloads every two seconds."""
    with portal.lock:
        tasks = [
            (
                row["ID"], row["TITLE"], _STATUS.get(row["STATUS"], row["STATUS"]),
                _when(portal, row["DEADLINE"]), _name(portal, row["RESPONSIBLE_ID"]),
                _last(portal, row["ID"]),
            )
            for row in sorted(portal.tasks.values(), key=_touched, reverse=True)[:_ROWS]
        ]  # fmt: skip
        cards = [
            (
                _name(portal, user), call["PHONE"],
                portal.lines.get(call["LINE"]) or call["LINE"], _who(portal, call["CRM"]),
            )
            for call_id, call in portal.calls.items()
            for user in _shown_to(portal, call_id)
        ]  # fmt: skip
        calls = [
            (
                row["PHONE_NUMBER"], row["PORTAL_NUMBER"], _name(portal, row["PORTAL_USER_ID"]),
                f"{row['CALL_DURATION']} с, код {row['CALL_FAILED_CODE']}"
                + (", запись" if row["CALL_ID"] in portal.recordings else ""),
            )
            for row in reversed(portal.statistics[-_CALLS:])
        ]  # fmt: skip
        staff = [
            (
                number, _name(portal, number), row["UF_PHONE_INNER"] or "нет",
                "да" if online(portal, row) else "нет", _when(portal, row["LAST_LOGIN"]),
                _when(portal, row["LAST_ACTIVITY"]),
            )
            for number, row in sorted(portal.users.items())
        ]  # fmt: skip
        done = len(portal.executed)
    body = "".join(
        [
            _table("Карточки на экранах", ("Сотрудник", "Телефон", "Линия", "Клиент"), cards,
                   "card"),
            _table("Сотрудники", ("№", "Имя", "Внутренний", "Онлайн", "Вход", "Активность"), staff),
            _table("Законченные звонки", ("Телефон", "Линия", "Сотрудник", "Чем кончился"), calls),
            _table("Задачи", ("№", "Задача", "Статус", "Крайний срок", "Ответственный",
                              "Последний комментарий"), tasks),
        ]
    )  # fmt: skip
    return (
        '<!doctype html><html lang="ru"><head><meta charset="utf-8">'
        '<meta http-equiv="refresh" content="2"><title>Портал (имитация)</title>'
        f"<style>{_STYLE}</style></head><body><h1>Имитация портала Битрикс24: "
        f"{done} вызовов REST</h1>{body}</body></html>"
    )


def state(portal: PortalState) -> dict[str, Any]:
    """The portal's data, for a test in another process."""
    with portal.lock:
        return {
            "tasks": {
                number: {
                    "status": row["STATUS"],
                    "deadline": portal.out(row["DEADLINE"]),
                    "responsible": row["RESPONSIBLE_ID"],
                    "comments": [c["POST_MESSAGE"] for c in portal.comments.get(number, ())],
                }
                for number, row in portal.tasks.items()
            },
            "calls": {
                call_id: {"user": call["USER"], "phone": call["PHONE"], "line": call["LINE"]}
                for call_id, call in portal.calls.items()
            },
            "statistics": [
                {
                    "call": row["CALL_ID"],
                    "external": row["EXTERNAL_CALL_ID"],
                    "user": row["PORTAL_USER_ID"],
                    "seconds": row["CALL_DURATION"],
                    "code": row["CALL_FAILED_CODE"],
                    "recording": row["CALL_ID"] in portal.recordings,
                }
                for row in portal.statistics
            ],
            "online": [n for n, row in portal.users.items() if online(portal, row)],
            "requests": len(portal.requests),
        }


def _shown_to(portal: PortalState, call_id: str) -> list[int]:
    shown: list[int] = []
    for what, call, user in portal.cards:
        if call == call_id and what == "show" and user not in shown:
            shown.append(user)
        elif call == call_id and what == "hide" and user in shown:
            shown.remove(user)
    return shown


def _name(portal: PortalState, number: int) -> str:
    row = portal.users.get(number)
    return f"{row['NAME']} {row['LAST_NAME']}".strip() if row else str(number)


def _who(portal: PortalState, crm: tuple[str, int] | None) -> str:
    if crm is None:
        return ""
    rows = {"CONTACT": portal.contacts, "COMPANY": portal.companies, "LEAD": portal.leads}
    row = rows.get(crm[0], {}).get(crm[1], {})
    return f"{row.get('NAME', '')} {row.get('LAST_NAME', '')}".strip() or row.get("TITLE", "")


def _touched(task: dict[str, Any]) -> tuple[datetime, int]:
    return task["CHANGED_DATE"], -task["ID"]


def _last(portal: PortalState, task: int) -> str:
    rows = portal.comments.get(task)
    return rows[-1]["POST_MESSAGE"] if rows else ""


def _when(portal: PortalState, value: datetime | None) -> str:
    return f"{value.astimezone(portal.zone):%d.%m. %H:%M}" if value else ""


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[Any]], kind: str = "") -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = "".join(
        f'<tr class="{kind}">' + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{lines}</table>"


def _cell(value: Any) -> str:
    """Text on one line, without markup and without characters that change its direction."""
    text = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in str(value))
    return escape(text)
