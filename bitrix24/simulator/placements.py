"""Local applications in the portal's pages: who opened them, where they are shown, and the page."""

import json
import secrets
from datetime import timedelta
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal
from bitrix24.simulator.event_bodies import MEMBER
from bitrix24.simulator.state import PortalState, Row

#: Where an application may be shown; the documentation names many more.
PLACES = ("LEFT_MENU", "TASK_VIEW_TAB", "TASK_VIEW_SIDEBAR", "TASK_VIEW_TOP_PANEL", "CALL_CARD")
#: How long the token lives that is handed to an application.
TOKEN = timedelta(hours=1)


def open_for(
    portal: PortalState, user: int, placement: str = "DEFAULT", options: Row | None = None,
    client_id: str | None = None,
) -> Row:  # fmt: skip
    """The fields that the portal's page posts when somebody opens the application."""
    token = secrets.token_hex(16)
    portal.tokens[token] = portal.now() + TOKEN
    portal.token_users[token] = user
    portal.token_applications[token] = client_id or portal.client_id
    fields = {
        "AUTH_ID": token, "AUTH_EXPIRES": "3600", "REFRESH_ID": secrets.token_hex(16),
        "member_id": MEMBER, "status": "L", "PLACEMENT": placement,
    }  # fmt: skip
    if options is not None:
        fields["PLACEMENT_OPTIONS"] = json.dumps(options)
    return fields


def frame(portal: PortalState, host: str, query: Row, *, https: bool) -> str:
    """
    A page of the portal with the application in its frame: ``?user=501``, for a task ``&task=9``.
    Its script answers the frame's wish for a height, as the portal's does.
    """
    task = query.get("task")
    placement = "TASK_VIEW_TAB" if task else "DEFAULT"
    with portal.lock:
        bound = [handler for place, handler, _ in portal.placements if place == placement]
        handler = (bound or [portal.application_address])[0]
        # (A number in PHP's JSON is text there.)
        options = {"taskId": str(task), "URI": f"/tasks/task/view/{task}/"} if task else None
        fields = open_for(portal, int(query.get("user") or portal.user_id), placement, options)
    session = secrets.token_hex(16)
    protocol = str(int(https))
    shown = {"DOMAIN": host, "PROTOCOL": protocol, "LANG": portal.language, "APP_SID": session}
    address = f"{handler}{'&' if '?' in handler else '?'}{urlencode(shown)}"
    inputs = "".join(
        f'<input type="hidden" name="{name}" value="{escape(str(value))}">'
        for name, value in fields.items()
    )
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(handler))
    name = escape(f"{host}|{protocol}|{session}")
    return f"""<!doctype html><meta charset="utf-8"><title>Портал</title>
<h1>Портал</h1>
<iframe name="{name}" title="Autodial24" width="1000" height="400"></iframe>
<form method="post" target="{name}" action="{escape(address)}">{inputs}</form>
<script>
document.forms[0].submit();
addEventListener("message", event => {{
  const [method, ...rest] = String(event.data).split(":");
  if (event.origin !== {json.dumps(origin)} || rest.at(-1) !== "{session}") return;
  if (method === "resizeWindow") {{
    document.querySelector("iframe").height = JSON.parse(rest.slice(0, -2).join(":")).height;
  }}
}});
</script>
"""


def bind(portal: PortalState, params: Row) -> Any:
    upper = _administrator(portal, params)
    place, handler = str(upper.get("PLACEMENT") or "").upper(), str(upper.get("HANDLER") or "")
    if not place or not handler:
        raise Refusal(400, "ERROR_ARGUMENT", "Argument 'PLACEMENT' is null or empty")
    if place == "DEFAULT":
        raise Refusal(400, "ERROR_ARGUMENT", "Wrong value")
    if place not in PLACES or (place.startswith("TASK_") and "task" not in portal.scopes):
        raise Refusal(400, "ERROR_PLACEMENT_NOT_FOUND", "Placement not found")
    parts = urlsplit(handler)
    if parts.scheme not in ("http", "https"):
        raise Refusal(400, "ERROR_UNSUPPORTED_PROTOCOL", "Unsupported event handler protocol")
    if "." not in parts.netloc:
        raise Refusal(400, "ERROR_WRONG_HANDLER_URL", "Wrong handler URL")
    if any(bound[:2] == (place, handler) for bound in portal.placements):
        raise Refusal(400, "ERROR_CORE", "Unable to set placement handler: Handler already binded")
    titles = php.as_map(upper.get("LANG_ALL"))
    portal.placements.append((place, handler, {key: dict(value) for key, value in titles.items()}))
    return True


def unbind(portal: PortalState, params: Row) -> Any:
    upper = _administrator(portal, params)
    place, handler = str(upper.get("PLACEMENT") or "").upper(), upper.get("HANDLER")
    gone = [
        bound for bound in portal.placements if bound[0] == place and handler in (None, bound[1])
    ]
    for bound in gone:
        portal.placements.remove(bound)
    return {"count": 2 * len(gone)}  # each is counted when it is found and when it is deleted


def get(portal: PortalState, params: Row) -> Any:
    _administrator(portal, params)
    return [
        {"placement": place, "userId": 0, "handler": handler, "options": [], "title": "",
         "description": "", "langAll": titles}
        for place, handler, titles in portal.placements
    ]  # fmt: skip


def list_(portal: PortalState, params: Row) -> Any:
    return list(PLACES)


def _administrator(portal: PortalState, params: Row) -> Row:
    if not portal.is_administrator(portal.acting):
        raise Refusal(403, "ACCESS_DENIED", "Access denied!")
    return {str(key).upper(): value for key, value in params.items()}


METHODS = {
    "placement.bind": bind,
    "placement.unbind": unbind,
    "placement.get": get,
    "placement.list": list_,
}
