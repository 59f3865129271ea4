"""What the portal tells us, as values. Nothing here knows how it was asked."""

import re
from datetime import datetime

from attrs import frozen

_CODE = re.compile(r"(CO|C|L|D|T[0-9a-f]+)_(\d+)")


@frozen(kw_only=True)
class TaskQuery:
    """Which of the portal's tasks are call tasks. At least one criterion must be set."""

    group: int | None = None  #: tasks of this work group
    tag: str | None = None  #: tasks with this tag

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
    changed: str  #: the portal's own text; only compared

    @property
    def open(self) -> bool:
        return self.status in (1, 2, 3)


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


@frozen(kw_only=True)
class Employee:
    """A member of the call centre's staff."""

    id: int
    name: str
    extension: str  #: the internal number; empty if none was given
    active: bool
    online: bool  #: the portal's word; it lags a logout by up to 24 minutes
    last_login: datetime | None
    last_activity: datetime | None


@frozen(kw_only=True)
class CallRecord:
    """A finished call in the portal's statistics."""

    call_id: str
    duration: int
    failed_code: str


def entity(code: str) -> tuple[str, int] | None:
    """``C_55`` as ("C", 55); None for what we do not call (quotes, orders, recycle bin)."""
    match = _CODE.fullmatch(code)
    return (match.group(1), int(match.group(2))) if match else None
