"""The options and data of one portal. The methods work on it."""

import itertools
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from attrs import define, field

from bitrix24.simulator import php
from bitrix24.simulator.errors import TEXTS
from bitrix24.simulator.event_bodies import event_body

Row = dict[str, Any]

#: All scopes that a webhook can have here.
SCOPES = frozenset(
    {
        "crm", "department", "im", "main", "sonet_group", "task", "tasks", "telephony", "timeman",
        "user",
    }
)  # fmt: skip


@define(eq=False)
class PortalState:
    """The options and the data of one portal. Tests and the demo read and set them."""

    secret: str = "simulated0secret"
    user_id: int = 1
    login: str = "autodial"  #: of the webhook's user; also valid in its address
    zone: tzinfo = timezone(timedelta(hours=3))  #: of the webhook's user
    server_zone: tzinfo | None = None  #: of the server's PHP; None: the same
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    scopes: frozenset[str] = SCOPES
    language: str = "ru"
    administrator: bool = True  #: the webhook's user
    #: Rate limits, and running times in every answer.
    cloud: bool = False
    documented_statuses: bool = False  #: HTTP statuses of the documentation, not of the box
    https_required: bool = False  #: the box's default; a constant of PHP switches it off
    #: Boxes before tasks 25.700 keep comments in a forum; later ones in the task's chat.
    comments_in_chat: bool = False
    rest3: bool = True  #: /rest/api/ is there
    idempotency_keys: bool = False  #: REST 3.0 recognizes a repeated Idempotency-Key
    user_select: bool = True  #: older boxes ignore ``select`` in user.get,
    user_prefixes: bool = True  #: ignore filters with a prefix there (``>ID``),
    user_presence: bool = True  #: and return neither LAST_LOGIN nor IS_ONLINE
    php_warnings: bool = False  #: display_errors is on, and PHP is version 8
    tags_told: str = "map"  #: format of a task's tags: map, texts (a list), no
    crm_items: bool = True  #: crm.item.list is there
    links_as: str = "list"  #: format of a task's CRM links: list, map, text
    deadline_by_day: bool = False  #: boxes of 2019 cut a deadline to the day
    chats_by_hand: bool = False  #: a task's chat is created on first request
    late: timedelta = timedelta(seconds=60)  #: see ``Fault.LATE``
    telephony_by_webhook: bool = True  #: older boxes answer WRONG_AUTH_TYPE
    timeman: bool = True  #: the working-time module is installed
    log_logins: bool = False  #: the main module's options, both off by default
    log_logouts: bool = False
    no_links: Any = False  #: ufCrmTask of a task without links: False, None or []
    deadline_changes: int | None = None  #: how often a user other than an administrator may
    statistics_readable: bool = True
    #: Methods that the webhook's user may not use, or whose running time is used up; lower case.
    forbidden: set[str] = field(factory=set)
    blocked: set[str] = field(factory=set)
    client_id: str = "local.simulated"  #: of the only application
    client_secret: str = "simulated1secret"
    code: str = "simulated3code"  #: given to the application by the portal's consent page

    tasks: dict[int, Row] = field(factory=dict, init=False)
    comments: dict[int, list[Row]] = field(factory=dict, init=False)
    history: list[Row] = field(factory=list, init=False)
    contacts: dict[int, Row] = field(factory=dict, init=False)
    companies: dict[int, Row] = field(factory=dict, init=False)
    leads: dict[int, Row] = field(factory=dict, init=False)
    deals: dict[int, Row] = field(factory=dict, init=False)
    timeline: list[Row] = field(factory=list, init=False)  #: comments on clients
    items: dict[int, dict[int, Row]] = field(factory=dict, init=False)  #: smart processes, by type
    users: dict[int, Row] = field(factory=dict, init=False)
    tags: dict[str, int] = field(factory=dict, init=False)  #: their numbers
    departments: dict[int, Row] = field(factory=dict, init=False)
    groups: dict[int, list[int]] = field(factory=dict, init=False)
    event_log: list[Row] = field(factory=list, init=False)
    lines: dict[str, str] = field(factory=dict, init=False)
    made_lines: int = field(default=0, init=False)
    handlers: list[tuple[str, str]] = field(factory=list, init=False)  #: event.bind: event, URL
    calls: dict[str, Row] = field(factory=dict, init=False)
    statistics: list[Row] = field(factory=list, init=False)
    recordings: dict[str, tuple[str, bytes]] = field(factory=dict, init=False)  #: by CALL_ID
    cards: list[tuple[str, str, int]] = field(factory=list, init=False)
    notices: list[Row] = field(factory=list, init=False)
    requests: list[str] = field(factory=list, init=False)
    #: Methods executed, including those inside batches.
    executed: list[str] = field(factory=list, init=False)
    #: Called once with the body of each event, as the portal's queue would POST it.
    on_event: list[Callable[[bytes], None]] = field(factory=list, init=False)
    application_token: str = "simulated2token"
    tokens: dict[str, datetime] = field(factory=dict, init=False)  #: access tokens, with expiry
    token_users: dict[str, int] = field(factory=dict, init=False)  #: of people's tokens
    token_applications: dict[str, str] = field(factory=dict, init=False)  #: client ids
    administrators: set[int] = field(factory=set, init=False)  #: besides the webhook's user
    #: Place, handler and titles, as bound by the application.
    placements: list[tuple[str, str, Row]] = field(factory=list, init=False)
    application_address: str = ""  #: its handler, as entered in the portal
    acting: int = field(default=0, init=False)  #: in whose name the current request is executed
    token: str = field(default="", init=False)  #: the current request's; empty: by webhook
    refresh_token: str = field(factory=lambda: secrets.token_hex(16), init=False)
    chats: set[int] = field(factory=set, init=False)  #: tasks whose chat exists
    warned: bool = field(default=False, init=False)  #: PHP has printed a warning into this answer
    _ids: "itertools.count[int]" = field(factory=lambda: itertools.count(8001), init=False)
    #: Events of the current request, sent at its end.
    queued_events: list[bytes] = field(factory=list, init=False)
    lock: threading.RLock = field(factory=threading.RLock, init=False)

    def __attrs_post_init__(self) -> None:
        self.users[self.user_id] = {
            "ID": self.user_id, "ACTIVE": True, "NAME": "Автодозвон", "LAST_NAME": "",
            "UF_PHONE_INNER": "", "UF_DEPARTMENT": [1], "LAST_LOGIN": None, "LAST_ACTIVITY": None,
        }  # fmt: skip

    def is_administrator(self, user: int) -> bool:
        return user in self.administrators or (user == self.user_id and self.administrator)

    def has(self, method: str, *, third: bool = False) -> bool:
        """Does a portal of this age have the method?"""
        if method == "tasks.task.chat.message.send":
            return third and self.comments_in_chat
        return self.crm_items or not method.startswith("crm.item.")

    def next_id(self) -> int:
        return next(self._ids)

    def tag_number(self, tag: str) -> int:
        return self.tags.setdefault(tag, 35 + len(self.tags))

    def text(self, key: str) -> str:
        return TEXTS[key][self.language]

    def emit(self, event: str, **data: Any) -> None:
        """Queue an event; it is sent at the end of the request."""
        if self.on_event:
            self.queued_events.append(event_body(event, data, self.application_token, self.now()))

    def out(self, value: datetime | None) -> str | None:
        """A moment as the portal writes it: with its user's offset of today."""
        offset = self.now().astimezone(self.zone).utcoffset() or timedelta(0)
        there = timezone(offset)
        return value.astimezone(there).isoformat(timespec="seconds") if value else None

    def by_server(self, moment: datetime) -> str:
        """As PHP's date('c') writes it."""
        return moment.astimezone(self.server_zone or self.zone).isoformat(timespec="seconds")

    def out_wall(self, value: datetime | None) -> str | None:
        """
        A date of a task as the portal writes it: the stored wall clock of the server, with today's
        offset. For a date in the other season (daylight saving) that is another moment.
        """
        if value is None:
            return None
        server = self.server_zone or self.zone
        now = self.now()
        shift = (now.astimezone(self.zone).utcoffset() or timedelta(0)) - (
            now.astimezone(server).utcoffset() or timedelta(0)
        )
        wall = value.astimezone(server).replace(tzinfo=None) + shift
        there = timezone(now.astimezone(self.zone).utcoffset() or timedelta(0))
        return wall.replace(tzinfo=there).isoformat(timespec="seconds")

    def typed(self, text: str) -> datetime | None:
        """A moment in a field; without an offset it is in the server's zone."""
        return php.strtotime(text, self.now(), self.server_zone or self.zone)

    def into(self, text: str) -> datetime:
        """A moment in a filter; an unreadable one silently becomes 1970."""
        return self.typed(text) or datetime(1970, 1, 1, tzinfo=UTC)
