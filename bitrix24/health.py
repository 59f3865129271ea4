"""A look at the portal before work: who we are there, what we may, what is missing."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from bitrix24.asking import Asking
from bitrix24.errors import AnswerStrange, PortalDenied, PortalRefused
from bitrix24.wire import Row, plain, shown

#: Methods of the dialler, with the scope that each needs.
NEEDED: Sequence[tuple[str, str]] = (
    ("tasks.task.list", "task"),
    ("tasks.task.update", "task"),
    ("task.commentitem.add", "task"),
    ("crm.contact.list", "crm"),
    ("user.get", "user"),
    ("department.get", "department"),
    ("telephony.externalCall.register", "telephony"),
)
#: What makes the dialler know more, and what it is for.
USEFUL: Sequence[tuple[str, str]] = (
    ("im.user.list.get", "im"),
    ("timeman.status", "timeman"),
)


@frozen(kw_only=True)
class Health:
    """What the portal says of us."""

    user: int
    administrator: bool
    scopes: frozenset[str]
    missing: tuple[str, ...]  #: scopes without which the dialler cannot do its work
    useful: tuple[str, ...]  #: scopes without which it knows less of presence
    absent: tuple[str, ...]  #: methods this portal does not have
    lines: str | None  #: why the dialler's line cannot be kept; None: it can


class HealthMethods(Asking):
    """Questions that need no scope."""

    async def answers(self) -> None:
        """Ask for next to nothing; raises if the portal does not answer."""
        await self.call("server.time", {})

    async def health(self, *, group: bool = False) -> Health:
        """
        Look, and change nothing: one request. ``group``: staff is chosen by a work group.

        Raises:
            PortalDenied: the webhook is wrong. PortalUnavailable: try again later.
        """
        needed = [*NEEDED, *([("sonet_group.user.get", "sonet_group")] if group else [])]
        said = await self.batch_of_each(
            {
                "profile": ("profile", {}),
                "scope": ("scope", {}),
                "lines": ("telephony.externalLine.get", {}),
                **{f"m{n}": ("method.get", {"name": name}) for n, (name, _) in enumerate(needed)},
            }
        )
        profile = Row("profile", _result(said["profile"]))
        listed = _result(said["scope"])
        if not isinstance(listed, list):
            raise AnswerStrange("scope", "result", f"expected a list: {shown(listed)}")
        scopes = frozenset(plain(scope) for scope in listed)
        return Health(
            user=profile.number("ID"),
            administrator=profile.get("ADMIN") in (True, "Y"),
            scopes=scopes,
            missing=_lacking(needed, scopes),
            useful=_lacking(USEFUL, scopes),
            absent=tuple(name for n, (name, _) in enumerate(needed) if not _exists(said[f"m{n}"])),
            lines=_refusal(said["lines"]),
        )


def _result(said: Any) -> Any:
    if isinstance(said, Exception):
        raise said
    return said


def _lacking(wanted: Sequence[tuple[str, str]], scopes: frozenset[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(scope for _, scope in wanted if scope not in scopes))


def _exists(said: Any) -> bool:
    if isinstance(said, Exception):
        return True  # this portal cannot tell (an old box): not a reason to complain
    return not isinstance(said, dict) or bool(said.get("isExisting"))


def _refusal(said: Any) -> str | None:
    if isinstance(said, PortalRefused) and not isinstance(said, PortalDenied):
        return str(said)
    _result(said)
    return None
