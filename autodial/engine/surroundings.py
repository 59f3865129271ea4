"""What the engine asks and tells of what is around it: Asterisk, the portal, the other services."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from attrs import frozen

from autodial.model.ids import AttemptId, TaskId
from autodial.model.task import CallTask


@frozen(kw_only=True)
class Surroundings:
    """Questions first, then what others are told."""

    pbx_ok: Callable[[], bool]  #: is the manager interface connected?
    dialplan_ok: Callable[[], bool] = lambda: True  #: does Asterisk run our dialplan as it should?
    portal_seen: Callable[[], datetime | None]  #: when it last answered a whole poll
    #: Read a task of the portal anew; None: it is gone, or the portal does not answer.
    refresh: Callable[[TaskId], Awaitable[CallTask | None]]
    #: Is an attempt still in its call? Asked of Asterisk, with the channel of its outbound leg.
    under_way: Callable[[AttemptId, str | None], Awaitable[bool]]
    on_ended: Callable[[], None]  #: an operator may be free now
    on_enqueued: Callable[[], None]  #: there is a message for the portal
    wake_at: Callable[[datetime], None]  #: the dispatcher has something to do then


def all_well(now: Callable[[], datetime], **others: Any) -> Surroundings:
    """Asterisk and the portal are there, nothing is new, and nobody is told; save ``others``."""

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
