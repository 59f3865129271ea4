"""CRM entities with their phones, as the old methods and crm.item.* answer."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal, missing, old
from bitrix24.simulator.php import Page, page

if TYPE_CHECKING:
    from bitrix24.simulator.portal import SimulatedPortal

Row = dict[str, Any]
Rows = dict[int, Row]

#: Type numbers of crm.item.* that are not smart processes.
_LEAD, _DEAL, _CONTACT, _COMPANY = 1, 2, 3, 4


def _list(rows: Rows, params: Row) -> Page:
    criteria = params.get("filter") or {}
    order = params.get("order") or {"ID": "ASC"}
    descending = str(next(iter(order.values()))).upper() == "DESC"
    found = [row for row in _candidates(rows, criteria) if _matches(row, criteria)]
    if descending:
        found.reverse()
    select = php.as_list(params.get("select"))
    return page(found, params.get("start"), lambda some: [_shown(row, select) for row in some])


def _candidates(rows: Rows, criteria: Row) -> Iterable[Row]:
    """By id where the filter names ids: a portal has an index for that."""
    wanted = criteria.get("@ID", criteria.get("ID"))
    if wanted is None:
        return [row for _, row in sorted(rows.items())]
    numbers = sorted({int(n) for n in php.as_list(wanted) if str(n).isdigit()})
    return [rows[number] for number in numbers if number in rows]


def _matches(row: Row, criteria: Row) -> bool:
    for prefixed, wanted in criteria.items():
        match = re.fullmatch(r"(>=|<=|!=|!@|@|!|>|<|=|%)?(\w+)", str(prefixed))
        if match is None or match.group(2) not in row:
            continue  # unknown names are ignored
        sign, have = match.group(1) or "=", row[match.group(2)]
        if sign in (">", ">=", "<", "<="):
            number = int(wanted) if str(wanted).isdigit() else 0
            holds = {">": have > number, ">=": have >= number, "<": have < number}
            if not holds.get(sign, have <= number):
                return False
        elif sign == "%":
            if str(wanted).lower() not in str(have).lower():
                return False
        elif (str(have) in [str(n) for n in php.as_list(wanted)]) == sign.startswith("!"):
            return False
    return True


def _shown(row: Row, select: list[str]) -> Row:
    """Multifields come only if named, and an entity without phones has no PHONE at all."""
    said: Row = {
        name: None if value is None else str(value)
        for name, value in row.items()
        if name not in ("PHONE", "CONTACT_IDS")
        and (not select or "*" in select or name in select or name == "ID")
    }
    if "HAS_PHONE" in select or "*" in select or not select:
        said["HAS_PHONE"] = "Y" if row.get("PHONE") else "N"
    if "PHONE" in select and row.get("PHONE"):
        said["PHONE"] = [
            {"ID": str(n), "VALUE_TYPE": kind, "VALUE": value, "TYPE_ID": "PHONE"}
            for n, (kind, value) in enumerate(row["PHONE"], int(row["ID"]) * 10)
        ]
    return said


def contact_list(portal: "SimulatedPortal", params: Row) -> Page:
    return _list(portal.contacts, params)


def company_list(portal: "SimulatedPortal", params: Row) -> Page:
    return _list(portal.companies, params)


def lead_list(portal: "SimulatedPortal", params: Row) -> Page:
    return _list(portal.leads, params)


def deal_list(portal: "SimulatedPortal", params: Row) -> Page:
    """A deal has no PHONE, and shows its primary contact only."""
    return _list({number: _deal(row) for number, row in portal.deals.items()}, params)


def _deal(row: Row) -> Row:
    return {
        "ID": row["ID"],
        "TITLE": row["TITLE"],
        "STAGE_ID": row.get("STAGE_ID", "NEW"),
        "CLOSED": row.get("CLOSED", "N"),
        "CONTACT_ID": (row["CONTACT_IDS"] or [None])[0],
        "COMPANY_ID": row["COMPANY_ID"],
    }


def _get(name: str) -> Any:
    def get(portal: "SimulatedPortal", params: Row) -> Any:
        rows: Rows = getattr(portal, name)
        row = rows.get(int(params.get("id") or params.get("ID") or 0))
        if row is None:
            raise old("Not found")
        if name == "deals":
            row = _deal(row)
        return _shown(row, ["*", "PHONE"])

    return get


def deal_contacts(portal: "SimulatedPortal", params: Row) -> Any:
    row = portal.deals.get(int(params.get("id") or 0))
    if row is None:
        raise old("Not found")
    return [
        {"CONTACT_ID": number, "SORT": 100, "ROLE_ID": 0, "IS_PRIMARY": "N" if place else "Y"}
        for place, number in enumerate(row["CONTACT_IDS"])
    ]


def item_list(portal: "SimulatedPortal", params: Row) -> Page:
    kind = params.get("entityTypeId")
    if kind is None:
        raise missing("entityTypeId")
    rows = _items(portal, int(kind))
    criteria = params.get("filter") or {}
    wanted = criteria.get("@id", criteria.get("id"))
    above = int(criteria.get(">id") or 0)
    numbers = None if wanted is None else {str(n) for n in php.as_list(wanted)}
    select = php.as_list(params.get("select")) or ["*"]
    found = [
        row
        for number, row in sorted(rows.items())
        if number > above and (numbers is None or str(number) in numbers)
    ]
    return page(
        found, params.get("start"), lambda some: {"items": [_item(row, select) for row in some]}
    )


def _items(portal: "SimulatedPortal", kind: int) -> Rows:
    plain = {
        _LEAD: portal.leads, _DEAL: portal.deals, _CONTACT: portal.contacts,
        _COMPANY: portal.companies,
    }.get(kind)  # fmt: skip
    if plain is not None:
        return plain
    if kind not in portal.items:
        raise Refusal(400, "NOT_FOUND", "Смарт-процесс не найден")
    return portal.items[kind]


def _item(row: Row, select: list[str]) -> Row:
    contacts = list(
        row.get("CONTACT_IDS") or ([row["CONTACT_ID"]] if row.get("CONTACT_ID") else [])
    )
    said = {
        "id": row["ID"],
        "title": row.get("TITLE", ""),
        "contactId": (contacts or [0])[0],
        "contactIds": contacts,
        "companyId": row.get("COMPANY_ID") or 0,
    }
    said = {k: v for k, v in said.items() if "*" in select or k in select}
    if "*" in select:  # it cannot be named
        said["fm"] = [
            {"id": n, "valueType": kind, "value": value, "typeId": "PHONE"}
            for n, (kind, value) in enumerate(row.get("PHONE") or (), int(row["ID"]) * 10)
        ]
    return said


def find_by_phone(portal: "SimulatedPortal", params: Row) -> Any:
    wanted = {_digits(value) for value in php.as_list(params.get("values"))}
    families = (("CONTACT", portal.contacts), ("COMPANY", portal.companies), ("LEAD", portal.leads))
    found = {
        name: [
            number
            for number, row in sorted(rows.items())
            if any(_digits(value) in wanted for _, value in row.get("PHONE") or ())
        ]
        for name, rows in families
    }
    return {name: numbers for name, numbers in found.items() if numbers}


def _digits(value: Any) -> str:
    return re.sub(r"\D", "", str(value))


METHODS = {
    "crm.contact.list": contact_list,
    "crm.company.list": company_list,
    "crm.lead.list": lead_list,
    "crm.deal.list": deal_list,
    "crm.contact.get": _get("contacts"),
    "crm.company.get": _get("companies"),
    "crm.lead.get": _get("leads"),
    "crm.deal.get": _get("deals"),
    "crm.deal.contact.items.get": deal_contacts,
    "crm.item.list": item_list,
    "crm.duplicate.findbycomm": find_by_phone,
}
