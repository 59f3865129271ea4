"""The portal's data as values, independent of the requests."""

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
    tags: bool = False  #: return each task's tags too
    fields: tuple[str, ...] = ()  #: further fields: ACCOMPLICES, AUDITORS, UF_AUTO_123…

    def __attrs_post_init__(self) -> None:
        if self.group is None and not self.tag:
            raise ValueError("name a work group or a tag: all tasks of a portal are not call tasks")


@frozen(kw_only=True)
class PortalTask:
    """One task, as the portal stores it."""

    id: int
    title: str
    status: int  #: the stored status: 2 pending, 3 in progress, 4 control, 5 done, 6 deferred
    responsible: int
    deadline: datetime | None  #: UTC; seconds are always :00
    clients: tuple[str, ...]  #: CRM codes such as C_55, CO_7, L_9, D_102
    #: The deadline as returned, to detect a change; None: ``deadline`` itself.
    told: "Deadline | None" = None
    #: In lower case; only if requested. None: this portal does not return them.
    tags: frozenset[str] | None = frozenset()
    #: Other requested fields, by the portal's name, as texts; empty fields are left out.
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
    A task's deadline as the portal stores it. The box stores the wall clock of its server, and
    writes it with today's offset: for a date in the other season (daylight saving) that is
    another moment.
    """

    at: datetime | None  #: the moment as returned, UTC
    wall: str = ""  #: by the server's clock, ``2026-05-20T10:00``; empty: none, or not known
    #: The moment that was meant, if the server's zone is known; None: as returned.
    meant: datetime | None = None

    @property
    def moment(self) -> datetime | None:
        """The moment that was meant, if known; otherwise as returned."""
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
        Is it unchanged? When daylight saving changes, the portal writes the same wall clock with
        another offset; after a change of its zone, the same moment with another wall clock.
        """
        return self.at == known.at or (bool(self.wall) and self.wall == known.wall)


class TaskStatus(Enum):
    """Statuses that a task can be moved to; the portal's own numbers."""

    IN_PROGRESS = 3
    DONE = 5  #: 4 instead, if the task's author must approve it
    DEFERRED = 6


@frozen(kw_only=True)
class TaskPage:
    """One page of a walk over tasks."""

    tasks: tuple[PortalTask, ...]
    unreadable: Mapping[int, AnswerStrange]  #: by task: it exists, but its row is damaged
    without_id: int = 0  #: rows whose task number cannot be read
    at: datetime | None = None  #: when the portal began to answer, by its own clock


@frozen(kw_only=True)
class StaffQuery:
    """Which users are operators: by departments, work group, or a field of the user."""

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
    parent: int | None = None  #: the department above it


@frozen
class Phone:
    """A phone number as typed in the CRM."""

    value: str
    kind: str  #: WORK, MOBILE, HOME, FAX, PAGER, MAILING, OTHER


@frozen(kw_only=True)
class Client:
    """The client to call: a contact, a company or a lead."""

    entity_type: str  #: CONTACT, COMPANY or LEAD
    entity_id: int
    name: str
    phones: tuple[Phone, ...]
    fields: Mapping[str, str] = field(factory=dict)  #: custom fields, as requested


@frozen(kw_only=True)
class Employee:
    """A member of the call centre's staff."""

    id: int
    name: str
    extension: str  #: the internal number; empty if there is none
    active: bool
    #: As reported; stays up to 24 minutes after a logout. None: not reported (boxes of 2019).
    online: bool | None
    last_login: datetime | None


@frozen(kw_only=True)
class Presence:
    """Further presence data of the portal; None: not reported."""

    last_activity: datetime | None = None
    working_day: str | None = None  #: opened, paused, closed, expired


@frozen(kw_only=True)
class LoginEvent:
    """One row of the portal's event log."""

    id: int  #: increasing; the mark for the next request
    user: int
    login: bool  #: otherwise a logout
    at: datetime


@frozen(kw_only=True)
class CallRecord:
    """A finished call in the portal's statistics."""

    call_id: str
    duration: int
    failed_code: str


@frozen(kw_only=True)
class Talk:
    """An answered call of a portal user, incoming or outgoing."""

    id: int  #: of the portal's statistics; increasing
    number: str  #: the other party's number, as the portal stores it
    user: int
    at: datetime
    seconds: int
    external: str  #: EXTERNAL_CALL_ID, set by the registering application; empty: none
    entity: tuple[str, int] = ("", 0)  #: the client: CONTACT, COMPANY or LEAD, and its id


def entity(code: str) -> tuple[str, int] | None:
    """``C_55`` as ("C", 55); None for what we do not call (quotes, orders, recycle bin)."""
    match = _CODE.fullmatch(code)
    return (match.group(1), int(match.group(2))) if match else None
