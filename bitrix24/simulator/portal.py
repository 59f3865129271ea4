"""
The simulated portal: its state, its front door, and the envelope of every answer.

Requests come as HTTP would bring them; ``now`` is an argument of the constructor. Thread-safe:
one request at a time, as one lock sees to.
"""

import itertools
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field

from bitrix24.simulator import crm, php, staff, tasks, telephony
from bitrix24.simulator.errors import Refusal
from bitrix24.wire import Answer, Request

Row = dict[str, Any]
Method = Callable[["SimulatedPortal", Row], Any]

#: Which scope of the webhook each family of methods needs.
_SCOPES = {
    "tasks": "task", "task": "task", "crm": "crm", "user": "user", "department": "department",
    "sonet_group": "sonet_group", "telephony": "telephony", "voximplant": "telephony", "im": "im",
}  # fmt: skip
SCOPES = frozenset(_SCOPES.values())

METHODS: dict[str, Method] = {
    **tasks.METHODS,
    **crm.METHODS,
    **staff.METHODS,
    **telephony.METHODS,
}


class Fault(Enum):
    """How the portal can misbehave on one request."""

    TOO_FAST = "503 QUERY_LIMIT_EXCEEDED, nothing executed"
    CLOSED = "403 PORTAL_DELETED: the public part is closed, nothing executed"
    HTML = "502 with a proxy's HTML page, nothing executed"
    LOST = "executed, and the connection dropped before the answer"


class ConnectionDropped(Exception):
    """The HTTP shell must close the connection without an answer."""


@define(eq=False)
class SimulatedPortal:
    """One portal. Public attributes are its memory; tests and the demo read them."""

    secret: str = "simulated0secret"
    user_id: int = 1
    zone: tzinfo = timezone(timedelta(hours=3))
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    scopes: frozenset[str] = SCOPES
    #: Boxes before tasks 25.700 keep comments in a forum; later ones in the task's chat.
    comments_in_chat: bool = False

    tasks: dict[int, Row] = field(factory=dict, init=False)
    comments: dict[int, list[Row]] = field(factory=dict, init=False)
    history: list[Row] = field(factory=list, init=False)
    contacts: dict[int, Row] = field(factory=dict, init=False)
    companies: dict[int, Row] = field(factory=dict, init=False)
    leads: dict[int, Row] = field(factory=dict, init=False)
    deals: dict[int, Row] = field(factory=dict, init=False)
    users: dict[int, Row] = field(factory=dict, init=False)
    departments: dict[int, Row] = field(factory=dict, init=False)
    groups: dict[int, list[int]] = field(factory=dict, init=False)
    lines: dict[str, str] = field(factory=dict, init=False)
    calls: dict[str, Row] = field(factory=dict, init=False)
    statistics: list[Row] = field(factory=list, init=False)
    cards: list[tuple[str, str, int]] = field(factory=list, init=False)
    requests: list[str] = field(factory=list, init=False)
    _faults: list[Fault] = field(factory=list, init=False)
    _ids: "itertools.count[int]" = field(factory=lambda: itertools.count(8001), init=False)
    lock: threading.RLock = field(factory=threading.RLock, init=False)

    async def send(self, request: Request) -> Answer:
        """Take a request of our own client without HTTP between."""
        parts = urlsplit(request.url)
        return self.handle(parts.path, parts.query, "application/json", request.body)

    def fail_next(self, *faults: Fault) -> None:
        """Misbehave on the next requests, one fault each."""
        with self.lock:
            self._faults += faults

    def handle(self, path: str, query: str, kind: str, body: bytes) -> Answer:
        """
        Answer one HTTP request.

        Raises:
            ConnectionDropped: the fault LOST; the request was executed.
        """
        with self.lock:
            fault = self._faults.pop(0) if self._faults else None
            if (refused := _before(fault)) is not None:
                return refused
            answer = self._answer(path, _parameters(query, kind, body))
            if fault is Fault.LOST:
                raise ConnectionDropped
            return answer

    def _answer(self, path: str, params: Row) -> Answer:
        started = self.now()
        try:
            name, result = self._execute(path, params)
        except Refusal as refusal:
            said = {"error": refusal.code, "error_description": refusal.description}
            return Answer(refusal.status, php.dump(said))
        envelope: Row = {"result": result["result"]}
        envelope |= {key: result[key] for key in ("next", "total") if key in result}
        envelope["time"] = self._time(started)
        self.requests.append(name)
        return Answer(200, php.dump(envelope))

    def _execute(self, path: str, params: Row) -> tuple[str, Row]:
        match = re.fullmatch(r"/rest/(?:(\d+)/(\w+)/)?([\w.]+?)(?:\.json|\.xml)?/?", path)
        if match is None:
            raise Refusal(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
        user, secret, name = match.groups()
        # The method is looked up before the secret is checked.
        method = name.lower()
        if method not in METHODS and method != "batch":
            raise Refusal(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
        if user is None:
            raise Refusal(401, "NO_AUTH_FOUND", "Wrong authorization data")
        if (int(user), secret) != (self.user_id, self.secret):
            raise Refusal(401, "INVALID_CREDENTIALS", "Invalid request credentials")
        if method == "batch":
            return method, {"result": self._batch(params)}
        self._check_scope(method)
        return method, _listed(METHODS[method](self, params))

    def _check_scope(self, method: str) -> None:
        scope = _SCOPES.get(method.partition(".")[0])
        if scope is not None and scope not in self.scopes:
            raise Refusal(
                401,
                "insufficient_scope",
                "The request requires higher privileges than provided by the webhook token",
            )

    def _batch(self, params: Row) -> Row:
        said: dict[str, Row] = {
            key: {}
            for key in ("result", "result_error", "result_total", "result_next", "result_time")
        }
        commands = params.get("cmd") or {}
        rows = commands.items() if isinstance(commands, dict) else enumerate(commands)
        for position, (key, text) in enumerate(rows):
            if not isinstance(text, str):
                continue
            started = self.now()
            try:
                result = self._command(position, text, said)
            except Refusal as refusal:
                said["result_error"][key] = {
                    "error": refusal.code,
                    "error_description": refusal.description,
                }
                if php.truthy(params.get("halt")):
                    break
                continue
            said["result"][key] = result["result"]
            for part in ("total", "next"):
                if part in result:
                    said[f"result_{part}"][key] = result[part]
            said["result_time"][key] = self._time(started)
        return dict(said)

    def _command(self, position: int, text: str, said: dict[str, Row]) -> Row:
        name, _, query = text.partition("?")
        method = name.lower()
        if position >= 50:
            raise Refusal(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
        if method in ("batch", "download", "upload"):
            raise Refusal(
                405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage"
            )
        if method not in METHODS:
            raise Refusal(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
        self._check_scope(method)
        params = _resolved(php.parse_query(query), said)
        return _listed(METHODS[method](self, params))

    def next_id(self) -> int:
        return next(self._ids)

    def out(self, value: datetime | None) -> str | None:
        """A moment as the portal writes it: in the zone of the webhook's user."""
        return value.astimezone(self.zone).isoformat(timespec="seconds") if value else None

    def into(self, text: str) -> datetime:
        """A moment as the portal reads it; without an offset it is the server's zone."""
        try:
            value = datetime.fromisoformat(str(text))
        except ValueError:
            value = datetime(1970, 1, 1, tzinfo=UTC)  # strtotime failed: silently wrong
        if value.utcoffset() is None:
            value = value.replace(tzinfo=self.zone)
        return value.astimezone(UTC)

    def _time(self, started: datetime) -> Row:
        finished = self.now()
        return {
            "start": int(started.timestamp()),
            "finish": finished.timestamp(),
            "duration": (finished - started).total_seconds(),
            "processing": 0,
            "date_start": self.out(started),
            "date_finish": self.out(finished),
        }


def _before(fault: Fault | None) -> Answer | None:
    match fault:
        case Fault.TOO_FAST:
            said = {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}
            return Answer(503, php.dump(said))
        case Fault.CLOSED:
            said = {"error": "PORTAL_DELETED", "error_description": "Portal was deleted"}
            return Answer(403, php.dump(said))
        case Fault.HTML:
            return Answer(502, b"<html><h1>502 Bad Gateway</h1></html>")
        case _:
            return None


def _parameters(query: str, kind: str, body: bytes) -> Row:
    params = php.parse_query(query)
    if kind.startswith("application/json"):
        try:
            said = json.loads(body)
        except ValueError:
            said = {}  # swallowed silently, as by the portal
        return params | said if isinstance(said, dict) else params
    return params | php.parse_query(body.decode("utf-8", "replace"))


def _listed(result: Any) -> Row:
    """Methods that page return a Page; all others their bare result."""
    if isinstance(result, tasks.Page):
        counts = {"next": result.next, "total": result.total}
        return {"result": result.rows, **{k: v for k, v in counts.items() if v is not None}}
    return {"result": result}


_REFERENCE = re.compile(r"\$(result|error|total|next|time)((?:\[[^\]\s]*\])+)")


def _resolved(value: Any, said: dict[str, Row]) -> Any:
    """Put in what ``$result[key][path]`` refers to; a missing step ends at the last found."""
    match value:
        case dict():
            return {key: _resolved(item, said) for key, item in value.items()}
        case list():
            return [_resolved(item, said) for item in value]
        case str() if whole := _REFERENCE.fullmatch(value):
            return _referred(whole, said)
        case str():
            return _REFERENCE.sub(lambda found: str(_referred(found, said)), value)
        case _:
            return value


def _referred(match: re.Match[str], said: dict[str, Row]) -> Any:
    source = match.group(1)
    place: Any = said["result" if source == "result" else f"result_{source}"]
    for step in re.findall(r"\[([^\]]*)\]", match.group(2)):
        if isinstance(place, dict) and step in place:
            place = place[step]
        elif isinstance(place, list) and step.isdigit() and int(step) < len(place):
            place = place[int(step)]
        else:
            break
    return place
