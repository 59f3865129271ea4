"""What the portal tells us, as values. Nothing here knows how it was asked."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum

from attrs import field, frozen

from bitrix24.errors import AnswerStrange

_CODE = re.compile(r"(CO|C|L|D|T[0-9a-f]{1,8})_([0-9]{1,15})")


@frozen(kw_only=True)
class TaskQuery:
    """Which of the portal's tasks are call tasks. At least one criterion must be set."""

    group: int | str | None = None  #: tasks of this work group, by number or name
    tag: str | None = None  #: tasks with this tag
    tags: bool = False  #: tell each task's tags, too
    fields: tuple[str, ...] = ()  #: and these: ACCOMPLICES, AUDITORS, UF_AUTO_123…

    def __attrs_post_init__(self) -> None:
        if self.group is None and not self.tag:
            raise ValueError("name a work group or a tag: all tasks of a portal are not call tasks")


@frozen(kw_only=True)
class PortalTask:
    """One open task, as the portal holds it."""

    id: int
    title: str
    status: int  #: the stored status: 2 pending, 3 in progress, 4 control, 5 done, 6 deferred
    responsible: int
    deadline: datetime | None  #: UTC; seconds are always :00
    clients: tuple[str, ...]  #: CRM codes such as C_55, CO_7, L_9, D_102
    #: What is told of the deadline, by which a change is known; None: ``deadline`` itself.
    told: "Deadline | None" = None
    #: In small letters; only if they were asked for. None: this portal does not tell them.
    tags: frozenset[str] | None = frozenset()
    #: What else was asked for, by the portal's name, as texts; an empty field is not in it.
    fields: Mapping[str, tuple[str, ...]] = field(factory=dict)

    @property
    def open(self) -> bool:
        return self.status in (1, 2, 3)

    @property
    def until(self) -> "Deadline":
        return self.told or Deadline(self.deadline)


@frozen
class Deadline:
    """
    A task's deadline as the portal has it. The box keeps the wall clock of its server, and writes
    it with the offset of today: for a date in the other season that is another moment.
    """

    at: datetime | None  #: the moment as told, UTC
    wall: str = ""  #: by the server's clock, ``2026-05-20T10:00``; empty: none, or not known
    #: The moment that was meant, where the server's zone is known; None: as told.
    meant: datetime | None = None

    @property
    def moment(self) -> datetime | None:
        """When it is, as well as we know."""
        return self.at if self.meant is None else self.meant

    @property
    def midnight(self) -> bool:
        return self.wall.endswith("T00:00")

    def is_of(self, ours: datetime) -> bool:
        """Is it what we sent? The portal cuts seconds."""
        return ours.replace(second=0, microsecond=0) in (self.at, self.meant)

    def may_be_of(self, ours: datetime, *, by_day: bool) -> bool:
        """The same, where the portal may cut a deadline to its day, as boxes of 2019 do."""
        moment = self.moment
        cut = by_day and self.midnight and moment is not None
        return self.is_of(ours) or (cut and timedelta(0) <= ours - moment < timedelta(1))  # type: ignore[operator]

    def same(self, known: "Deadline") -> bool:
        """
        Has nobody moved it? At the change of clocks the portal writes the same clock with another
        offset; and after a change of its zone the same moment by another clock.
        """
        return self.at == known.at or (bool(self.wall) and self.wall == known.wall)


class TaskStatus(Enum):
    """Where a task can be brought to; the portal's own numbers."""

    IN_PROGRESS = 3
    DONE = 5  #: 4 instead, if the task's author is to have a look
    DEFERRED = 6


@frozen(kw_only=True)
class TaskPage:
    """A piece of a walk over tasks."""

    tasks: tuple[PortalTask, ...]
    unreadable: Mapping[int, AnswerStrange]  #: by task: it exists, and its answer is damaged
    without_id: int = 0  #: rows of which not even the task's number can be read
    at: datetime | None = None  #: when the portal began to answer, by its own clock


@frozen(kw_only=True)
class StaffQuery:
    """Who the operators are: by departments, by work group, or by a field of the user."""

    departments: tuple[int | str, ...] = ()  #: by number or name
    group: int | str | None = None
    field: str = ""  #: for example UF_USR_1700000000000
    value: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.departments and self.group is None and not (self.field and self.value):
            raise ValueError("name departments, a work group or a field: not everybody is staff")


@frozen
class Named:
    """A department or a work group."""

    id: int
    name: str
    parent: int | None = None  #: of a department, the one above it


@frozen
class Phone:
    """A phone as somebody typed it."""

    value: str
    kind: str  #: WORK, MOBILE, HOME, FAX, PAGER, MAILING, OTHER


@frozen(kw_only=True)
class Client:
    """Who is to be called: a contact, a company or a lead."""

    entity_type: str  #: CONTACT, COMPANY or LEAD
    entity_id: int
    name: str
    phones: tuple[Phone, ...]
    fields: Mapping[str, str] = field(factory=dict)  #: a site's own fields, as asked for


@frozen(kw_only=True)
class Employee:
    """A member of the call centre's staff."""

    id: int
    name: str
    extension: str  #: the internal number; empty if none was given
    active: bool
    #: The portal's word; it lags a logout by up to 24 minutes. None: boxes of 2019 do not say.
    online: bool | None
    last_login: datetime | None


@frozen(kw_only=True)
class Presence:
    """What else the portal knows of a person's presence; None: it does not tell."""

    last_activity: datetime | None = None
    working_day: str | None = None  #: opened, paused, closed, expired


@frozen(kw_only=True)
class LoginEvent:
    """One row of the portal's event log."""

    id: int  #: grows; the place to go on from
    user: int
    login: bool  #: else a logout
    at: datetime


@frozen(kw_only=True)
class CallRecord:
    """A finished call in the portal's statistics."""

    call_id: str
    duration: int
    failed_code: str


@frozen(kw_only=True)
class Talk:
    """A call in which somebody of the portal spoke, whoever began it."""

    id: int  #: of the portal's statistics; grows
    number: str  #: the other side's, as the portal has it
    user: int
    at: datetime
    seconds: int
    external: str  #: the id that whoever registered it gave it; empty: none
    entity: tuple[str, int] = ("", 0)  #: whose it was: CONTACT, COMPANY or LEAD, and its id


def entity(code: str) -> tuple[str, int] | None:
    """``C_55`` as ("C", 55); None for what we do not call (quotes, orders, recycle bin)."""
    match = _CODE.fullmatch(code)
    return (match.group(1), int(match.group(2))) if match else None
