"""
Settings that are read again while the dialler runs: what it takes over, and what waits for a start.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from attrs import define, field
from pydantic import BaseModel

from autodial.config import Config, load

#: What is built, opened or listened to at the start. Whole sections, or keys of them.
AT_START: Mapping[str, frozenset[str]] = {
    "language": frozenset(),
    "fastagi": frozenset(),
    "events": frozenset(),
    "metrics": frozenset(),
    "portal": frozenset(
        {"webhook", "application", "verify", "poll", "requests_per_second", "zone", "pool"}
    ),
    "asterisk": frozenset({"spool", "ami_host", "ami_port", "ami_user", "ami_secret"}),
    "pace": frozenset({"shadow"}),
    "store": frozenset({"path"}),
}


def taken_over(old: Config, new: Config) -> tuple[Config, tuple[str, ...], tuple[str, ...]]:
    """
    What runs from now on, which keys of it are new, and which have changed in the file and wait for
    a start.
    """
    values, changed, waiting = {}, [], []
    for name in Config.model_fields:
        was, said = getattr(old, name), getattr(new, name)
        keys = AT_START.get(name)
        if was == said:
            continue
        if keys is not None and not keys:
            waiting += _different(name, was, said)
            continue
        if keys is None or not isinstance(said, BaseModel):
            values[name] = said
            changed.append(name)
            continue
        kept = {key: getattr(was, key) for key in keys if getattr(was, key) != getattr(said, key)}
        waiting += [f"{name}.{key}" for key in sorted(kept)]
        values[name] = said.model_copy(update=kept)
        if values[name] != was:
            changed.append(name)
    return old.model_copy(update=values), tuple(changed), tuple(waiting)


def _different(name: str, was: object, said: object) -> list[str]:
    """The keys of a section that differ; what is no section differs as a whole."""
    if not isinstance(was, BaseModel):
        return [name]
    keys = type(was).model_fields
    return [f"{name}.{key}" for key in keys if getattr(was, key) != getattr(said, key)]


@define(eq=False)
class Settings:
    """The file, and what was read of it last."""

    path: Path
    _read: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._read = self._digest()

    @property
    def changed(self) -> bool:
        """Does the file say something else than what was read?"""
        return self._digest() != self._read

    def load(self) -> Config:
        """
        Read it again.

        Raises:
            ConfigError: it cannot be used; what was read before still holds.
        """
        digest = self._digest()
        config = load(self.path)
        self._read = digest
        return config

    def _digest(self) -> str:
        try:
            return sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            return str(error)
