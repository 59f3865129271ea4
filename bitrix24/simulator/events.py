"""Events: their handlers, and the portal's queue, which sends each event once."""

import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bitrix24.simulator.errors import Refusal
from bitrix24.simulator.state import PortalState

#: Seconds the queue waits for a handler.
PATIENCE = 5.0


def sender(url: str) -> Callable[[bytes], None]:
    """A handler for ``SimulatedPortal.on_event`` that POSTs to a URL."""

    def post(body: bytes) -> None:
        request = urllib.request.Request(
            url, body, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        with suppress(OSError):  # the portal's queue does not retry
            urllib.request.urlopen(request, timeout=PATIENCE).close()

    def send(body: bytes) -> None:
        threading.Thread(target=post, args=(body,), name="event", daemon=True).start()

    return send


def bind(portal: PortalState, params: dict[str, Any]) -> Any:
    handler = _handler(params)
    if handler in portal.handlers:
        raise Refusal(400, "ERROR_CORE", "Handler already binded")
    portal.handlers.append(handler)
    return True


def unbind(portal: PortalState, params: dict[str, Any]) -> Any:
    count = portal.handlers.count(_handler(params))
    portal.handlers[:] = [handler for handler in portal.handlers if handler != _handler(params)]
    return {"count": count}


def bound(portal: PortalState, params: dict[str, Any]) -> Any:
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
