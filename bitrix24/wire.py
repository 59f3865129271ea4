"""
Requests to the portal and what its answers mean. No sockets, no clock.

The portal's ``error`` code decides, its HTTP status only helps: the box and the cloud disagree on
statuses, and a code may be an empty string or a number in quotes. Answers that are not JSON come
from a proxy or a PHP that died, and their status says whose fault it is.
"""

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from bitrix24.errors import (
    AnswerLost,
    AnswerStrange,
    GatewayLost,
    PortalBusy,
    PortalClosed,
    PortalDenied,
    PortalRefused,
    PortalUnavailable,
    TokenExpired,
)

#: A limit was reached; rejected before execution.
BUSY = frozenset({"QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT"})
#: Closed by its people (PORTAL_DELETED is the box's "public part closed"); nothing was executed.
CLOSED = frozenset({"OVERLOAD_LIMIT", "PORTAL_DELETED"})
#: Something broke inside; whether the request was executed is unknown.
DOUBTFUL = frozenset({"INTERNAL_SERVER_ERROR", "ERROR_UNEXPECTED_ANSWER"})
#: Not this request is refused, but whoever sends it.
DENIED = frozenset(
    {
        "INVALID_CREDENTIALS", "NO_AUTH_FOUND", "INVALID_REQUEST", "invalid_token",
        "APPLICATION_NOT_FOUND", "authorization_error", "user_access_error", "CONNECTION_ERROR",
        "PAYMENT_REQUIRED",
    }
)  # fmt: skip
#: Refusals of a web server that are about one request: too large a body, too long an address.
_THIS_REQUEST = frozenset({413, 414, 431})
#: Most commands the portal takes in one batch.
BATCH_LIMIT = 50
#: Rows a list method gives in one answer; fixed by the portal.
PAGE = 50

Params = Mapping[str, Any]


@frozen
class Request:
    """One HTTP POST with a JSON body; without parameters, a GET."""

    method: str  #: the REST method, for logs and errors
    url: str = field(repr=False)  #: holds the webhook's secret
    params: Params | None = field(repr=False)
    token: str = field(default="", repr=False)  #: an application's access token

    def body(self) -> bytes:
        """
        The JSON. A ``Path`` among the parameters stands for the file's content in base64, and is
        read here: call this where waiting for a disk harms nobody.
        """
        return json.dumps(self.params, ensure_ascii=False, default=_content).encode()


def _content(value: object) -> str:
    if isinstance(value, Path):
        # Not through a link: whoever may write the folder would have us send another file.
        with os.fdopen(os.open(value, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            return base64.b64encode(stream.read()).decode("ascii")
    raise TypeError(f"{type(value).__name__} cannot be sent to the portal")


@frozen
class Answer:
    """What came back over HTTP."""

    status: int
    body: bytes = field(repr=False)


@frozen
class Reply:
    """A success: the result, and what its envelope says."""

    result: Any
    total: int | None = None  #: rows in all, where the method counts them
    resets_at: float | None = None  #: when the portal forgets our running time, epoch seconds
    at: datetime | None = None  #: when the portal began to answer, by its own clock


class Ref(str):
    """``$result[key][path]`` in a command of a batch: an earlier command's answer."""


def decode(answer: Answer, method: str) -> Reply:
    """
    The answer's result, with its envelope.

    Raises:
        PortalUnavailable: passing trouble, nothing was executed.
        AnswerLost: passing trouble, and the request may have been executed.
        PortalRefused: final.
    """
    try:
        said = json.loads(answer.body)
    except ValueError:
        raise _not_json(answer.status, method) from None
    if not isinstance(said, dict) or ("error" not in said and "result" not in said):
        raise AnswerLost(f"{method}: neither a result nor an error, HTTP {answer.status}")
    if "error" in said:
        raise error_of(method, said, answer.status)
    envelope = said.get("time")
    if not isinstance(envelope, dict):
        envelope = {}
    reset = envelope.get("operating_reset_at")
    total = said.get("total")
    return Reply(
        said["result"],
        total if isinstance(total, int) else None,
        float(reset) if isinstance(reset, int | float) else None,
        _stamp(envelope.get("start")),
    )


def _stamp(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None
    except (ValueError, OverflowError, OSError):
        return None  # what it says of the time is not worth an answer's loss


def _not_json(status: int, method: str) -> Exception:
    text = f"{method}: HTTP {status}, not JSON"
    if status in (502, 504):
        return GatewayLost(text)
    if status in _THIS_REQUEST:
        return PortalRefused(f"HTTP {status}", f"{method}: refused by the web server")
    if status < 300 or status in (408, 499) or status >= 500:
        return AnswerLost(text)  # PHP or a proxy gave up, perhaps half-way
    # A proxy's page: the request did not get as far as the portal.
    return PortalUnavailable(text)


def error_of(method: str, said: Mapping[str, Any], status: int = 0) -> Exception:
    """The exception for an error object, of an answer or of one command of a batch."""
    error = said["error"]
    if isinstance(error, Mapping):  # REST 3.0
        code, text = str(error.get("code", "")), str(error.get("message", ""))
    else:
        code, text = str(error), str(said.get("error_description", ""))
    if code in BUSY:
        return PortalBusy(f"{method}: {code}")
    if code in CLOSED:
        return PortalClosed(f"{method}: {code}")
    if code in DOUBTFUL:
        return AnswerLost(f"{method}: {code}")
    if code == "expired_token":
        return TokenExpired(code, text, status)
    # ACCESS_DENIED is a method's word with 403, and the front door's ("by subscription") with 401.
    at_the_door = code in DENIED or (code == "ACCESS_DENIED" and status == 401)
    kind = PortalDenied if at_the_door else PortalRefused
    return kind(code, f"{method}: {text}" if text else method, status)


def query(method: str, params: Params) -> str:
    """
    One command of a batch: ``method?query`` in PHP's bracket syntax, fully percent-encoded.

    An unencoded ``>`` in a filter's key breaks the key, ``+`` becomes a space and ``#`` cuts the
    rest off, so nothing is left unencoded.

    Raises:
        ValueError: a text holds ``$result[`` or the like, which the portal would put something
            else in place of. Send such a text by itself.
    """
    pairs = [f"{_brackets(path)}={quote(value, safe='')}" for path, value in _flat((), params)]
    return f"{method}?{'&'.join(pairs)}"


_REFERS = re.compile(r"\$(result|error|total|next|time)\[")


def _brackets(path: tuple[str, ...]) -> str:
    head, *tail = (_quoted(part) for part in path)
    return head + "".join(f"[{part}]" for part in tail)


@lru_cache(maxsize=1000)  # a batch of lists names the same few fields thousands of times
def _quoted(part: str) -> str:
    return quote(part, safe="")


def _flat(path: tuple[str, ...], value: Any) -> list[tuple[tuple[str, ...], str]]:
    match value:
        case Mapping():
            return [row for key, inner in value.items() for row in _flat((*path, str(key)), inner)]
        case Ref():
            return [(path, str(value))]
        case str() if _REFERS.search(value):
            raise ValueError(f"a text that refers to another command cannot be batched: {value!r}")
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
    """A date of the portal, with its offset, as UTC; ValueError for anything else."""
    value = datetime.fromisoformat(text)
    if value.utcoffset() is None:
        raise ValueError(f"a date without an offset: {text!r}")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"a date beyond all calendars: {text!r}") from None


def written(value: datetime) -> str:
    """A moment as the portal reads it: ISO 8601 with an offset, to the second."""
    if value.utcoffset() is None:
        raise ValueError(f"a moment needs a time zone: {value!r}")
    return value.astimezone(UTC).isoformat(timespec="seconds")


@frozen
class Row:
    """
    One object of an answer, read field by field. Unknown fields are nobody's business; a missing
    or ill-typed one raises ``AnswerStrange``, which names the method and the field.
    """

    method: str
    said: dict[str, Any]

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.said, dict):
            raise AnswerStrange(self.method, "result", f"expected an object, not {self._kind()}")

    def _kind(self) -> str:
        return type(self.said).__name__

    def __contains__(self, name: str) -> bool:
        return name in self.said

    def get(self, name: str) -> Any:
        """The field, or None."""
        return self.said.get(name)

    def need(self, name: str) -> Any:
        if name not in self.said:
            raise AnswerStrange(self.method, name, "missing")
        return self.said[name]

    def number(self, name: str) -> int:
        """A whole number, often written as a string."""
        value = self.need(name)
        try:
            return int(value if isinstance(value, str) else str(value))
        except ValueError:
            raise AnswerStrange(self.method, name, f"not a number: {value!r:.40}") from None

    def text(self, name: str) -> str:
        value = self.need(name)
        if not isinstance(value, str | int):
            raise AnswerStrange(self.method, name, f"not a text: {value!r:.40}")
        return str(value)

    def moment(self, name: str) -> datetime | None:
        """A date as UTC; None for the many ways in which the portal says "none"."""
        value = self.get(name)
        if not value:  # null, "", false, [] and {} (a date that nobody converted)
            return None
        try:
            return moment(str(value))
        except ValueError:
            raise AnswerStrange(self.method, name, f"not a date: {value!r:.40}") from None

    def rows(self, name: str) -> "list[Row]":
        """A list of objects; PHP writes an empty map as a list, and some lists as maps."""
        return rows_of(self.method, self.need(name), name)

    def object(self, name: str) -> "Row":
        value = self.need(name)
        if not isinstance(value, dict):
            raise AnswerStrange(self.method, name, f"expected an object: {value!r:.40}")
        return Row(self.method, value)


def rows_of(method: str, said: Any, name: str = "result") -> list[Row]:
    """A list of objects, as ``Row.rows``."""
    if isinstance(said, Mapping):
        said = list(said.values())
    if not said:  # null and false mean "none", too
        return []
    if not isinstance(said, list):
        raise AnswerStrange(method, name, f"expected a list, not {type(said).__name__}")
    return [Row(method, item) for item in said]
