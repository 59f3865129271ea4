"""Validators for the fields of values."""

from datetime import datetime
from typing import Any

from attrs import Attribute


def aware(_: object, attribute: "Attribute[Any]", value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise ValueError(f"{attribute.name} needs a time zone: {value!r}")
