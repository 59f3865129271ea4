"""A check of the portal before work: our user, its rights, and what is missing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from bitrix24.asking import Asking
from bitrix24.errors import AnswerStrange, PortalDenied, PortalRefused
from bitrix24.wire import Ref, Row, plain, readable_rows, shown

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
#: Methods without which some functions are missing; boxes of 2019 lack them.
OPTIONAL = ("crm.item.list", "im.user.list.get")
#: Optional methods for presence, with the scope that each needs.
USEFUL: Sequence[tuple[str, str]] = (
    ("im.user.list.get", "im"),
    ("timeman.status", "timeman"),
)


@frozen(kw_only=True)
class Health:
    """The portal's answers about our user."""

    user: int
    administrator: bool
    scopes: frozenset[str]
    missing: tuple[str, ...]  #: scopes that the dialler needs
    useful: tuple[str, ...]  #: scopes that would give more presence data
    absent: tuple[str, ...]  #: methods this portal does not have
    lines: str | None  #: why the dialler's line cannot be maintained; None: it can
    lacks: tuple[str, ...] = ()  #: missing methods and fields that the dialler can do without
    #: No source of presence: neither user.get nor last activities.
    blind: bool = False


class HealthMethods(Asking):
    """Checks that need no scope."""

    async def answers(self) -> None:
        """A minimal request; raises if the portal does not answer."""
        await self.call("server.time", {})

    async def time(self) -> datetime:
        """The portal's clock, as it answers."""
        result = await self.call("server.time", {})
        try:
            moment = datetime.fromisoformat(plain(result))
        except ValueError:
            raise AnswerStrange("server.time", "result", f"no moment: {shown(result)}") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    async def health(self, *, group: bool = False) -> Health:
        """
        Check without changing anything: one request, or two. ``group``: staff or tasks are chosen
        by a work group.

        Raises:
            PortalDenied: the webhook is wrong. PortalUnavailable: try again later.
        """
        needed = [*NEEDED, *([("sonet_group.user.get", "sonet_group")] if group else [])]
        results = await self.batch_of_each(
            {
                "profile": ("profile", {}),
                "scope": ("scope", {}),
                "lines": ("telephony.externalLine.get", {}),
                "me": (
                    "user.get",
                    {"FILTER": {"ID": Ref("$result[profile][ID]")}, "start": -1},
                ),
                **{f"m{n}": ("method.get", {"name": name}) for n, (name, _) in enumerate(needed)},
                **{f"o{name}": ("method.get", {"name": name}) for name in OPTIONAL},
            }
        )
        profile = Row("profile", _result(results["profile"]))
        listed = _result(results["scope"])
        if not isinstance(listed, list):
            raise AnswerStrange("scope", "result", f"expected a list: {shown(listed)}")
        scopes = frozenset(plain(scope) for scope in listed)
        absent = tuple(name for n, (name, _) in enumerate(needed) if not _exists(results[f"m{n}"]))
        if "im" not in scopes and await self._comments_in_chat():
            needed.append(("im.dialog.messages.get", "im"))
        fields = _missing_fields(results["me"])
        lacks = (*(name for name in OPTIONAL if not _exists(results[f"o{name}"])), *fields)
        activity = "im" in scopes and "im.user.list.get" not in lacks
        return Health(
            user=profile.number("ID"),
            administrator=profile.get("ADMIN") in (True, "Y"),
            scopes=scopes,
            missing=_lacking(needed, scopes),
            useful=_lacking(USEFUL, scopes),
            absent=absent,
            lines=_refusal(results["lines"]),
            lacks=lacks,
            blind="IS_ONLINE" in fields and not activity,
        )

    async def _comments_in_chat(self) -> bool:
        """
        Do tasks have a chat here? Then a lost comment can only be found there. (Requesting the chat
        of a task that has none creates it, as opening the task does.)
        """
        newest = {"order": {"ID": "desc"}, "select": ["ID"], "start": -1}
        first = Ref("$result[newest][tasks][0][id]")
        results = await self.batch_of_each(
            {
                "newest": ("tasks.task.list", newest),
                "task": ("tasks.task.get", {"taskId": first, "select": ["ID", "CHAT_ID"]}),
            }
        )
        task = results["task"].get("task") if isinstance(results["task"], dict) else None
        return isinstance(task, dict) and plain(task.get("chatId")) not in ("", "0")


def _result(result: Any) -> Any:
    if isinstance(result, Exception):
        raise result
    return result


def _lacking(wanted: Sequence[tuple[str, str]], scopes: frozenset[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(scope for _, scope in wanted if scope not in scopes))


def _missing_fields(result: Any) -> tuple[str, ...]:
    """Fields that user.get does not return for our user; none if it is forbidden."""
    rows = [] if isinstance(result, Exception) else readable_rows("user.get", result)
    wanted = ("IS_ONLINE", "LAST_LOGIN")
    return tuple(name for name in wanted if rows and name not in rows[0])


def _exists(result: Any) -> bool:
    if isinstance(result, Exception):
        return True  # this portal (an old box) cannot report it: no error
    return not isinstance(result, dict) or bool(result.get("isExisting"))


def _refusal(result: Any) -> str | None:
    if isinstance(result, PortalRefused) and not isinstance(result, PortalDenied):
        return str(result)
    _result(result)
    return None
