"""CRM entities with their phones, as the old list methods and crm.item.list answer."""

from typing import TYPE_CHECKING, Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal, missing
from bitrix24.simulator.tasks import Page, page

if TYPE_CHECKING:
    from bitrix24.simulator.portal import SimulatedPortal

Row = dict[str, Any]


def _list(rows: dict[int, Row], params: Row) -> Page:
    criteria = params.get("filter") or {}
    wanted = criteria.get("@ID")
    after = int(criteria.get(">ID") or 0)
    found = [
        row
        for number, row in sorted(rows.items())
        if number > after
        and (wanted is None or str(number) in [str(n) for n in php.as_list(wanted)])
    ]
    select = php.as_list(params.get("select"))
    return page([_shown(row, select) for row in found], params.get("start"))


def _shown(row: Row, select: list[str]) -> Row:
    """Multifields come only if named, and an entity without phones has no PHONE at all."""
    said: Row = {
        name: str(value)
        for name, value in row.items()
        if name != "PHONE" and (not select or "*" in select or name in select or name == "ID")
    }
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
    rows = {
        number: {
            "ID": number,
            "TITLE": row["TITLE"],
            "CONTACT_ID": (row["CONTACT_IDS"] or [""])[0],
            "COMPANY_ID": row["COMPANY_ID"],
        }
        for number, row in portal.deals.items()
    }
    return _list(rows, params)


def item_list(portal: "SimulatedPortal", params: Row) -> Page:
    kind = params.get("entityTypeId")
    if kind is None:
        raise missing("entityTypeId")
    if int(kind) != 2:
        raise Refusal(400, "NOT_FOUND", "Смарт-процесс не найден")
    wanted = (params.get("filter") or {}).get("@id")
    select = php.as_list(params.get("select")) or ["*"]
    rows = []
    for number, row in sorted(portal.deals.items()):
        if wanted is not None and str(number) not in [str(n) for n in php.as_list(wanted)]:
            continue
        item = {
            "id": number,
            "title": row["TITLE"],
            "contactId": (row["CONTACT_IDS"] or [0])[0],
            "contactIds": list(row["CONTACT_IDS"]),
            "companyId": row["COMPANY_ID"],
        }
        rows.append({k: v for k, v in item.items() if "*" in select or k in select})
    return page(rows, params.get("start"), lambda found: {"items": found})


METHODS = {
    "crm.contact.list": contact_list,
    "crm.company.list": company_list,
    "crm.lead.list": lead_list,
    "crm.deal.list": deal_list,
    "crm.item.list": item_list,
}
