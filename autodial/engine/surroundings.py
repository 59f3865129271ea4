"""The engine's interface to its surroundings: Asterisk, the portal, the other services."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from attrs import frozen

from autodial.model.ids import AttemptId, OperatorId, TaskId


@frozen(kw_only=True)
class Surroundings:
    """Queries first, then notifications."""

    pbx_ok: Callable[[], bool]  #: is the manager interface connected?
    dialplan_ok: Callable[[], bool] = lambda: (
        True
    )  #: is our dialplan loaded in Asterisk, as installed?
    portal_seen: Callable[[], datetime | None]  #: when it last answered a whole poll
    #: Read a task from the portal again: its responsible operator. None: it is gone, or the portal
    #: does not answer.
    refresh: Callable[[TaskId], Awaitable[OperatorId | None]]
    #: Is an attempt's call still in Asterisk? By the channel of its outbound leg, if known.
    under_way: Callable[[AttemptId, str | None], Awaitable[bool]]
    on_ended: Callable[[], None]  #: an attempt has ended: an operator may be free
    on_enqueued: Callable[[], None]  #: there is a message for the portal
    wake_at: Callable[[datetime], None]  #: wake the dispatcher then


def all_well(now: Callable[[], datetime], **others: Any) -> Surroundings:
    """Asterisk and the portal answer, nothing is new, notifications are dropped; see ``others``."""

    async def nothing_new(task: TaskId) -> None:
        return None

    async def over(attempt: AttemptId, leg: str | None) -> bool:
        return False

    answers: dict[str, Any] = {
        "pbx_ok": lambda: True,
        "portal_seen": now,
        "refresh": nothing_new,
        "under_way": over,
        "on_ended": lambda: None,
        "on_enqueued": lambda: None,
        "wake_at": lambda moment: None,
    }
    return Surroundings(**(answers | others))
