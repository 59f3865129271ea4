"""
PHP's conventions in the protocol: query strings, JSON, truth values.

Real clients fail on these, so the simulator has them too.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from email import message_from_bytes
from typing import Any
from urllib.parse import quote, unquote_plus

from attrs import frozen

Row = dict[str, Any]


def parse_query(text: str) -> dict[str, Any]:
    """
    A query string as PHP reads it: ``a[b][]=1`` becomes nested arrays.

    ``+`` is a space; ``#`` ends the text; ``filter[>=X]=1``, unencoded, breaks at its first ``=``.
    """
    result: dict[str, Any] = {}
    for pair in text.partition("#")[0].split("&"):
        if not pair:
            continue
        raw_key, _, raw_value = pair.partition("=")
        key, value = unquote_plus(raw_key), unquote_plus(raw_value)
        head, bracket, rest = key.partition("[")
        if bracket and "]" not in rest:
            head, rest = f"{head}_{rest}", ""  # an unbalanced bracket becomes an underscore
        parts = re.findall(r"([^\]\[]*)\]", rest) if rest else []
        head = head.replace(".", "_").replace(" ", "_")
        _put(result, [head, *parts], value)
    return {key: _lists(value) for key, value in result.items()}


def parse_multipart(kind: str, body: bytes) -> dict[str, Any]:
    """A form as browsers and some libraries send it; files are ignored."""
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    pairs = []
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes) and part.get_filename() is None:
            pairs.append(f"{quote(name, safe='[]')}={quote(value, safe='')}")
    return parse_query("&".join(pairs))


def _put(target: dict[str, Any], path: list[str], value: str) -> None:
    for part, following in zip(path, [*path[1:], None], strict=True):
        key = part or str(max((int(known) for known in target if known.isdigit()), default=-1) + 1)
        if following is None:
            target[key] = value
            return
        inner = target.get(key)
        if not isinstance(inner, dict):
            inner = target[key] = {}
        target = inner


def _lists(value: Any) -> Any:
    """A map with keys 0, 1, 2… is a list in PHP's JSON."""
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(item) for key, item in value.items()}
    if list(inner) == [str(n) for n in range(len(inner))]:
        return list(inner.values())
    return inner


def dump(value: Any) -> bytes:
    """JSON as the portal writes it: empty maps are ``[]``, ``<>&'"`` and ``/`` are escaped."""
    text = json.dumps(_empty(value), ensure_ascii=False, separators=(",", ":"))
    # In JSON these occur only inside strings.
    for plain, escaped in (
        ("/", "\\/"), ("<", "\\u003C"), (">", "\\u003E"), ("&", "\\u0026"), ("'", "\\u0027"),
    ):  # fmt: skip
        text = text.replace(plain, escaped)
    return re.sub(r'\\(["\\])', _quote, text).encode()


def _quote(match: re.Match[str]) -> str:
    return "\\u0022" if match.group(1) == '"' else match.group()


def _empty(value: Any) -> Any:
    if isinstance(value, str):  # the most frequent case
        return value
    if isinstance(value, dict):
        return {str(k): _empty(v) for k, v in value.items()} if value else []
    if isinstance(value, list | tuple):
        return [_empty(item) for item in value]
    return {} if isinstance(value, UnconvertedDate) else value


class UnconvertedDate:
    """A date object not converted to text: the portal's JSON shows ``{}``."""


def as_php(part: dict[Any, Any]) -> Any:
    """A PHP array: a list if its keys are 0, 1, 2 …; otherwise a map."""
    if part and [str(key) for key in part] == [str(n) for n in range(len(part))]:
        return list(part.values())
    return part


@frozen
class Page:
    """Rows of a list method, with the total and the next offset of the envelope."""

    rows: Any
    total: int | None = None
    next: int | None = None


def page(
    rows: list[Row],
    start: Any,
    wrap: Callable[[list[Row]], Any] = lambda rows: rows,
    *,
    exact: bool = False,
) -> Page:
    """Fifty rows from ``start``, rounded down to a page unless ``exact``; -1: no counting."""
    first = intval(start)
    if first < 0:
        return Page(wrap(rows[:50]))
    first -= 0 if exact else first % 50
    following = first + 50 if len(rows) > first + 50 else None
    return Page(wrap(rows[first : first + 50]), len(rows), following)


def truthy(value: Any) -> bool:
    """PHP's truth: the string "false" is true, "0" and "" are not."""
    return value not in (None, False, 0, "", "0", [], {})


def as_list(value: Any) -> list[Any]:
    """A parameter that may be one value, a list, or a map with number keys."""
    match value:
        case dict():
            return list(value.values())
        case list() | tuple():
            return list(value)
        case None:
            return []
        case _:
            return [value]


def as_map(value: Any) -> dict[str, Any]:
    """A parameter that should be a map; a list gets number keys, a single value is empty."""
    match value:
        case dict():
            return {str(key): item for key, item in value.items()}
        case list() | tuple():
            return {str(key): item for key, item in enumerate(value)}
        case _:
            return {}


def intval(value: Any) -> int:
    """PHP's intval: the leading digits, 0 without any; an array is 1 unless empty."""
    if isinstance(value, dict | list):
        return int(bool(value))
    if isinstance(value, bool | int | float):
        return int(value)
    match = re.match(r"\s*[+-]?\d+", str(value))
    return int(match.group()) if match else 0


def strval(value: Any) -> str:
    """PHP's strval: true is 1, false and null are empty."""
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    return "Array" if isinstance(value, dict | list) else str(value)


_UNITS = {
    "second": 1,
    "sec": 1,
    "minute": 60,
    "min": 60,
    "hour": 3600,
    "day": 86400,
    "week": 604800,
}
_CLOCK = r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AaPp][Mm])?)?"


def strtotime(text: str, now: datetime, zone: tzinfo) -> datetime | None:
    """The common formats of PHP's strtotime; a text without an offset is in ``zone``."""
    text = text.strip()
    here = now.astimezone(zone)
    if re.fullmatch(r"@-?\d+", text):
        return datetime.fromtimestamp(int(text[1:]), UTC)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    keywords = {"now": here, "today": midnight, "tomorrow": midnight + timedelta(days=1)}
    if text.lower() in keywords:
        return keywords[text.lower()].astimezone(UTC)
    if match := re.fullmatch(r"([+-]\s*\d+)\s*([a-z]+?)s?", text.lower()):
        seconds = _UNITS.get(match.group(2))
        count = int(match.group(1).replace(" ", ""))
        return None if seconds is None else (here + timedelta(seconds=count * seconds))
    try:
        if match := re.fullmatch(r"(\d{1,2})([./])(\d{1,2})\2(\d{4})" + _CLOCK, text):
            one, sign, two, year, hour, minute, second, half = match.groups()
            day, month = (one, two) if sign == "." else (two, one)
            twelve = int(hour or 0) % 12 + 12 * (half.lower() == "pm") if half else int(hour or 0)
            clock = twelve, int(minute or 0), int(second or 0)
            value = datetime(int(year), int(month), int(day), *clock)
        else:
            value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value.replace(tzinfo=value.tzinfo or zone).astimezone(UTC)
