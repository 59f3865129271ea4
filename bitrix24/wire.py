"""
Requests to the portal and what its answers mean. No sockets, no clock.

The portal's ``error`` code decides, its HTTP status only helps: the box and the cloud disagree on
statuses, and a code may be an empty string or a number in quotes. Answers that are not JSON come
from a proxy or a PHP that died, and their status says whose fault it is.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from bitrix24.errors import AnswerLost, PortalDenied, PortalRefused, PortalUnavailable

#: Rejected before execution; the same request may succeed later.
PASSING = frozenset(
    {"QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT", "OVERLOAD_LIMIT", "PORTAL_DELETED"}
)
#: Something broke inside; whether the request was executed is unknown.
DOUBTFUL = frozenset({"INTERNAL_SERVER_ERROR", "ERROR_UNEXPECTED_ANSWER"})
#: Not this request is refused, but whoever sends it.
DENIED = frozenset(
    {
        "INVALID_CREDENTIALS", "NO_AUTH_FOUND", "INVALID_REQUEST", "expired_token", "invalid_token",
        "APPLICATION_NOT_FOUND", "authorization_error", "user_access_error", "CONNECTION_ERROR",
        "PAYMENT_REQUIRED",
    }
)  # fmt: skip
#: Most commands the portal takes in one batch.
BATCH_LIMIT = 50
#: Rows a list method gives in one answer; fixed by the portal.
PAGE = 50

Params = Mapping[str, Any]


@frozen
class Request:
    """One HTTP POST with a JSON body."""

    method: str  #: the REST method, for logs and errors
    url: str = field(repr=False)  #: holds the webhook's secret
    body: bytes = field(repr=False)


@frozen
class Answer:
    """What came back over HTTP."""

    status: int
    body: bytes = field(repr=False)


def encode(webhook: str, method: str, params: Params) -> Request:
    """A request for one method; ``webhook`` is the address up to and including the secret."""
    body = json.dumps(params, ensure_ascii=False).encode()
    return Request(method, f"{webhook.rstrip('/')}/{method}", body)


def decode(answer: Answer, method: str) -> Any:
    """
    The answer's ``result``.

    Raises:
        PortalUnavailable: passing trouble, nothing was executed.
        AnswerLost: passing trouble, and the request may have been executed.
        PortalRefused: final.
    """
    try:
        said = json.loads(answer.body)
    except ValueError:
        text = f"{method}: HTTP {answer.status}, not JSON"
        if answer.status in (200, 500, 502, 504):
            raise AnswerLost(text) from None  # PHP or a proxy gave up, perhaps half-way
        # A proxy's page: the request did not get as far as the portal.
        raise PortalUnavailable(text) from None
    if not isinstance(said, dict) or ("error" not in said and "result" not in said):
        raise AnswerLost(f"{method}: neither a result nor an error, HTTP {answer.status}")
    if "error" not in said:
        return said["result"]
    raise error_of(method, said, answer.status)


def error_of(method: str, said: Mapping[str, Any], status: int = 0) -> Exception:
    """The exception for an error object, of an answer or of one command of a batch."""
    code = str(said["error"])
    if code in PASSING:
        return PortalUnavailable(f"{method}: {code}")
    if code in DOUBTFUL:
        return AnswerLost(f"{method}: {code}")
    # ACCESS_DENIED is a method's word with 403, and the front door's ("by subscription") with 401.
    at_the_door = code in DENIED or (code == "ACCESS_DENIED" and status == 401)
    kind = PortalDenied if at_the_door else PortalRefused
    return kind(code, str(said.get("error_description", "")), status)


def query(method: str, params: Params) -> str:
    """
    One command of a batch: ``method?query`` in PHP's bracket syntax, fully percent-encoded.

    An unencoded ``>`` in a filter's key breaks the key, ``+`` becomes a space and ``#`` cuts the
    rest off, so nothing is left unencoded.
    """
    pairs = [f"{_brackets(path)}={quote(value, safe='')}" for path, value in _flat((), params)]
    return f"{method}?{'&'.join(pairs)}"


def _brackets(path: tuple[str, ...]) -> str:
    head, *tail = (quote(part, safe="") for part in path)
    return head + "".join(f"[{part}]" for part in tail)


def _flat(path: tuple[str, ...], value: Any) -> list[tuple[tuple[str, ...], str]]:
    match value:
        case Mapping():
            return [row for key, inner in value.items() for row in _flat((*path, str(key)), inner)]
        case str():
            return [(path, value)]
        case bool():
            return [(path, "1" if value else "0")]
        case Sequence():
            return [row for n, inner in enumerate(value) for row in _flat((*path, str(n)), inner)]
        case None:
            return [(path, "")]
        case _:
            return [(path, str(value))]


def moment(text: str) -> datetime:
    """A date of the portal, with its offset, as UTC."""
    value = datetime.fromisoformat(text)
    if value.utcoffset() is None:
        raise ValueError(f"a date without an offset: {text!r}")
    return value.astimezone(UTC)


def written(value: datetime) -> str:
    """A moment as the portal reads it: ISO 8601 with an offset, to the second."""
    if value.utcoffset() is None:
        raise ValueError(f"a moment needs a time zone: {value!r}")
    return value.astimezone(UTC).isoformat(timespec="seconds")
