"""
Events, as the portal's queue sends them: urlencoded, with bracket keys, once, never again.

Only ids are told. ``undefined`` is the literal word.
"""

import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bitrix24.simulator.errors import Refusal

if TYPE_CHECKING:
    from bitrix24.simulator.portal import SimulatedPortal

UNDEFINED = "undefined"
MEMBER = "a223c6b3710f85df22e9377d6c4f7553"
#: Seconds the queue waits for a handler.
PATIENCE = 5.0


def event_body(event: str, data: dict[str, Any], token: str, now: datetime) -> bytes:
    """The body of one event."""
    fields: dict[str, Any] = {
        "event": event.upper(),
        "event_handler_id": 975,
        "data": data,
        "ts": int(now.timestamp()),
        "auth": {
            "domain": "portal.example.com",
            "client_endpoint": "https://portal.example.com/rest/",
            "server_endpoint": "https://oauth.example.com/rest/",
            "member_id": MEMBER,
            "application_token": token,
        },
    }
    pairs = [f"{key}={quote(value, safe='')}" for key, value in _flat("", fields)]
    return "&".join(pairs).encode()


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix, str(value))]
    return [
        pair
        for key, inner in value.items()
        for pair in _flat(f"{prefix}[{key}]" if prefix else str(key), inner)
    ]


def task_added(task: int) -> dict[str, Any]:
    return {
        "FIELDS_BEFORE": UNDEFINED, "FIELDS_AFTER": {"ID": task},
        "IS_ACCESSIBLE_BEFORE": "N", "IS_ACCESSIBLE_AFTER": UNDEFINED,
    }  # fmt: skip


def task_updated(task: int) -> dict[str, Any]:
    return {
        "FIELDS_BEFORE": {"ID": task}, "FIELDS_AFTER": {"ID": task},
        "IS_ACCESSIBLE_BEFORE": UNDEFINED, "IS_ACCESSIBLE_AFTER": UNDEFINED,
    }  # fmt: skip


def task_deleted(task: int) -> dict[str, Any]:
    return {
        "FIELDS_BEFORE": {"ID": task}, "FIELDS_AFTER": UNDEFINED,
        "IS_ACCESSIBLE_BEFORE": UNDEFINED, "IS_ACCESSIBLE_AFTER": "N",
    }  # fmt: skip


def comment_added(task: int, comment: int, *, in_chat: bool) -> dict[str, Any]:
    after = {"ID": comment, "TASK_ID": task}
    if in_chat:
        after = {"ID": 0, "MESSAGE_ID": comment, "TASK_ID": task}
    return {
        "FIELDS_BEFORE": UNDEFINED, "FIELDS_AFTER": after,
        "IS_ACCESSIBLE_BEFORE": "N", "IS_ACCESSIBLE_AFTER": UNDEFINED,
    }  # fmt: skip


def sender(url: str) -> Callable[[bytes], None]:
    """A handler for ``SimulatedPortal.on_event`` that POSTs to a URL."""

    def post(body: bytes) -> None:
        request = urllib.request.Request(
            url, body, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        with suppress(OSError):  # the portal's queue does not try again
            urllib.request.urlopen(request, timeout=PATIENCE).close()

    def send(body: bytes) -> None:
        threading.Thread(target=post, args=(body,), name="event", daemon=True).start()

    return send


def bind(portal: "SimulatedPortal", params: dict[str, Any]) -> Any:
    handler = _handler(params)
    if handler in portal.handlers:
        raise Refusal(400, "ERROR_CORE", "Handler already binded")
    portal.handlers.append(handler)
    return True


def unbind(portal: "SimulatedPortal", params: dict[str, Any]) -> Any:
    count = portal.handlers.count(_handler(params))
    portal.handlers[:] = [one for one in portal.handlers if one != _handler(params)]
    return {"count": count}


def bound(portal: "SimulatedPortal", params: dict[str, Any]) -> Any:
    return [
        {"event": event, "handler": url, "auth_type": "0", "offline": 0}
        for event, url in portal.handlers
    ]


def _handler(params: dict[str, Any]) -> tuple[str, str]:
    event, url = str(params.get("event") or "").upper(), str(params.get("handler") or "")
    if not event or not url:
        raise Refusal(400, "ERROR_ARGUMENT", "Argument 'EVENT' or 'HANDLER' is null or empty")
    return event, url


METHODS = {"event.bind": bind, "event.unbind": unbind, "event.get": bound}
