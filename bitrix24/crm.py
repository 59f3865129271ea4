"""The clients of a task's CRM codes, with the phones as typed in the CRM."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from bitrix24.asking import Asking, Command, chunks
from bitrix24.errors import AnswerStrange, PortalDenied, PortalRefused
from bitrix24.values import Client, Phone, entity
from bitrix24.wire import BATCH_LIMIT, PAGE, Row, each, plain, rows_of, shown

_log = Logger()

#: CRM code -> the list method, the portal's name of the entity, and the fields to select.
_HAVE_PHONES: Mapping[str, tuple[str, str, list[str]]] = {
    "C": ("crm.contact.list", "CONTACT", ["ID", "NAME", "LAST_NAME", "PHONE"]),
    "CO": ("crm.company.list", "COMPANY", ["ID", "TITLE", "PHONE"]),
    "L": (
        "crm.lead.list", "LEAD",
        ["ID", "TITLE", "NAME", "LAST_NAME", "PHONE", "CONTACT_ID", "COMPANY_ID"],
    ),
}  # fmt: skip
#: Error codes for a deleted smart process.
_GONE = frozenset({"NOT_FOUND", "ERROR_NOT_FOUND"})
_ITEM = ["id", "contactId", "contactIds", "companyId"]
_DEAL = ["ID", "CONTACT_ID", "COMPANY_ID"]
_CONTACTS = "crm.deal.contact.items.get"


class ClientMethods(Asking):
    """The CRM, as the dialler needs it."""

    #: Boxes of 2019 have no crm.item.list: deals are read by other methods, and there are no
    #: smart processes.
    _crm_items = True

    async def note_on_client(self, kind: str, number: int, text: str) -> None:
        """
        A comment in the history of a CONTACT, COMPANY or LEAD. Repeated, it stands there twice.
        """
        fields = {"ENTITY_ID": number, "ENTITY_TYPE": kind.lower(), "COMMENT": text}
        await self.call("crm.timeline.comment.add", {"fields": fields})

    async def clients(
        self, codes: Iterable[str], fields: Sequence[str] = ()
    ) -> dict[str, tuple[Client, ...] | None]:
        """
        The clients of CRM codes. A deal or an item of a smart process stands for its contacts and
        its company; so does a lead that has no phone of its own.

        One request for any 50 tasks, two if an entity refers to others. Unknown codes, and those
        that we do not call (quotes, orders, the recycle bin), are absent from the answer. None:
        the client is forbidden or unreadable. ``fields``: custom fields to return with each
        client.
        """
        wanted = {code: parts for code in codes if (parts := entity(code))}
        clients: dict[str, Client] = {}
        behind: dict[str, tuple[str, ...]] = {}
        unseen: set[str] = set()
        await self._ask(wanted, clients, behind, unseen, fields)
        further = {code for pointed in behind.values() for code in pointed if code not in clients}
        others = {code: parts for code in further if (parts := entity(code))}
        await self._ask(others, clients, {}, unseen, fields)
        answer: dict[str, tuple[Client, ...] | None] = {}
        for code in wanted:
            own = clients.get(code)
            if unseen & {code, *behind.get(code, ())}:
                answer[code] = None
            elif own is not None and (own.phones or not behind.get(code)):
                answer[code] = (own,)
            elif code in behind:
                through = tuple(clients[other] for other in behind[code] if other in clients)
                answer[code] = through or ((own,) if own else ())
        return answer

    async def _ask(
        self,
        wanted: Mapping[str, tuple[str, int]],
        clients: dict[str, Client],
        behind: dict[str, tuple[str, ...]],
        unseen: set[str],
        fields: Sequence[str],
    ) -> None:
        numbers: dict[str, list[int]] = {}
        for kind, number in sorted(wanted.values()):
            numbers.setdefault(kind, []).append(number)
        if not self._crm_items and "D" in numbers:
            await self._old_deals(numbers.pop("D"), behind, unseen)
        commands = {
            f"{kind}_{n}": _command(kind, some, fields)
            for kind, all_of_kind in numbers.items()
            for n, some in enumerate(chunks(all_of_kind, PAGE))
        }
        for key, result in (await self.batch_of_each(commands) if commands else {}).items():
            kind = key.partition("_")[0]
            if kind == "D" and _unknown_method(result):
                self._crm_items = False
                await self._old_deals(numbers.pop("D", []), behind, unseen)
                continue
            method = commands[key][0]
            if kind.startswith("T") and isinstance(result, PortalRefused) and result.code in _GONE:
                continue  # a deleted smart process has no clients
            criteria = commands[key][1]["filter"]
            codes = {f"{kind}_{number}" for number in criteria.get("@ID", criteria.get("@id"))}
            if isinstance(result, PortalRefused) and not isinstance(result, PortalDenied):
                unseen |= codes  # one kind is forbidden; the others are kept
                continue
            if isinstance(result, Exception):
                raise result
            name = "ID" if kind in _HAVE_PHONES else "id"
            try:
                rows = _rows(method, result)
                readable = each(rows, lambda row, name=name: (row.number(name), row))  # type: ignore[misc]
            except AnswerStrange as error:  # the other kinds are valid
                _log.error("{error}", error=error)
                unseen |= codes
                continue
            for number, row in readable:
                try:
                    _take(kind, number, row, clients, behind, fields)
                except AnswerStrange:  # one damaged client; the others are valid
                    unseen.add(f"{kind}_{number}")
            if len(readable) < len(rows):
                # At least one of the missing codes is unreadable; which one is unknown.
                unseen |= codes - set(clients) - set(behind)

    async def _old_deals(
        self, deals: Sequence[int], behind: dict[str, tuple[str, ...]], unseen: set[str]
    ) -> None:
        """The contacts and the company of deals, on boxes with the methods of 2019 only."""
        for some in chunks(deals, BATCH_LIMIT - 1):
            results = await self.batch_of_each(
                {
                    "deals": (
                        "crm.deal.list",
                        {"filter": {"@ID": some}, "select": _DEAL, "order": {"ID": "ASC"},
                         "start": -1},
                    ),
                    **{f"c{number}": (_CONTACTS, {"id": number}) for number in some},
                }
            )  # fmt: skip
            for trouble in results.values():
                if isinstance(trouble, PortalDenied) or (
                    isinstance(trouble, Exception) and not isinstance(trouble, PortalRefused)
                ):
                    raise trouble
            listed = results["deals"]
            if isinstance(listed, Exception):
                unseen |= {f"D_{number}" for number in some}
                continue
            rows = _rows("crm.deal.list", listed)
            readable = each(rows, lambda row: (row.number("ID"), row))
            for number, row in readable:
                try:
                    behind[f"D_{number}"] = _of_deal(row, results.get(f"c{number}"))
                except AnswerStrange:  # one damaged deal; the others are valid
                    unseen.add(f"D_{number}")
            if len(readable) < len(rows):
                unseen |= {f"D_{number}" for number in some} - set(behind)


def _of_deal(row: Row, contacts: Any) -> tuple[str, ...]:
    if isinstance(contacts, Exception):
        raise AnswerStrange(_CONTACTS, "result", str(contacts))
    ids = [contact.number("CONTACT_ID") for contact in rows_of(_CONTACTS, contacts)]
    return _pointed(Row(row.method, {**row.fields, "contactIds": ids}), "CONTACT_ID", "COMPANY_ID")


def _unknown_method(result: Any) -> bool:
    return isinstance(result, PortalRefused) and result.code == "ERROR_METHOD_NOT_FOUND"


def _take(
    kind: str,
    number: int,
    row: Row,
    clients: dict[str, Client],
    behind: dict[str, tuple[str, ...]],
    fields: Sequence[str],
) -> None:
    if kind not in _HAVE_PHONES:
        behind[f"{kind}_{number}"] = _pointed(row, "contactId", "companyId")
        return
    code = f"{kind}_{number}"
    clients[code] = _client(_HAVE_PHONES[kind][1], row, fields)
    if kind == "L" and (pointed := _pointed(row, "CONTACT_ID", "COMPANY_ID")):
        behind[code] = pointed


def _command(kind: str, numbers: Sequence[int], fields: Sequence[str]) -> Command:
    if kind in _HAVE_PHONES:
        method, _, select = _HAVE_PHONES[kind]
        return method, {
            "filter": {"@ID": numbers},
            "select": [*select, *fields],
            "order": {"ID": "ASC"},
            "start": -1,
        }
    return "crm.item.list", {
        # The code of a smart process holds its type's number in hexadecimal: T80_6 is of type 128.
        "entityTypeId": 2 if kind == "D" else int(kind[1:], 16),
        "filter": {"@id": numbers},
        "select": _ITEM,
        "order": {"id": "ASC"},
        "start": -1,
    }


def _rows(method: str, result: Any) -> list[Row]:
    """All rows; an item that is not an object has no number, and so counts as missing."""
    listed = Row(method, result).need("items") if method == "crm.item.list" else result
    items = list(listed.values()) if isinstance(listed, Mapping) else listed or []
    if not isinstance(items, list):
        raise AnswerStrange(method, "result", f"expected a list: {shown(items)}")
    return [Row(method, item if isinstance(item, dict) else {}) for item in items]


def _pointed(row: Row, contact: str, company: str) -> tuple[str, ...]:
    """The contacts and the company that a lead, a deal or an item refers to."""
    contacts = row.get("contactIds") or [row.get(contact)]
    if not isinstance(contacts, list):
        raise AnswerStrange(row.method, "contactIds", f"expected a list: {shown(contacts)}")
    numbers = [plain(number) for number in contacts]
    codes = [f"C_{number}" for number in numbers if number not in ("", "0")]
    number = plain(row.get(company))
    return (*codes, *([f"CO_{number}"] if number not in ("", "0") else []))


def _client(entity_type: str, row: Row, fields: Sequence[str]) -> Client:
    phones = []
    # An entity without phones has no PHONE at all.
    for phone in rows_of(row.method, row.get("PHONE"), "PHONE"):
        try:
            phones.append(Phone(phone.text("VALUE"), phone.text("VALUE_TYPE")))
        except AnswerStrange:
            continue  # a number without a text cannot be dialled; the others can
    return Client(
        entity_type=entity_type,
        entity_id=row.number("ID"),
        name=row.words("NAME", "LAST_NAME") or row.words("TITLE"),
        phones=tuple(phones),
        fields={name: _plain(row.get(name)) for name in fields if name in row},
    )


def _plain(value: Any) -> str:
    """A custom field as text; the portal writes true and false in several ways."""
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, list):  # a field of several values
        return ", ".join(filter(None, (plain(item) for item in value)))
    return plain(value)
