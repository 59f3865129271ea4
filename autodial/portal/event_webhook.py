"""
The event hook: the portal's outgoing webhook reports a change, and the importer polls now.

Nothing else of an event is used, and nothing depends on it: events come through the vendor's
queue, once, late, or never.
"""

from collections.abc import Callable
from hmac import compare_digest

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request

from autodial.http_limits import BoundedPort, Page
from fastagi_server import RateLimitedLog

WANTED = frozenset({b"ONTASKADD", b"ONTASKUPDATE", b"ONTASKDELETE"})


class EventHook(Page):
    """One address that takes events by POST, with the right token."""

    methods = ("POST",)
    log = Logger()

    def __init__(self, token: str, wake: Callable[[], None], clock: IReactorTime) -> None:
        super().__init__()
        self._token = token.encode()
        self._wake = wake
        self._limited_log = RateLimitedLog(self.log, clock)

    def render_POST(self, request: Request) -> bytes:
        form = request.args or {}
        token = (form.get(b"auth[application_token]") or [b""])[0]
        event = (form.get(b"event") or [b""])[0].upper()
        if not compare_digest(token, self._token):
            request.setResponseCode(403)
            self._limited_log.warn(
                "an event with a wrong token, from {peer}", peer=request.getClientAddress()
            )
            return b"wrong application_token\n"
        if event in WANTED:
            self._wake()
        return b"ok\n"


def event_site(token: str, wake: Callable[[], None], clock: IReactorTime) -> BoundedPort:
    """The site on ``[events] port``."""
    return BoundedPort(EventHook(token, wake, clock), clock)
