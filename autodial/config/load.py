"""
Reading the configuration file: an error names each key and what to do.

Unknown keys are refused with the nearest known one named: a misspelt limit must not be no limit.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import (
    ValidationError,
)

from autodial.config.fields import nearest
from autodial.config.settings import Config
from autodial.errors import ConfigError

#: Keys that had another name.
RENAMED = {
    "pace.power": "dial_ratio",
    "client.spanning": "ambiguous_zone",
    "client.apart": "minimum_interval",
    "client.spread": "jitter",
    "staff.patience": "wait_for_responsible",
    "client.talks": "external_calls",
    "store.keep.talks": "external_calls",
}
#: Keys of earlier versions that nothing replaces, and why.
REMOVED = {
    "fastagi.hot_path": "there is one transport now",
    "client.next_phone": "the next attempt tries the next number",
}


def load(path: Path) -> Config:
    """
    Read the configuration.

    Raises:
        ConfigError: unreadable, open to others though it holds secrets, or wrong; the text names
        each key and what to do.
    """
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            text = stream.read().decode("utf-8-sig")  # editors of Windows begin with a mark
        settings = tomllib.loads(text.replace("\r\n", "\n"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{path} holds secrets and others may read it: chmod 600 {path}")
    return parse(settings, str(path))


def parse(settings: Mapping[str, Any], name: str) -> Config:
    """Validate the settings of a file; raises ConfigError."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = [_problem(dict(problem)) for problem in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{name}: {problem}" for problem in problems)) from None


def _problem(problem: Mapping[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    key = ".".join(place)
    if problem["type"] == "extra_forbidden" and key in RENAMED:
        return f"{key}: is called {RENAMED[key]} now"
    if problem["type"] == "extra_forbidden" and key in REMOVED:
        return f"{key}: {REMOVED[key]}; remove the line"
    if problem["type"] == "extra_forbidden":
        return f"{key}: no such key{nearest(place[-1], _keys(place[:-1]))}"
    if problem["type"] == "missing":
        return f"{key}: must be set"
    return f"{key or 'file'}: {str(problem['msg']).removeprefix('Value error, ')}"


def _keys(place: list[str]) -> list[str]:
    model: Any = Config
    for part in place:
        if part in getattr(model, "model_fields", {}):
            model = model.model_fields[part].annotation
            model = get_args(model)[0] if get_origin(model) is tuple else model
    return list(getattr(model, "model_fields", {}))
