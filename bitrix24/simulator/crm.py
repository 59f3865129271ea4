"""CRM entities with their phones, for the old methods and crm.item.*."""

import re
from collections.abc import Iterable
from typing import Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal, ill_typed, missing, old
from bitrix24.simulator.filters import criterion, holds, ordered
from bitrix24.simulator.php import Page, intval, page
from bitrix24.simulator.state import PortalState, Row

Rows = dict[int, Row]

#: Type numbers of crm.item.* that are not smart processes.
_LEAD, _DEAL, _CONTACT, _COMPANY = 1, 2, 3, 4
#: Columns that every entity of the kind has, even unfilled.
_PLAIN = {"SECOND_NAME": None, "ASSIGNED_BY_ID": 1, "COMPANY_ID": None}


def _list(portal: PortalState, rows: Rows, params: Row) -> Page:
    criteria = php.as_map(params.get("filter"))
    order = php.as_map(params.get("order")) or {"ID": "ASC"}
    candidates, further = _candidates(rows, criteria)
    matching = [row for row in candidates if _matches(portal, row, further)]
    matching = ordered(matching, order)
    select = [str(name) for name in php.as_list(params.get("select"))]
    return page(
        matching,
        params.get("start"),
        lambda candidates: [_shown(row, select) for row in candidates],
    )


def _candidates(rows: Rows, criteria: Row) -> tuple[Iterable[Row], Row]:
    """The rows by id if the filter names ids (a portal has an index), and the remaining filter."""
    name = next((name for name in ("@ID", "ID") if name in criteria), None)
    if name is None:
        return rows.values(), criteria
    numbers = {intval(number) for number in php.as_list(criteria[name])}
    further = {other: wanted for other, wanted in criteria.items() if other != name}
    return [rows[number] for number in numbers if number in rows], further


def _matches(portal: PortalState, row: Row, criteria: Row) -> bool:
    for prefixed, wanted in criteria.items():
        sign, name = criterion(prefixed)
        have = row.get(name)
        if name == "HAS_PHONE":
            have = "Y" if row.get("PHONE") else "N"
        elif name == "PHONE":
            have = [value for _, value in row.get("PHONE") or ()]
        elif name not in row and name not in _PLAIN:
            continue  # unknown names are ignored
        if not holds(sign, have, wanted, portal.into):
            return False
    return True


def _shown(row: Row, select: list[str]) -> Row:
    """Multifields are returned only if named; an entity without phones has no PHONE."""
    fields: Row = {
        name: None if value is None else php.strval(value)
        for name, value in ({**_PLAIN, **row} if "NAME" in row else row).items()
        if name not in ("PHONE", "CONTACT_IDS")
        and (not select or "*" in select or name in select or name == "ID")
    }
    if "HAS_PHONE" in select or "*" in select or not select:
        fields["HAS_PHONE"] = "Y" if row.get("PHONE") else "N"
    if "PHONE" in select and row.get("PHONE"):
        fields["PHONE"] = [
            {"ID": str(n), "VALUE_TYPE": kind, "VALUE": value, "TYPE_ID": "PHONE"}
            for n, (kind, value) in enumerate(row["PHONE"], int(row["ID"]) * 10)
        ]
    return fields


def contact_list(portal: PortalState, params: Row) -> Page:
    return _list(portal, portal.contacts, params)


def company_list(portal: PortalState, params: Row) -> Page:
    return _list(portal, portal.companies, params)


def lead_list(portal: PortalState, params: Row) -> Page:
    return _list(portal, portal.leads, params)


def deal_list(portal: PortalState, params: Row) -> Page:
    """A deal has no PHONE, and shows its primary contact only."""
    return _list(portal, {number: _deal(row) for number, row in portal.deals.items()}, params)


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
    def get(portal: PortalState, params: Row) -> Any:
        rows: Rows = getattr(portal, name)
        row = rows.get(intval(params.get("id") or params.get("ID")))
        if row is None:
            raise old("Not found")
        if name == "deals":
            row = _deal(row)
        return _shown(row, ["*", "PHONE"])

    return get


def deal_contacts(portal: PortalState, params: Row) -> Any:
    row = portal.deals.get(intval(params.get("id")))
    if row is None:
        raise old("Not found")
    return [
        {"CONTACT_ID": number, "SORT": 100, "ROLE_ID": 0, "IS_PRIMARY": "N" if place else "Y"}
        for place, number in enumerate(row["CONTACT_IDS"])
    ]


def item_list(portal: PortalState, params: Row) -> Page:
    kind = params.get("entityTypeId")
    if kind is None:
        raise missing("entityTypeId")
    if not intval(kind):
        raise ill_typed("entityTypeId", kind, "int")
    items = [_item(row) for row in _items(portal, intval(kind)).values()]
    for prefixed, wanted in php.as_map(params.get("filter")).items():
        sign, name = criterion(prefixed)
        if name in _ITEM:
            items = [row for row in items if holds(sign, row[name], wanted, portal.into)]
        elif items:
            raise Refusal(400, "ERROR_CORE", f"Unknown field definition `{name}`")
    items = ordered(items, php.as_map(params.get("order")) or {"id": "ASC"})
    select = [str(name) for name in php.as_list(params.get("select"))] or ["*"]
    return page(
        items,
        params.get("start"),
        lambda some: {"items": [_selected(row, select) for row in some]},
    )


def _items(portal: PortalState, kind: int) -> Rows:
    plain = {
        _LEAD: portal.leads, _DEAL: portal.deals, _CONTACT: portal.contacts,
        _COMPANY: portal.companies,
    }.get(kind)  # fmt: skip
    if plain is not None:
        return plain
    if kind not in portal.items:
        raise Refusal(400, "NOT_FOUND", "Смарт-процесс не найден")
    return portal.items[kind]


_ITEM = ("id", "title", "contactId", "contactIds", "companyId", "assignedById")


def _item(row: Row) -> Row:
    contacts = list(
        row.get("CONTACT_IDS") or ([row["CONTACT_ID"]] if row.get("CONTACT_ID") else [])
    )
    phones = [
        {"id": n, "valueType": kind, "value": value, "typeId": "PHONE"}
        for n, (kind, value) in enumerate(row.get("PHONE") or (), int(row["ID"]) * 10)
    ]
    return {
        "id": row["ID"],
        "title": row.get("TITLE", ""),
        "contactId": (contacts or [0])[0],
        "contactIds": contacts,
        "companyId": row.get("COMPANY_ID") or 0,
        "assignedById": row.get("ASSIGNED_BY_ID") or 1,
        "phone": phones[0]["value"] if phones else "",
        "fm": phones,
    }


def _selected(row: Row, select: list[str]) -> Row:
    """``fm`` cannot be selected by name: it comes with ``*`` only."""
    if "*" in select:
        return row
    return {name: value for name, value in row.items() if name in select and name != "fm"}


def find_by_phone(portal: PortalState, params: Row) -> Any:
    wanted = {_digits(value) for value in php.as_list(params.get("values"))}
    families = (("CONTACT", portal.contacts), ("COMPANY", portal.companies), ("LEAD", portal.leads))
    matches = {
        name: [
            number
            for number, row in sorted(rows.items())
            if any(_digits(value) in wanted for _, value in row.get("PHONE") or ())
        ]
        for name, rows in families
    }
    return {name: numbers for name, numbers in matches.items() if numbers}


def _digits(value: Any) -> str:
    return re.sub(r"\D", "", str(value))


def timeline_comment(portal: PortalState, params: Row) -> Any:
    fields = params.get("fields")
    if not isinstance(fields, dict):
        raise Refusal(400, "100", "Could not find value for parameter {fields}")
    kinds = {"contact": portal.contacts, "company": portal.companies, "lead": portal.leads,
             "deal": portal.deals}  # fmt: skip
    kind, number = str(fields.get("ENTITY_TYPE", "")).lower(), intval(fields.get("ENTITY_ID"))
    if number not in kinds.get(kind, {}):
        raise Refusal(400, "", "Owner was not found")
    comment = portal.next_id()
    text = str(fields.get("COMMENT") or "")
    portal.timeline.append({"ID": comment, "TYPE": kind, "OWNER": number, "COMMENT": text})
    return comment


METHODS = {
    "crm.timeline.comment.add": timeline_comment,
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
