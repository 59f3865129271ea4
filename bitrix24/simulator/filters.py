"""
Filters of the portal's lists: a sign before the name, and one or several values.

Each list has its own names; it silently ignores unknown ones.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from bitrix24.simulator import php

#: The longest first.
_SIGNS = ("!><", "!=%", "!%=", "><", "!=", "!%", "!@", "=%", "%=", ">=", "<=", "!", "=", "%", "?",
          "@", ">", "<")  # fmt: skip
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": lambda have, wanted: have > wanted,
    ">=": lambda have, wanted: have >= wanted,
    "<": lambda have, wanted: have < wanted,
    "<=": lambda have, wanted: have <= wanted,
}
Reader = Callable[[str], datetime]


@lru_cache
def criterion(prefixed: str) -> tuple[str, str]:
    """Split ``>=ID`` into sign and name; a name without a sign means "="."""
    sign = next((sign for sign in _SIGNS if prefixed.startswith(sign)), "")
    return sign or "=", prefixed[len(sign) :]


def holds(sign: str, have: Any, wanted: Any, read: Reader) -> bool:
    """Does a field's value match a criterion? As ``rule``, for one value."""
    return rule(sign, wanted, read)(have)


def rule(sign: str, wanted: Any, read: Reader) -> Callable[[Any], bool]:
    """
    A criterion as a function for many rows. Several wanted values are alternatives, and so are
    several values of a field. ``read`` parses dates.
    """
    if sign.startswith("!"):
        other = rule(sign[1:] or "=", wanted, read)
        return lambda have: not other(have)
    if sign in ("=", "@"):
        return _among(php.as_list(wanted) or [None], read)
    if sign in ("%", "?", "=%", "%="):
        return lambda have: any(
            _like(php.strval(value), php.strval(wanted), sign) for value in _each(have)
        )
    if sign == "><":
        low, high = [*php.as_list(wanted), None, None][:2]
        above, below = rule(">=", low, read), rule("<=", high, read)
        return lambda have: above(have) and below(have)
    compare = _COMPARE[sign]
    return lambda have: have is not None and compare(*_pair(have, wanted, read))


def _among(values: list[Any], read: Reader) -> Callable[[Any], bool]:
    texts = {php.strval(value) for value in values}

    def among(have: Any) -> bool:
        if isinstance(have, datetime):
            return any(have == read(text) for text in texts if text)
        if isinstance(have, list | tuple | set):
            return any(php.strval(one) in texts for one in have)
        return php.strval(have) in texts

    return among


def _each(have: Any) -> list[Any]:
    return list(have) if isinstance(have, list | tuple | set) else [have]


def _like(have: str, wanted: str, sign: str) -> bool:
    have, wanted = have.lower(), wanted.lower()
    if sign in ("=%", "%="):  # % is the wildcard
        pattern = ".*".join(re.escape(part) for part in wanted.split("%"))
        return re.fullmatch(pattern, have, re.DOTALL) is not None
    return wanted in have


def _pair(have: Any, wanted: Any, read: Reader) -> tuple[Any, Any]:
    if isinstance(have, datetime):
        return have, read(php.strval(wanted))
    if isinstance(have, int) or str(have).isdigit():
        return int(have), php.intval(wanted)
    return str(have), php.strval(wanted)


def ordered(rows: list[dict[str, Any]], order: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows in an order such as ``{"ID": "desc"}``; an unknown name does not sort."""
    for name, way in reversed(list(order.items())):
        reverse = php.strval(way).lower() == "desc"
        rows = sorted(rows, key=lambda row: _key(row.get(name)), reverse=reverse)
    return rows


def _key(value: Any) -> tuple[int, Any]:
    match value:
        case None:
            return (0, 0)
        case datetime():
            return (1, value.astimezone(UTC).timestamp())
        case int() | float():
            return (1, value)
        case _:
            return (2, php.strval(value))
