"""External lines and calls: register, show, hide, finish, statistics."""

import base64
import binascii
import hashlib
import re
from datetime import timedelta
from typing import Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal, old
from bitrix24.simulator.filters import criterion, holds, ordered
from bitrix24.simulator.php import Page, UnconvertedDate, intval, page
from bitrix24.simulator.state import PortalState, Row

#: Columns of a finished call that the portal does not return: for tests.
_OURS = ("MISSED", "REGISTERED")
#: An unfinished call with the same key is returned again for this long.
SAME_CALL = timedelta(minutes=30)


def _by_webhook(portal: PortalState) -> None:
    if not portal.telephony_by_webhook:
        text = "Current authorization type is denied for this method"
        raise Refusal(403, "WRONG_AUTH_TYPE", text)


def line_add(portal: PortalState, params: Row) -> Any:
    _by_webhook(portal)
    number = str(params.get("NUMBER") or "")
    if not number:
        raise old("NUMBER should not be empty")
    if number in portal.lines:
        raise old("Line already exists")
    portal.lines[number] = str(params.get("NAME") or "")
    portal.made_lines += 1
    return {"ID": portal.made_lines}


def line_update(portal: PortalState, params: Row) -> Any:
    _by_webhook(portal)
    number = str(params.get("NUMBER") or "")
    if number not in portal.lines:
        raise old(f"Could not find line with number {number}")
    if "NAME" in params:
        portal.lines[number] = php.strval(params["NAME"])
    return True


def line_delete(portal: PortalState, params: Row) -> Any:
    _by_webhook(portal)
    number = str(params.get("NUMBER") or "")
    if number not in portal.lines:
        raise old(f"Could not find line with number {number}")
    del portal.lines[number]
    return True


def line_get(portal: PortalState, params: Row) -> Any:
    _by_webhook(portal)
    return [
        {"NUMBER": number, "NAME": name, "CRM_AUTO_CREATE": "N"}
        for number, name in portal.lines.items()
    ]


def _user(portal: PortalState, params: Row) -> int:
    if params.get("USER_ID"):
        row = portal.users.get(intval(params["USER_ID"]))
        if row is None or not row["ACTIVE"]:
            raise old("User is not found or is not active")
        return int(row["ID"])
    inner = str(params.get("USER_PHONE_INNER") or "")
    for row in portal.users.values():
        if inner and row["UF_PHONE_INNER"] == inner and row["ACTIVE"]:
            return int(row["ID"])
    raise old("USER_ID or USER_PHONE_INNER should be set")


def call_register(portal: PortalState, params: Row) -> Any:
    _by_webhook(portal)
    user = _user(portal, params)
    phone = re.sub(r"[^0-9#*+,;]", "", str(params.get("PHONE_NUMBER") or ""))
    if not phone:
        raise old("Unsupported phone number format")
    if str(params.get("TYPE")) not in ("1", "2", "3", "4", "5"):
        raise old("Unknown TYPE")
    line = str(params.get("LINE_NUMBER") or "")[:50]
    if line:
        portal.lines.setdefault(line, "")  # an unknown line is created, without a name
    key = (user, phone, str(params["TYPE"]), line, str(params.get("EXTERNAL_CALL_ID") or ""))
    now = portal.now()
    given = params.get("CALL_START_DATE")
    start = portal.typed(php.strval(given)) if given else now
    if start is None:
        raise old("CALL_START_DATE should be in the ISO-8601 format")
    for call_id, call in portal.calls.items():
        # The line and the external id are compared only if given now.
        same = all(new in ("", known) for new, known in zip(key, call["key"], strict=True))
        if same and now - call["START"] < SAME_CALL:
            _show(portal, call_id, params, user)
            return _registered(call_id, call)
    digest = hashlib.md5(repr((key, len(portal.calls), now)).encode()).hexdigest()
    call_id = f"externalCall.{digest}.{int(now.timestamp())}"
    portal.calls[call_id] = {
        "key": key,
        "USER": user,
        "PHONE": phone,
        "TYPE": int(params["TYPE"]),
        "LINE": line,
        "EXTERNAL_CALL_ID": key[-1],
        "START": start,
        "REGISTERED": now,
        "CRM": _crm(portal, params, phone),
        "LEAD": None,
    }
    _make_lead(portal, portal.calls[call_id], params)
    _show(portal, call_id, params, user)
    portal.emit(
        "OnVoximplantCallInit",
        CALL_ID=call_id, CALL_TYPE=params["TYPE"], CALLER_ID=phone, REST_APP_ID="",
    )  # fmt: skip
    portal.emit("OnVoximplantCallStart", CALL_ID=call_id, USER_ID=user)
    return _registered(call_id, portal.calls[call_id])


def _show(portal: PortalState, call_id: str, params: Row, user: int) -> None:
    if php.truthy(params.get("SHOW", 1)):
        portal.cards.append(("show", call_id, user))


def _crm(portal: PortalState, params: Row, phone: str) -> tuple[str, int] | None:
    if params.get("CRM_ENTITY_TYPE") and params.get("CRM_ENTITY_ID"):
        return str(params["CRM_ENTITY_TYPE"]), intval(params["CRM_ENTITY_ID"])
    if any(row["UF_PHONE_INNER"] == phone for row in portal.users.values()):
        return None  # a user's number: an internal call
    digits = re.sub(r"\D", "", phone)
    families = (("CONTACT", portal.contacts), ("COMPANY", portal.companies), ("LEAD", portal.leads))
    for kind, rows in families:
        for number, row in rows.items():
            if any(re.sub(r"\D", "", value) == digits for _, value in row.get("PHONE", ())):
                return kind, number
    return None


def _make_lead(portal: PortalState, call: Row, params: Row) -> None:
    """An unknown caller becomes a lead, if requested."""
    wanted = php.truthy(params.get("CRM_CREATE")) and call["CRM"] is None
    if not wanted or any(row["UF_PHONE_INNER"] == call["PHONE"] for row in portal.users.values()):
        return
    number = portal.next_id()
    portal.leads[number] = {
        "ID": number, "TITLE": call["PHONE"], "NAME": "", "LAST_NAME": "", "CONTACT_ID": None,
        "COMPANY_ID": None, "PHONE": [("WORK", call["PHONE"])],
    }  # fmt: skip
    call["LEAD"], call["CRM"] = number, ("LEAD", number)


def _registered(call_id: str, call: Row) -> Row:
    kind, number = call["CRM"] or ("", None)
    lead = call["LEAD"]
    return {
        "CALL_ID": call_id,
        "CRM_CREATED_LEAD": lead,
        "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": lead}] if lead else [],
        "CRM_ENTITY_TYPE": kind,
        "CRM_ENTITY_ID": number,
    }


def call_show(portal: PortalState, params: Row) -> Any:
    return _card(portal, params, "show")


def call_hide(portal: PortalState, params: Row) -> Any:
    return _card(portal, params, "hide")


def _card(portal: PortalState, params: Row, what: str) -> bool:
    call = portal.calls.get(str(params.get("CALL_ID")))
    if call is None:
        return False  # never an error
    for user in php.as_list(params.get("USER_ID")) or [call["USER"]]:
        portal.cards.append((what, str(params["CALL_ID"]), intval(user)))
    return True


def call_finish(portal: PortalState, params: Row) -> Any:
    _by_webhook(portal)
    call_id = str(params.get("CALL_ID") or "")
    user = _user(portal, params)
    call = portal.calls.pop(call_id, None)
    if call is None:
        raise old("Call is not found (call should be registered prior to finishing")
    seconds = intval(params.get("DURATION"))
    reason = php.strval(params.get("FAILED_REASON"))
    cost, currency = params.get("COST") or 0, php.strval(params.get("COST_CURRENCY"))
    code = str(params.get("STATUS_CODE") or ("200" if seconds else "304"))
    kind, number = call["CRM"] or ("", None)
    row = {
        "ID": portal.next_id(),
        "CALL_ID": call_id,
        "EXTERNAL_CALL_ID": call["EXTERNAL_CALL_ID"],
        "PORTAL_USER_ID": user,
        "PHONE_NUMBER": call["PHONE"],
        "PORTAL_NUMBER": call["LINE"],
        "CALL_TYPE": call["TYPE"],
        "CALL_DURATION": seconds,
        "CALL_START_DATE": call["START"],
        "CALL_FAILED_CODE": code,
        "CALL_FAILED_REASON": reason,
        "CALL_CATEGORY": "external",
        "CALL_VOTE": intval(params.get("VOTE")),
        "COST": cost,
        "COST_CURRENCY": currency,
        "CRM_ENTITY_TYPE": kind,
        "CRM_ENTITY_ID": number,
        "CRM_ACTIVITY_ID": portal.next_id() if number else False,
        "MISSED": call["TYPE"] in (2, 3) and code == "304",
        "REGISTERED": call["REGISTERED"],
    }
    portal.statistics.append(row)
    portal.cards.append(("hide", call_id, call["USER"]))
    if call["TYPE"] == 1 and code == "200":  # the client was called back: no longer missed
        for earlier in portal.statistics:
            if earlier["PHONE_NUMBER"] == call["PHONE"]:
                earlier["MISSED"] = False
    sent = (
        "CALL_ID", "CALL_TYPE", "PHONE_NUMBER", "PORTAL_NUMBER", "PORTAL_USER_ID", "CALL_DURATION",
        "COST", "COST_CURRENCY", "CALL_FAILED_CODE", "CALL_FAILED_REASON", "CRM_ACTIVITY_ID",
    )  # fmt: skip
    portal.emit(
        "OnVoximplantCallEnd",
        **{name: php.strval(row[name]) for name in sent},
        CALL_START_DATE=portal.out(call["START"]),
    )
    result = {
        "CALL_ID": call_id,
        "EXTERNAL_CALL_ID": row["EXTERNAL_CALL_ID"],
        "PORTAL_USER_ID": user,
        "PHONE_NUMBER": call["PHONE"],
        "PORTAL_NUMBER": call["LINE"],
        "INCOMING": str(call["TYPE"]),
        "CALL_DURATION": seconds,
        "CALL_START_DATE": UnconvertedDate(),
        "CALL_STATUS": int(seconds > 0),
        "CALL_VOTE": row["CALL_VOTE"],
        "COST": cost,
        "COST_CURRENCY": currency,
        "CALL_FAILED_CODE": code,
        "CALL_FAILED_REASON": reason,
        "CRM_ACTIVITY_ID": row["CRM_ACTIVITY_ID"],
        "CRM_ENTITY_TYPE": kind,
        "CRM_ENTITY_ID": number,
        "REST_APP_ID": None,
        "REST_APP_NAME": False,
        "COMMENT": None,
        "ID": row["ID"],
    }
    if number is None:
        text = "Could not find associated crm entity for the current call"
        result["ERRORS"] = {"ACTIVITY_CREATION": text}
    return result


def attach_record(portal: PortalState, params: Row) -> Any:
    call_id = str(params.get("CALL_ID") or "")
    row = next((row for row in portal.statistics if row["CALL_ID"] == call_id), None)
    if row is None:
        text = "Call is not found in the statistic table. Looks like it is not finished yet."
        raise old(text)
    name = str(params.get("FILENAME") or "")
    if not name.lower().endswith((".mp3", ".wav")):
        raise old("Only wav and mp3 files are supported")
    if not params.get("FILE_CONTENT"):
        # Two other ways are not simulated: a separate upload, a download by the portal.
        raise old("FILE_CONTENT is what the simulated portal takes")
    try:
        content = base64.b64decode("".join(str(params["FILE_CONTENT"]).split()), validate=True)
    except binascii.Error:
        raise old("FILE_CONTENT should be base64 encoded") from None
    portal.recordings[call_id] = (name, content)
    return {"FILE_ID": portal.next_id()}


def statistic_get(portal: PortalState, params: Row) -> Page:
    if not portal.statistics_readable:
        raise Refusal(403, "ACCESS_DENIED", "Access denied!")
    rows = portal.statistics
    for prefixed, wanted in php.as_map(params.get("FILTER")).items():
        sign, name = criterion(prefixed)
        rows = [
            row
            for row in rows
            if name in _OURS or name not in row or holds(sign, row[name], wanted, portal.into)
        ]
    rows = ordered(rows, {str(params.get("SORT") or "ID").upper(): params.get("ORDER")})
    shown = [
        {
            **{name: php.strval(value) for name, value in row.items() if name not in _OURS},
            "EXTERNAL_CALL_ID": row["EXTERNAL_CALL_ID"] or None,
            "COST": f"{float(row['COST']):.4f}",
            "CALL_START_DATE": portal.out(row["CALL_START_DATE"]),
        }
        for row in rows
    ]
    return page(shown, params.get("start"))


METHODS = {
    "telephony.externalline.add": line_add,
    "telephony.externalline.update": line_update,
    "telephony.externalline.get": line_get,
    "telephony.externalline.delete": line_delete,
    "telephony.externalcall.register": call_register,
    "telephony.externalcall.show": call_show,
    "telephony.externalcall.hide": call_hide,
    "telephony.externalcall.finish": call_finish,
    "telephony.externalcall.attachrecord": attach_record,
    "voximplant.statistic.get": statistic_get,
}
