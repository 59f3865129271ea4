"""
Requests to the portal and the meaning of its answers. No sockets, no clock.

The portal's ``error`` code decides, its HTTP status is secondary: the box and the cloud use
different statuses, and a code may be an empty string or a number in quotes. Answers that are not
JSON come from a proxy or a crashed PHP; their status shows which.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from attrs import field, frozen

from bitrix24.causes import about_page
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
#: Closed by its administrator (PORTAL_DELETED: "public part closed" on a box); nothing executed.
CLOSED = frozenset({"OVERLOAD_LIMIT", "PORTAL_DELETED"})
#: An internal error; whether the request was executed is unknown.
DOUBTFUL = frozenset({"INTERNAL_SERVER_ERROR", "ERROR_UNEXPECTED_ANSWER"})
#: The sender is refused, not this request.
DENIED = frozenset(
    {
        "INVALID_CREDENTIALS", "NO_AUTH_FOUND", "INVALID_REQUEST", "invalid_token",
        "APPLICATION_NOT_FOUND", "authorization_error", "user_access_error", "CONNECTION_ERROR",
        "PAYMENT_REQUIRED",
    }
)  # fmt: skip
#: A web server's refusals of one request: the body is too large, the address too long.
_THIS_REQUEST = frozenset({413, 414, 431})
#: Most commands the portal accepts in one batch.
BATCH_LIMIT = 50
#: Rows of a list method in one answer; fixed by the portal.
PAGE = 50

#: The header by which REST 3.0 recognizes a repeated request; echoed if supported.
KEY = "Idempotency-Key"

Params = Mapping[str, Any]
_UNREAD = object()
T = TypeVar("T")
U = TypeVar("U")


@frozen
class Request:
    """One HTTP POST with a JSON body; without parameters, a GET."""

    method: str  #: the REST method, for logs and errors
    url: str = field(repr=False)  #: holds the webhook's secret
    params: Params | None = field(repr=False)
    token: str = field(default="", repr=False)  #: an application's access token
    key: str = ""  #: REST 3.0: a request with a used key is not executed again

    def body(self) -> bytes:
        """
        The JSON. A ``Path`` among the parameters stands for the file's content in base64, and is
        read here: call this where waiting for the disk is allowed.
        """
        return json.dumps(self.params, ensure_ascii=False, default=_content).encode()


def _content(value: object) -> str:
    if isinstance(value, Path):
        # Links are not followed: a user who may write to the folder could have another file sent.
        with os.fdopen(os.open(value, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            return base64.b64encode(stream.read()).decode("ascii")
    raise TypeError(f"{type(value).__name__} cannot be sent to the portal")


@frozen
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes = field(repr=False)
    key: str = ""  #: the request's key, where the portal heeds it
    #: The parsed body if already read, or the error of parsing.
    _json: Any = field(default=_UNREAD, repr=False, eq=False, alias="json")

    def json(self) -> Any:
        """
        The body as JSON.

        Raises:
            ValueError: as ``parsed``.
        """
        if self._json is _UNREAD:
            return parsed(self.body)
        if isinstance(self._json, ValueError):
            raise self._json
        return self._json


def read_ahead(status: int, body: bytes, key: str = "") -> Answer:
    """An answer whose JSON is parsed here, in the calling thread, off the reactor."""
    try:
        return Answer(status, body, key, json=parsed(body))
    except ValueError as error:
        return Answer(status, body, key, json=error)


@frozen
class Reply:
    """A success: the result, and the data of its envelope."""

    result: Any
    total: int | None = None  #: all rows, if the method counts them
    resets_at: float | None = None  #: when the portal resets our running time, epoch seconds
    at: datetime | None = None  #: when the portal began to answer, by its own clock
    key: str = ""  #: the request's key, where the portal heeds it
    offset: timedelta | None = None  #: of the server's clock, today


class Ref(str):
    """``$result[key][path]`` in a command of a batch: an earlier command's answer."""


def decode(answer: Answer, method: str) -> Reply:
    """
    The answer's result, with its envelope.

    Raises:
        PortalUnavailable: temporary, nothing was executed.
        AnswerLost: temporary, and the request may have been executed.
        PortalRefused: final.
    """
    try:
        content = answer.json()
    except ValueError:
        raise _not_json(answer, method) from None
    if not isinstance(content, dict) or ("error" not in content and "result" not in content):
        raise AnswerLost(f"{method}: neither a result nor an error, HTTP {answer.status}")
    if "error" in content:
        raise error_of(method, content, answer.status)
    envelope = content.get("time")
    if not isinstance(envelope, dict):
        envelope = {}
    reset = envelope.get("operating_reset_at")
    return Reply(
        content["result"],
        count(content.get("total")),
        float(reset) if isinstance(reset, int | float) and _stamp(reset) else None,
        _stamp(envelope.get("start")),
        answer.key,
        _offset(envelope.get("date_start")),
    )


def parsed(body: bytes) -> Any:
    """
    JSON as values that can be stored and shown. What a text cannot hold (half a surrogate pair, a
    zero byte, bytes that are not UTF-8) becomes U+FFFD. A number of more than 20 digits stays a
    text, and is refused where a number is needed. So one damaged field damages no other.

    Raises:
        ValueError: not JSON, nested too deeply, or too many values.
    """
    if body.count(b",") > MOST_VALUES:
        raise ValueError("more values than allowed")
    try:
        document = json.loads(
            body.decode("utf-8-sig", "replace"), parse_int=_whole, parse_constant=lambda name: None
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return _whole_texts(document) if _DAMAGED.search(body) else document


#: Valid clock times are between these, in seconds: the years 2000 and 2200.
_ERA = (946_684_800, 7_258_118_400)
#: Escapes of half surrogate pairs (and of whole ones), and of the zero byte.
_DAMAGED = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
_NO_TEXT = re.compile("[\ud800-\udfff\x00]")


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= 20 else digits


def _whole_texts(document: Any) -> Any:
    """The same without what a text cannot hold. (Not recursive: answers may nest deeply.)"""
    holder = [document]
    waiting: list[Any] = [holder]
    while waiting:
        inside = waiting.pop()
        if isinstance(inside, dict):
            for key in list(inside):
                value = inside.pop(key)
                inside[_NO_TEXT.sub("\ufffd", key)] = value
        for place in inside if isinstance(inside, dict) else range(len(inside)):
            value = inside[place]
            if isinstance(value, str):
                inside[place] = _NO_TEXT.sub("\ufffd", value)
            elif isinstance(value, dict | list):
                waiting.append(value)
    return holder[0]


#: Most values in an answer: 2,500 tasks with their clients have some hundred thousand.
MOST_VALUES = 1_000_000
#: The largest number accepted: exact in a double, as in PHP and JavaScript.
LARGEST = 2**53


def count(value: Any) -> int | None:
    """A count of rows; None if it is not a count."""
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST
    return value if known else None


def plain(value: Any) -> str:
    """A text or a number as text; empty for any other type."""
    return (
        str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    )


def shown(value: Any) -> str:
    """A value for an error's text; only the type of a nested one."""
    return repr(value)[:40] if isinstance(value, str | int | float | None) else type(value).__name__


def _stamp(seconds: Any) -> datetime | None:
    if not isinstance(seconds, int | float) or not _ERA[0] < seconds < _ERA[1]:
        return None  # a damaged time must not lose the answer
    return datetime.fromtimestamp(seconds, UTC)


def _offset(text: Any) -> timedelta | None:
    """The offset of a date in an envelope; None if it is damaged: the answer is not lost."""
    try:
        return datetime.fromisoformat(plain(text)).utcoffset()
    except ValueError:
        return None


def _not_json(answer: Answer, method: str) -> Exception:
    status, about = answer.status, about_page(answer.status, answer.body)
    text = f"{method}: HTTP {status}, not JSON" + (f": {about}" if about else "")
    if status in (502, 504):
        return GatewayLost(text)
    if status in _THIS_REQUEST:
        return PortalRefused(f"HTTP {status}", f"{method}: refused by the web server")
    if status < 300 or status in (408, 499) or status >= 500:
        return AnswerLost(text)  # PHP or a proxy failed, perhaps half-way
    # A proxy's page: the request did not reach the portal.
    return PortalUnavailable(text)


def error_of(method: str, body: Any, status: int = 0) -> Exception:
    """
    The exception for an error object, of an answer or of one command of a batch. An object of
    another format is an error without a code.
    """
    error = body.get("error") if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):  # REST 3.0
        code, text = plain(error.get("code")), plain(error.get("message"))
    else:
        described = body.get("error_description") if isinstance(body, Mapping) else ""
        code, text = plain(error), plain(described)
    if code in BUSY:
        return PortalBusy(f"{method}: {code}")
    if code in CLOSED:
        return PortalClosed(f"{method}: {code}")
    if code in DOUBTFUL:
        return AnswerLost(f"{method}: {code}")
    if code == "expired_token":
        return TokenExpired(code, text, status)
    # With 401 any code denies all access: the vendor's authorisation server has codes of its own
    # (wrong_client, ERROR_OAUTH), and ACCESS_DENIED, with 403 a method's refusal, means "by
    # subscription" there. Only a missing scope concerns one method.
    at_the_door = code in DENIED or (status == 401 and code != "insufficient_scope")
    kind = PortalDenied if at_the_door else PortalRefused
    return kind(code, f"{method}: {text}" if text else method, status)


def query(method: str, params: Params) -> str:
    """
    One command of a batch: ``method?query`` in PHP's bracket syntax, fully percent-encoded.

    An unencoded ``>`` in a filter's key breaks the key, ``+`` becomes a space and ``#`` cuts off
    the rest, so everything is encoded.

    Raises:
        ValueError: a text contains ``$result[`` or the like, which the portal would replace. Send
            such a text outside a batch.
    """
    pairs = [f"{_brackets(path)}={quote(value, safe='')}" for path, value in _flat((), params)]
    return f"{method}?{'&'.join(pairs)}"


_REFERS = re.compile(r"\$(result|error|total|next|time)\[")


def _brackets(path: tuple[str, ...]) -> str:
    head, *tail = (_quoted(part) for part in path)
    return head + "".join(f"[{part}]" for part in tail)


@lru_cache(maxsize=1000)  # a batch of lists repeats the same few fields thousands of times
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
        raise ValueError(f"a date out of range: {text!r}") from None


def written(value: datetime) -> str:
    """A moment in the portal's format: ISO 8601 with an offset, to the second."""
    if value.utcoffset() is None:
        raise ValueError(f"a moment needs a time zone: {value!r}")
    return value.astimezone(UTC).isoformat(timespec="seconds")


@frozen
class Row:
    """
    One object of an answer, read field by field. Unknown fields are ignored; a missing or
    ill-typed one raises ``AnswerStrange``, which names the method and the field.
    """

    method: str
    fields: dict[str, Any]

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.fields, dict):
            raise AnswerStrange(self.method, "result", f"expected an object, not {self._kind()}")

    def _kind(self) -> str:
        return type(self.fields).__name__

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def get(self, name: str) -> Any:
        """The field, or None."""
        return self.fields.get(name)

    def need(self, name: str) -> Any:
        if name not in self.fields:
            raise AnswerStrange(self.method, name, "missing")
        return self.fields[name]

    def number(self, name: str) -> int:
        """A whole number, often written as a string."""
        value = self.need(name)
        text = plain(value).strip()
        if not re.fullmatch("-?[0-9]{1,16}", text) or abs(int(text)) > LARGEST:
            raise AnswerStrange(self.method, name, f"not a number: {shown(value)}")
        return int(text)

    def text(self, name: str) -> str:
        value = self.need(name)
        if not isinstance(value, str | int):
            raise AnswerStrange(self.method, name, f"not a text: {shown(value)}")
        return str(value)

    def moment(self, name: str) -> datetime | None:
        """A date as UTC; None for each of the portal's forms of "no date"."""
        value = self.get(name)
        if not value:  # null, "", false, [] and {} (an unconverted date)
            return None
        try:
            return moment(plain(value))
        except ValueError:
            raise AnswerStrange(self.method, name, f"not a date: {shown(value)}") from None

    def words(self, *names: str) -> str:
        """These fields as one text, without those that are empty or not texts."""
        return " ".join(filter(None, (plain(self.get(name)) for name in names)))

    def rows(self, name: str) -> "list[Row]":
        """A list of objects; PHP writes an empty map as a list, and some lists as maps."""
        return rows_of(self.method, self.need(name), name)

    def object(self, name: str) -> "Row":
        value = self.need(name)
        if not isinstance(value, dict):
            raise AnswerStrange(self.method, name, f"expected an object: {shown(value)}")
        return Row(self.method, value)


def rows_of(method: str, value: Any, name: str = "result") -> list[Row]:
    """A list of objects, as ``Row.rows``."""
    return [Row(method, item) for item in items_of(method, value, name)]


def readable_rows(method: str, value: Any, name: str = "result") -> list[Row]:
    """As ``rows_of``, without nulls and without items that are not objects."""
    items = [item for item in items_of(method, value, name) if item is not None]
    return each(items, lambda item: Row(method, item))


def each(
    rows: Iterable[T],
    read: Callable[[T], U],
    damaged: Callable[[AnswerStrange], None] = lambda error: None,
) -> list[U]:
    """
    The readable rows of an answer: one damaged row does not stop the others.

    Raises:
        AnswerStrange: there are rows, but none can be read. Then the portal's format is not the
            one we know.
    """
    readable: list[U] = []
    errors: list[AnswerStrange] = []
    for row in rows:
        try:
            readable.append(read(row))
        except AnswerStrange as strange:
            errors.append(strange)
    if errors and not readable:
        raise errors[0]
    for error in errors:
        damaged(error)
    return readable


def items_of(method: str, value: Any, name: str = "result") -> list[Any]:
    """A list's items of any type: their number shows whether a page was full."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not value:  # null and false also mean "none"
        return []
    if not isinstance(value, list):
        raise AnswerStrange(method, name, f"expected a list, not {type(value).__name__}")
    return value
