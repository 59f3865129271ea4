"""
The simulated portal: its entry point, and the envelope of every answer.

Requests have the form of HTTP requests; ``now`` is an argument of the constructor. Thread-safe: a
lock admits one request at a time.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from attrs import define, evolve, field

from bitrix24.errors import AnswerLost
from bitrix24.simulator import php
from bitrix24.simulator.errors import DOCUMENTED, Refusal
from bitrix24.simulator.events import sender
from bitrix24.simulator.methods import (
    APPLICATIONS_ONLY,
    METHODS,
    METHODS_3,
    Method,
    scope_of,
    scope_of_3,
)
from bitrix24.simulator.oauth import token_answer
from bitrix24.simulator.references import resolved
from bitrix24.simulator.state import PortalState, Row
from bitrix24.wire import Answer, Request

#: The cloud's leaky bucket: its size in requests, and requests drained a second.
BUCKET, DRAIN = 50, 2.0

#: Portals found in practice. Every difference is a named option of ``SimulatedPortal``.
FLAVOURS: Mapping[str, Mapping[str, Any]] = {
    "box": {},
    #: As of 2019, the oldest supported.
    "old box": {
        "rest3": False, "user_select": False, "user_prefixes": False, "user_presence": False,
        "tags_told": "no", "crm_items": False, "deadline_by_day": True,
    },
    "new box": {"comments_in_chat": True, "log_logins": True, "log_logouts": True},
    #: As in the documentation of August 2026; not yet in the box sources that were read.
    "newest box": {"comments_in_chat": True, "idempotency_keys": True},
    "cloud": {
        "cloud": True, "comments_in_chat": True, "documented_statuses": True,
        "idempotency_keys": True,
    },
}  # fmt: skip
#: How long the answer to a request with an idempotency key is stored.
KEPT_ANSWER = timedelta(hours=24)


class Fault(Enum):
    """Faults of the portal in one request."""

    TOO_FAST = "503 QUERY_LIMIT_EXCEEDED, nothing executed"
    BLOCKED = "429 OPERATION_TIME_LIMIT, nothing executed"
    CLOSED = "PORTAL_DELETED: the public part is closed, nothing executed"
    HTML = "502 with a proxy's HTML page, nothing executed"
    DIED = "500 with PHP's HTML page, nothing executed"
    EXPIRED = "401 expired_token, nothing executed"
    LOST = "executed, and the connection dropped before the answer"
    LATE = "the connection dropped, and executed ``late`` afterwards"
    LATE_504 = "504 with a gateway's HTML page, and executed ``late`` afterwards"
    GARBAGE = "executed, and the answer cut in the middle"


class ConnectionDropped(Exception):
    """The HTTP layer must close the connection without an answer."""


@define(eq=False)
class SimulatedPortal(PortalState):
    """One portal with its entry point."""

    _faults: list[Fault] = field(factory=list, init=False)
    _late: list[tuple[datetime, tuple[Any, ...]]] = field(factory=list, init=False)
    _bucket: float = field(default=0.0, init=False)
    _bucket_at: datetime | None = field(default=None, init=False)
    #: Answers stored by idempotency key, with the bodies of their requests.
    kept: dict[tuple[str, str], tuple[datetime, str, Answer]] = field(factory=dict, init=False)

    async def send(self, request: Request) -> Answer:
        """Answer a request of our own client without HTTP."""
        parts = urlsplit(request.url)
        kind = "application/json"
        body = b"" if request.params is None else request.body()
        try:
            key = request.key
            return self.handle(parts.path, parts.query, kind, body, request.token, key=key)
        except ConnectionDropped:
            raise AnswerLost(request.method) from None

    def fail_next(self, *faults: Fault) -> None:
        """Inject faults into the next requests, one each."""
        with self.lock:
            self._faults += faults

    def catch_up(self) -> None:
        """Execute the due requests that clients have given up, as a busy portal does."""
        with self.lock:
            now = self.now()
            due = [request for at, request in self._late if at <= now]
            self._late = [(at, request) for at, request in self._late if at > now]
            for path, params, token, https, key in due:
                self._answer(path, params, token, https, key)
        self._send_events()

    def handle(  # noqa: PLR0913  # a request, as HTTP has it
        self, path: str, query: str, kind: str, body: bytes, token: str = "", https: bool = False,
        key: str = "",
    ) -> Answer:  # fmt: skip
        """
        Answer one HTTP request. ``key`` is its header Idempotency-Key.

        Raises:
            ConnectionDropped: the fault LOST (the request was executed) or LATE (it will be).
        """
        self.catch_up()
        with self.lock:
            fault = self._faults.pop(0) if self._faults else self._too_fast()
            params = _parameters(query, kind, body)
            if fault in (Fault.LATE, Fault.LATE_504):
                self._late.append((self.now() + self.late, (path, params, token, https, key)))
                if fault is Fault.LATE:
                    raise ConnectionDropped
                return Answer(504, b"<html><h1>504 Gateway Time-out</h1></html>")
            answer = self._broken(fault, path) or self._answer(path, params, token, https, key)
        self._send_events()
        if fault is Fault.LOST:
            raise ConnectionDropped
        if fault is Fault.GARBAGE:
            return Answer(answer.status, answer.body[: len(answer.body) // 2])
        return answer

    def _send_events(self) -> None:
        with self.lock:
            events, self.queued_events = self.queued_events, []
        for event in events:
            for handler in tuple(self.on_event):
                handler(event)
            for name, url in tuple(self.handlers):
                if event.startswith(f"event={name}&".encode()):
                    sender(url)(event)

    def _too_fast(self) -> Fault | None:
        if not self.cloud:
            return None
        now = self.now()
        passed = (now - (self._bucket_at or now)).total_seconds()
        self._bucket, self._bucket_at = max(0.0, self._bucket - passed * DRAIN) + 1, now
        if self._bucket <= BUCKET:
            return None
        self._bucket -= 1
        return Fault.TOO_FAST

    def _broken(self, fault: Fault | None, path: str) -> Answer | None:
        match fault:
            case Fault.TOO_FAST:
                refusal = Refusal(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")
            case Fault.BLOCKED:
                text = "Method is blocked due to operation time limit."
                refusal = Refusal(429, "OPERATION_TIME_LIMIT", text)
            case Fault.CLOSED:
                refusal = Refusal(403, "PORTAL_DELETED", "Portal was deleted")
            case Fault.EXPIRED:
                text = "The access token provided has expired"
                refusal = Refusal(401, "expired_token", text)
            case Fault.HTML:
                return Answer(502, b"<html><h1>502 Bad Gateway</h1></html>")
            case Fault.DIED:
                return Answer(500, _FATAL)
            case _:
                return None
        return self._refused(refusal, path)

    def _answer(self, path: str, params: Row, token: str, https: bool, key: str = "") -> Answer:
        if path.rstrip("/") == "/oauth/token":
            return token_answer(self, params)
        keyed = self.idempotency_keys and key and path.startswith("/rest/api/")
        return (
            self._once(path, params, token, https, key)
            if keyed
            else self._perform(path, params, token, https)
        )

    def _once(self, path: str, params: Row, token: str, https: bool, key: str) -> Answer:
        """A repeated request gets the stored answer; only successes are stored."""
        body, name = repr(params), (path.rpartition("/")[2].lower(), key)
        if not re.fullmatch("[ -~]{1,255}", key):
            refusal = Refusal(400, "INVALIDIDEMPOTENCYKEYEXCEPTION", "Invalid idempotency key")
            return self._refused(refusal, path)
        kept = self.kept.get(name)
        if kept is not None and self.now() - kept[0] < KEPT_ANSWER:
            if kept[1] != body:
                text = "The key was used with another request body"
                return self._refused(Refusal(422, "IDEMPOTENCYKEYREUSEDEXCEPTION", text), path)
            return kept[2]
        answer = evolve(self._perform(path, params, token, https), key=key)
        if answer.status == 200:
            self.kept[name] = (self.now(), body, answer)
        return answer

    def _perform(self, path: str, params: Row, token: str, https: bool) -> Answer:
        started = self.now()
        try:
            name, result = self._execute(path, params, token, https)
        except Refusal as refusal:
            return self._refused(refusal, path)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            # A request that PHP cannot process ends in a page; earlier changes stay.
            return Answer(500, _FATAL)
        self.requests.append(name)
        warning = b"" if not self.warned else _WARNING
        self.warned = False
        envelope: Row = {"result": result["result"]}
        envelope |= {key: result[key] for key in ("next", "total") if key in result}
        envelope["time"] = self._time(started)
        return Answer(200, warning + php.dump(envelope))

    def _refused(self, refusal: Refusal, path: str) -> Answer:
        status = refusal.status
        if self.documented_statuses:
            status = DOCUMENTED.get(refusal.code, status)
        if path.startswith("/rest/api/"):
            code = f"BITRIX_REST_V3_EXCEPTION_{refusal.code.upper() or 'ERROR'}"
            body: Row = {"error": {"code": code, "message": refusal.description}}
        else:
            body = {"error": refusal.code, "error_description": refusal.description}
        return Answer(status, php.dump(body))

    def _execute(self, path: str, params: Row, token: str, https: bool) -> tuple[str, Row]:
        match = _ROUTE.fullmatch(path)
        # The portal looks up the method before it checks the secret.
        unknown = Refusal(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
        if match is None:
            raise unknown
        third, user, secret, name = match.groups()
        method = name.lower()
        known = METHODS_3 if third else METHODS
        if third and not self.rest3:
            raise unknown
        if not self.has(method, third=bool(third)):
            raise unknown
        application = method.startswith(APPLICATIONS_ONLY)
        if method not in known and not application and (method != "batch" or third):
            raise unknown
        given = [str(params.pop(key)) for key in ("auth", "access_token") if key in params]
        self._admit(user, secret, token or "".join(given[:1]), https)
        if method == "batch":
            return method, {"result": self._batch(params, webhook=user is not None)}
        return method, self._run(known, method, params, webhook=user is not None)

    def _run(self, known: Mapping[str, Method], method: str, params: Row, *, webhook: bool) -> Row:
        if method.startswith(APPLICATIONS_ONLY):
            if webhook and method.startswith("voximplant."):
                raise Refusal(403, "ACCESS_DENIED", "Application context required")
            if webhook:
                text = "Current authorization type is denied for this method"
                raise Refusal(403, "WRONG_AUTH_TYPE", text)
            if method not in known:
                raise Refusal(400, "ERROR_CORE", f"The simulated portal has no {method}")
        if method in self.forbidden:
            raise Refusal(403, "ACCESS_DENIED", "Access denied.")
        if method in self.blocked:
            text = "Method is blocked due to operation time limit."
            raise Refusal(429, "OPERATION_TIME_LIMIT", text)
        self._check_scope(method, third=known is METHODS_3)
        if method.startswith("task."):  # positional: paging parameters are removed first
            params = {key: value for key, value in params.items() if key != "start"}
        result = _listed(known[method](self, params))
        self.executed.append(method)
        return result

    def _admit(self, user: str | None, secret: str | None, token: str, https: bool) -> None:
        if user is None and not token:
            raise Refusal(401, "NO_AUTH_FOUND", "Wrong authorization data")
        if user is None:
            until = self.tokens.get(token)
            if until is None:
                raise Refusal(401, "invalid_token", "Unable to get application by token")
            if self.now() >= until:
                raise Refusal(401, "expired_token", "The access token provided has expired")
            self.acting, self.token = self.token_users.get(token, self.user_id), token
            return
        if self.https_required and not https:
            raise Refusal(401, "INVALID_REQUEST", "Https required.")
        if user not in (str(self.user_id), self.login) or secret != self.secret:
            raise Refusal(401, "INVALID_CREDENTIALS", "Invalid request credentials")
        self.acting, self.token = self.user_id, ""

    def _check_scope(self, method: str, *, third: bool) -> None:
        scope = scope_of_3(method) if third else scope_of(method)
        if scope is not None and scope not in self.scopes:
            text = "The request requires higher privileges than provided by the webhook token"
            raise Refusal(403 if third else 401, "insufficient_scope", text)

    def _batch(self, params: Row, *, webhook: bool) -> Row:
        answer: dict[str, Row] = {
            key: {}
            for key in ("result", "result_error", "result_total", "result_next", "result_time")
        }
        for position, (key, text) in enumerate(php.as_map(params.get("cmd")).items()):
            if not isinstance(text, str):
                continue
            started = self.now()
            try:
                result = self._command(position, text, answer, webhook=webhook)
            except Refusal as refusal:
                # A missing scope has no text in a batch.
                text = "" if refusal.code == "insufficient_scope" else refusal.description
                answer["result_error"][key] = {"error": refusal.code, "error_description": text}
                if php.truthy(params.get("halt")):
                    break
                continue
            answer["result"][key] = result["result"]
            for part in ("total", "next"):
                if part in result:
                    answer[f"result_{part}"][key] = result[part]
            answer["result_time"][key] = self._time(started)
        return {name: php.as_php(part) for name, part in answer.items()}

    def _command(self, position: int, text: str, answer: dict[str, Row], *, webhook: bool) -> Row:
        name, _, query = text.partition("?")
        method = name.lower()
        if position >= 50:
            raise Refusal(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
        if method in ("batch", "download", "upload"):
            raise Refusal(
                405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage"
            )
        known = method in METHODS and self.has(method)
        if not known and not method.startswith(APPLICATIONS_ONLY):
            raise Refusal(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
        params = resolved(php.parse_query(query), answer)
        return self._run(METHODS, method, params, webhook=webhook)

    def _time(self, started: datetime) -> Row:
        finished = self.now()
        times = {
            "start": int(started.timestamp()),
            "finish": finished.timestamp(),
            "duration": (finished - started).total_seconds(),
            "processing": 0,
            "date_start": self.by_server(started),
            "date_finish": self.by_server(finished),
        }
        if self.cloud:
            reset = int(finished.timestamp()) + 600
            times |= {"operating_reset_at": reset, "operating": 0}
        return times


def _parameters(query: str, kind: str, body: bytes) -> Row:
    params = php.parse_query(query)
    kind = kind[:25].lower() + kind[25:]  # the boundary after it is case-sensitive
    if kind.startswith("application/json"):
        try:
            parsed = json.loads(body)
            json.dumps(parsed, ensure_ascii=False).encode()  # half a surrogate pair is not JSON
        except ValueError:
            parsed = {}  # ignored silently, as the portal does
        return params | php.as_map(parsed)
    if kind.startswith("multipart/form-data"):
        return params | php.parse_multipart(kind, body)
    return params | php.parse_query(body.decode("utf-8", "replace"))


def _listed(result: Any) -> Row:
    """Methods with paging return a Page; all others the bare result."""
    if isinstance(result, php.Page):
        counts = {"next": result.next, "total": result.total}
        return {"result": result.rows, **{k: v for k, v in counts.items() if v is not None}}
    return {"result": result}


_ROUTE = re.compile(r"/rest/(api/)?(?:([^/]+)/([^/]+)/)?([\w.]+?)(?:\.json|\.xml)?/?")
_WARNING = (
    b'<br />\n<b>Warning</b>:  Undefined array key "PERSONAL_PHOTO" in'
    b" <b>/home/bitrix/www/bitrix/modules/rest/lib/api/user.php</b> on line <b>423</b><br />\n"
)
_FATAL = b"<br>\n<b>Fatal error</b>: Allowed memory size exhausted"
