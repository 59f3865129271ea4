"""
Settings that are read again while the dialler runs: what it takes over, and what waits for a start.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from attrs import define, field
from pydantic import BaseModel

from autodial.config.load import load
from autodial.config.settings import Config

#: How the answer begins where nothing changes.
NOTHING = "nothing was taken over"
#: What is built, opened or listened to at the start. Whole sections, or keys of them.
AT_START: Mapping[str, frozenset[str]] = {
    "language": frozenset(),
    "fastagi": frozenset(),
    "events": frozenset(),
    "metrics": frozenset(),
    "log": frozenset(),
    "portal": frozenset(
        {"webhook", "application", "verify", "poll", "requests_per_second", "zone", "pool"}
    ),
    "asterisk": frozenset({"spool", "ami_host", "ami_port", "ami_user", "ami_secret"}),
    "pace": frozenset({"shadow"}),
    "store": frozenset({"path", "url"}),
    "node": frozenset(),
}


def taken_over(old: Config, new: Config) -> tuple[Config, tuple[str, ...], tuple[str, ...]]:
    """
    What runs from now on, which keys of it are new, and which have changed in the file and wait for
    a start.

    Raises:
        ConfigError: what is taken over does not fit what waits for a start.
    """
    values, changed, waiting = {}, [], []
    for name in Config.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        keys = AT_START.get(name)
        if _same(before, after):
            continue
        if keys is not None and not keys:
            waiting += _different(name, before, after)
            continue
        if keys is None or not isinstance(after, BaseModel):
            values[name] = after
            changed.append(name)
            continue
        kept = {
            key: getattr(before, key) for key in keys if getattr(before, key) != getattr(after, key)
        }
        waiting += [f"{name}.{key}" for key in sorted(kept)]
        values[name] = after.model_copy(update=kept)
        if not _same(values[name], before):
            changed.append(name)
    now = old.model_copy(update=values)
    if now.portal_zone != old.portal_zone:  # the link reads the portal's dates by it
        zone = now.portal.model_copy(update={"zone": old.portal_zone.key})
        now = now.model_copy(update={"portal": zone})
        waiting.append("portal.zone (the same as hours.zone)")
    now.check()
    return now, tuple(changed), tuple(waiting)


def _same(before: object, after: object) -> bool:
    """Are both the same? A key that is left out differs from one that is set to its default."""
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        left, right = before.model_dump(exclude_unset=True), after.model_dump(exclude_unset=True)
        return before == after and left == right
    return before == after


def _different(name: str, before: object, after: object) -> list[str]:
    """The keys of a section that differ; what is no section differs as a whole."""
    if not isinstance(before, BaseModel):
        return [name]
    keys = type(before).model_fields
    return [f"{name}.{key}" for key in keys if getattr(before, key) != getattr(after, key)]


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
