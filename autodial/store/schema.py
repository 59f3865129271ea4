"""
The tables. Their constraints enforce the dialler's guarantees: one attempt in flight per task, one
reservation per operator, one outcome per attempt, no message to the portal twice.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    or_,
    text,
)
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


class Moment(TypeDecorator[datetime]):
    """An aware moment; stored and returned as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"a moment needs a time zone: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def short(length: int) -> String:
    """
    A text of about so many characters. Foreign ones may be longer: SQLite takes them, PostgreSQL
    would refuse the whole row.
    """
    return String(length).with_variant(Text(), "postgresql")


#: Conditions of the partial indexes below. A statement must repeat one literally to use its index:
#: with a bound parameter instead of a value SQLite reads the whole table. And a statement that
#: compares such a column with a parameter is prepared anew each time it is executed, as its plan
#: depends on the value.
IN_FLIGHT = "state IN ('spooled', 'claimed', 'answered')"
UNDELIVERED = "state IN ('pending', 'sending')"
LISTED, CLOSED = "open = 1", "open = 0"
DEAD = "state = 'dead'"
ASKED_FOR, READ = "refetch = 1", "refetch = 0"


def holds(table: str, condition: str) -> ColumnElement[bool]:
    """One of these conditions, literally."""
    element: ColumnElement[bool] = literal_column(f"{table}.{condition}")
    return element


def in_state(state: str, table: str = "outbox") -> ColumnElement[bool]:
    """A message in this state; ``table``: or the alias."""
    return holds(table, f"state = '{state}'")


def one_of(column: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """As ``IN``, which SQLAlchemy would write out anew at each execution."""
    return or_(*(column == value for value in values))


tasks = Table(
    "tasks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="the portal's task id"),
    Column("title", Text, nullable=False, comment="as in the portal"),
    Column("responsible", Integer, nullable=False, comment="the portal's user id"),
    Column("open", Integer, nullable=False, comment="1 while the portal lists it as a call task"),
    Column("portal_deadline", Moment, comment="the deadline as the portal last had it"),
    Column(
        "portal_wall",
        short(20),
        nullable=False,
        server_default="",
        comment="the same in the portal's local time; empty: none, or unknown",
    ),
    Column("due", Moment, comment="when to call next: the deadline, or later by a rule"),
    Column(
        "closed_reason",
        short(20),
        nullable=False,
        comment="why it is finished; empty: it is not",
    ),
    Column("generation", Integer, nullable=False, comment="grows when a person moves the deadline"),
    Column("deputies", Text, nullable=False, server_default="", comment="named in it, ':' between"),
    Column("purpose", short(30), nullable=False, server_default="", comment="[[purposes]] name"),
    Column(
        "needs_confirmation",
        Integer,
        nullable=False,
        server_default="0",
        comment="1: see confirmed",
    ),
    Column("confirmed", Integer, comment="the generation in which a person confirmed it"),
    Column("do_not_call", Integer, nullable=False, server_default="0", comment="1: by its tag"),
    Column("comment", Integer, comment="the portal's number of our comment of comment_generation"),
    Column("comment_generation", Integer, comment="the generation it was written in"),
    Column(
        "refetch",
        Integer,
        nullable=False,
        server_default="0",
        comment="1: a person has acted, read its phones before it is dialled",
    ),
    Column(
        "next_check",
        Moment,
        comment="when the dispatcher decides again; 1970: now; empty: on a change only",
    ),
    Column("reason", short(30), nullable=False, comment="Reason of the last decision, or dial"),
    Column("reason_at", Moment, comment="when that was decided"),
    comment="call tasks, as planned",
)
#: The ``next_check`` of all tasks whose moment has come: one value, so that the index gives the
#: earliest due of them without sorting the rest.
READY = datetime(1970, 1, 1, tzinfo=UTC)
Index(
    "tasks_next_check_idx",
    tasks.c.next_check,
    tasks.c.due,
    tasks.c.id,
    sqlite_where=text("next_check IS NOT NULL"),
    postgresql_where=text("next_check IS NOT NULL"),
)
Index("tasks_open_idx", tasks.c.id, sqlite_where=text(LISTED), postgresql_where=text(LISTED))
Index(
    "tasks_refetch_idx",
    tasks.c.id,
    sqlite_where=text(ASKED_FOR),
    postgresql_where=text(ASKED_FOR),
)

phones = Table(
    "phones",
    metadata,
    Column("task", ForeignKey("tasks.id"), primary_key=True, comment="whose task"),
    Column("position", Integer, primary_key=True, comment="the order to try, from 0"),
    Column("number", short(20), nullable=False, comment="E.164 with its plus"),
    Column("client", Text, nullable=False, comment="name of the contact, company or lead"),
    Column("entity_type", short(20), nullable=False, comment="CONTACT, COMPANY or LEAD"),
    Column("entity_id", Integer, nullable=False, comment="its id in the CRM"),
    Column("dtmf", short(10), nullable=False, server_default="", comment="to send"),
    Column("zone", short(40), nullable=False, server_default="", comment="time zone in the CRM"),
    Column("do_not_call", Integer, nullable=False, server_default="0", comment="1: by the CRM"),
    Column(
        "no_consent",
        Integer,
        nullable=False,
        server_default="0",
        comment="1: consent is required, and the CRM has none",
    ),
    comment="dialable numbers of a task's clients",
)

Index("phones_number_idx", phones.c.number)
Index("phones_entity_idx", phones.c.entity_id, phones.c.entity_type)

refused = Table(
    "refused",
    metadata,
    Column("task", ForeignKey("tasks.id"), primary_key=True, comment="whose task"),
    Column("position", Integer, primary_key=True, comment="the order, from 0"),
    Column("value", Text, nullable=False, comment="as typed in the CRM"),
    Column("client", Text, nullable=False, comment="the client's name"),
    Column("reason", short(30), nullable=False, comment="key of the catalogue: phone.…"),
    comment="numbers of a task's clients that will not be dialled",
)

operators = Table(
    "operators",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="the portal's user id"),
    Column("name", Text, nullable=False, comment="first and last name"),
    Column("extension", short(20), nullable=False, comment="internal number; empty: none"),
    Column("online", Integer, nullable=False, comment="1 if at work by the configured rule"),
    Column("last_login", Moment, comment="start of the last portal session"),
    Column("last_activity", Moment, comment="last activity, if the portal reports it"),
    Column("last_logout", Moment, comment="last logout in the portal's event log"),
    Column("last_left", Moment, comment="when a poll last found activity ended"),
    Column("working_day", short(10), comment="opened, paused, closed, expired; empty: unknown"),
    Column("phone", short(20), comment="Asterisk's device state; empty: unknown"),
    Column("seen", Moment, nullable=False, comment="when this was read from the portal"),
    comment="the call centre's staff",
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", short(40), primary_key=True, comment="t<task>-<n>; also the call file's name"),
    Column("task", ForeignKey("tasks.id"), nullable=False, comment="whose task"),
    Column("n", Integer, nullable=False, comment="number of the attempt within the task, from 1"),
    Column("generation", Integer, nullable=False, comment="the task's generation when it was made"),
    Column("number", short(20), nullable=False, comment="the number to dial, E.164 with its plus"),
    Column("dtmf", short(10), nullable=False, server_default="", comment="to send at the answer"),
    Column("client", Text, nullable=False, comment="the client's name"),
    Column("entity_type", short(20), nullable=False, comment="CONTACT, COMPANY or LEAD"),
    Column("entity_id", Integer, nullable=False, comment="its id in the CRM"),
    Column("operator", Integer, nullable=False, comment="chosen for it, the portal's user id"),
    Column("extension", short(20), nullable=False, comment="the operator's internal number"),
    Column("reserved", Integer, nullable=False, server_default="1", comment="0: overdialled"),
    Column("trunks", Text, nullable=False, comment="trunks in order, ':' between"),
    Column("caller_ids", Text, nullable=False, server_default="", comment="shown on each trunk"),
    Column("node", short(40), nullable=False, server_default="", comment="[node] that dials it"),
    Column("state", short(10), nullable=False, comment="attempt_states.State"),
    Column("spooled_at", Moment, nullable=False, comment="when it was decided and written"),
    Column("claimed_at", Moment, comment="when the dialplan was told to dial"),
    Column("answered_at", Moment, comment="when the client answered"),
    Column("ended_at", Moment, comment="when the outcome was recorded"),
    Column("expires_at", Moment, nullable=False, comment="the lease; afterwards it is given up"),
    Column("outcome", short(20), comment="outcome.Outcome"),
    Column("report", JSON, comment="Asterisk's report, field by field"),
    Column("taken_by", Integer, comment="the operator who spoke, the portal's user id"),
    Column("talk_seconds", Integer, comment="length of the talk"),
    Column("abandoned", Integer, nullable=False, server_default="0", comment="1: pacing.abandoned"),
    Column("purpose", short(30), nullable=False, server_default="", comment="of its task then"),
    Column("late", Integer, nullable=False, server_default="0", comment="1: pacing.late"),
    Column("disposition", short(20), comment="disposition.Disposition, keyed by the operator"),
    Column("call_id", short(80), comment="the portal's CALL_ID once registered"),
    UniqueConstraint("task", "n"),
    CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ended"),
    CheckConstraint(f"(outcome IS NULL) = ({IN_FLIGHT})", name="outcome"),
    comment="one dialling of one phone for one task",
)
Index(
    "attempts_open_idx",
    attempts.c.task,
    unique=True,
    sqlite_where=text(IN_FLIGHT),
    postgresql_where=text(IN_FLIGHT),
)

Index("attempts_number_idx", attempts.c.number)
Index("attempts_spooled_idx", attempts.c.spooled_at)
Index("attempts_taken_idx", attempts.c.taken_by, attempts.c.ended_at)
Index("attempts_entity_idx", attempts.c.entity_id, attempts.c.entity_type)

forgotten = Table(
    "forgotten",
    metadata,
    Column("task", Integer, primary_key=True, autoincrement=False, comment="the portal's task id"),
    Column("n", Integer, nullable=False, comment="number of its last attempt"),
    comment="attempts deleted by retention; their ids are never used again",
)

external_calls = Table(
    "external_calls",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="the portal's row id"),
    Column("number", short(20), nullable=False, comment="the other side's, E.164 with its plus"),
    Column("at", Moment, nullable=False, comment="when it began"),
    Column("operator", Integer, nullable=False, comment="who spoke, the portal's user id"),
    Column("entity_type", short(20), nullable=False, server_default="", comment="the owner's"),
    Column("entity_id", Integer, nullable=False, server_default="0", comment="0: unknown"),
    comment="talks with our clients besides ours, from the portal's statistics",
)
Index("external_calls_number_idx", external_calls.c.number)
Index("external_calls_entity_idx", external_calls.c.entity_id, external_calls.c.entity_type)

do_not_call = Table(
    "do_not_call",
    metadata,
    Column("id", Integer, primary_key=True, comment="order of entry"),
    Column("number", short(20), nullable=False, comment="E.164 with its plus"),
    Column("entity_type", short(20), nullable=False, comment="whose: CONTACT, COMPANY or LEAD"),
    Column("entity_id", Integer, nullable=False, comment="its id in the CRM; 0: nobody's"),
    Column("at", Moment, nullable=False, comment="when the client said so"),
    Column("operator", Integer, nullable=False, comment="who was told; 0: entered by command"),
    Column("attempt", ForeignKey("attempts.id"), comment="in which call; empty: by command"),
    Column("client", Text, nullable=False, server_default="", comment="by command: whose it is"),
    Column("why", Text, nullable=False, server_default="", comment="by command: for people"),
    comment="clients who must not be called again",
)
Index("do_not_call_number_idx", do_not_call.c.number)
Index("do_not_call_entity_idx", do_not_call.c.entity_id, do_not_call.c.entity_type)
Index("do_not_call_attempt_idx", do_not_call.c.attempt)

pauses = Table(
    "pauses",
    metadata,
    Column("operator", Integer, primary_key=True, autoincrement=False, comment="0: everybody"),
    Column("at", Moment, nullable=False, comment="since when"),
    Column("why", Text, nullable=False, comment="for people"),
    Column("until", Moment, comment="when it ends by itself; empty: when it is resumed"),
    comment="operators who get no calls for now",
)

purpose_pauses = Table(
    "purpose_pauses",
    metadata,
    Column("purpose", short(30), primary_key=True, comment="a name of [[purposes]]"),
    Column("at", Moment, nullable=False, comment="since when"),
    Column("why", Text, nullable=False, comment="for people"),
    Column("until", Moment, comment="when it ends by itself; empty: when it is resumed"),
    comment="purposes for which nobody is called for now",
)

stand_ins = Table(
    "stand_ins",
    metadata,
    Column("operator", Integer, primary_key=True, autoincrement=False, comment="whose"),
    Column("stand_in", Integer, nullable=False, comment="who takes his tasks"),
    Column("at", Moment, nullable=False, comment="since when"),
    Column("until", Moment, comment="when it ends by itself; empty: when it is taken back"),
    comment="operators whose tasks others take for a time",
)

days_off = Table(
    "days_off",
    metadata,
    Column("day", Date, primary_key=True, comment="in the client's and the operator's local time"),
    Column("at", Moment, nullable=False, comment="when it was entered"),
    Column("why", Text, nullable=False, comment="for people"),
    comment="days on which nobody is called, besides [calendar] days_off",
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, comment="order of writing"),
    Column("at", Moment, nullable=False, comment="when"),
    Column("who", short(80), nullable=False, comment="a user of the shell, or an extension"),
    Column("door", short(10), nullable=False, comment="act.Door"),
    Column("act", short(20), nullable=False, comment="act.Act"),
    Column("about", short(80), nullable=False, comment="task, extension, number …; empty: all"),
    Column("detail", Text, nullable=False, comment="the reason, the end"),
    comment="what people did to the dialler",
)
Index("audit_at_idx", audit.c.at)
Index("audit_about_idx", audit.c.about, audit.c.at)

accounts = Table(
    "accounts",
    metadata,
    Column("name", short(40), primary_key=True, comment="by which he logs in"),
    Column("role", short(20), nullable=False, comment="role.Role"),
    Column("password", Text, nullable=False, comment="its Argon2 hash"),
    Column("created", Moment, nullable=False, comment="since when"),
    Column(
        "operator",
        Integer,
        nullable=False,
        server_default="0",
        comment="the portal's user id of an operator; 0: none",
    ),
    comment="people who may look at the board",
)

board_sessions = Table(
    "board_sessions",
    metadata,
    Column("token", short(64), primary_key=True, comment="SHA-256 of the cookie"),
    Column("name", short(60), nullable=False, comment="whose, in the audit log"),
    Column("shown", Text, nullable=False, server_default="", comment="his name"),
    Column(
        "role",
        short(20),
        nullable=False,
        server_default="",
        comment="of a person of the portal; empty: the account's",
    ),
    Column(
        "operator",
        Integer,
        nullable=False,
        server_default="0",
        comment="the portal's user id of an operator; 0: none",
    ),
    Column("proof", short(64), nullable=False, comment="what each form sends back"),
    Column("created", Moment, nullable=False, comment="the login"),
    Column("seen", Moment, nullable=False, comment="the last page"),
    comment="who has logged in on the board",
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("name", short(40), primary_key=True, comment="what it is for"),
    Column("role", short(20), nullable=False, comment="role.Role"),
    Column("token", short(64), nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("created", Moment, nullable=False, comment="since when"),
    comment="programs that may use the API",
)

hooks = Table(
    "hooks",
    metadata,
    Column("name", short(40), primary_key=True, comment="[[hooks]] name"),
    Column("event", Integer, nullable=False, comment="the last one sent, of events"),
    Column("tries", Integer, nullable=False, comment="in vain, of the next one"),
    Column("not_before", Moment, comment="when it is tried again"),
    Column("error", Text, nullable=False, comment="why it failed"),
    Column("dropped", Integer, nullable=False, comment="given up, in all"),
    comment="how far each web hook has been told",
)

reservations = Table(
    "reservations",
    metadata,
    Column("operator", Integer, primary_key=True, autoincrement=False, comment="reserved"),
    Column("attempt", ForeignKey("attempts.id"), nullable=False, unique=True, comment="for this"),
    Column("until", Moment, nullable=False, comment="the lease; afterwards it is void"),
    comment="operators reserved for an attempt; a row goes when the attempt ends",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, comment="also the order of delivery"),
    Column("attempt", ForeignKey("attempts.id"), nullable=False, comment="what it is about"),
    Column("task", Integer, nullable=False, comment="the portal's task id"),
    Column("kind", short(10), nullable=False, comment="outbox_message.MessageKind"),
    Column(
        "operator", Integer, nullable=False, server_default="0", comment="whose card; 0: none's"
    ),
    Column("revision", Integer, nullable=False, server_default="0", comment="see outbox.enqueue"),
    Column("payload", JSON, nullable=False, comment="arguments; moments as ISO 8601"),
    Column("state", short(10), nullable=False, comment="outbox_message.MessageState"),
    Column("created", Moment, nullable=False, comment="when it happened"),
    Column("not_before", Moment, comment="it waits until then, others overtake it"),
    Column("sent_at", Moment, comment="when it was last sent"),
    Column("lost_at", Moment, comment="last sent then without an answer: may be executed yet"),
    Column("done_at", Moment, comment="when the portal accepted it"),
    Column("error", Text, nullable=False, comment="why a person must look (dead)"),
    UniqueConstraint("attempt", "kind", "task", "operator", "revision"),
    comment="messages to the portal, delivered or not",
)
Index(
    "outbox_pending_idx",
    outbox.c.id,
    sqlite_where=text(UNDELIVERED),
    postgresql_where=text(UNDELIVERED),
)
Index("outbox_dead_idx", outbox.c.id, sqlite_where=text(DEAD), postgresql_where=text(DEAD))
Index("outbox_task_idx", outbox.c.task, outbox.c.kind)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, comment="order of writing"),
    Column("at", Moment, nullable=False, comment="when it happened"),
    Column("task", Integer, nullable=False, comment="the portal's task id"),
    Column("attempt", short(40), nullable=False, comment="empty for events of the task"),
    Column("kind", short(20), nullable=False, comment="spooled, claimed, ringing, ended …"),
    Column("detail", Text, nullable=False, comment="for people"),
    comment="the history of each task",
)
Index("events_task_idx", events.c.task)

presence = Table(
    "presence",
    metadata,
    Column("id", Integer, primary_key=True, comment="order of writing"),
    Column("operator", Integer, nullable=False, comment="the portal's user id"),
    Column("at", Moment, nullable=False, comment="when"),
    Column("kind", short(10), nullable=False, comment="login, logout, came, left"),
    Column("mark", Integer, unique=True, comment="row of the portal's event log; empty: a poll"),
    comment="who was at work when",
)
Index("presence_operator_idx", presence.c.operator, presence.c.at)
Index("presence_kind_idx", presence.c.operator, presence.c.kind, presence.c.at, presence.c.mark)
Index("presence_at_idx", presence.c.at)

flags = Table(
    "flags",
    metadata,
    Column("name", short(30), primary_key=True, comment="portal_seen, logins_read …"),
    Column("at", Moment, nullable=False, comment="when it was last set"),
    Column("detail", Text, nullable=False, server_default="", comment="the result, if any"),
    comment="flags of the whole dialler",
)

nodes = Table(
    "nodes",
    metadata,
    Column("name", short(40), primary_key=True, comment="[node] name"),
    Column("lock", Integer, nullable=False, comment="its advisory lock: server.node_lock"),
    Column("since", Moment, nullable=False, comment="its last start"),
    Column("seen", Moment, nullable=False, comment="its last beat"),
    Column("version", short(40), nullable=False, comment="of its program"),
    Column("pbx", Integer, nullable=False, comment="1: Asterisk's manager is connected"),
    Column("reason", short(30), nullable=False, comment="why it dials nobody; empty: it does"),
    comment="diallers that share this store",
)

device_states = Table(
    "device_states",
    metadata,
    Column("node", short(40), primary_key=True, comment="whose Asterisk says so"),
    Column("extension", short(40), primary_key=True, comment="internal number"),
    Column("state", short(20), nullable=False, comment="Asterisk's device state"),
    comment="operators' phones, as each node's Asterisk sees them",
)

node_waits = Table(
    "node_waits",
    metadata,
    Column("node", short(40), primary_key=True, comment="which does not look at it"),
    Column("task", Integer, primary_key=True, autoincrement=False, comment="the portal's task id"),
    Column("until", Moment, nullable=False, comment="when it looks again"),
    comment="tasks that one node cannot dial for the moment, and another perhaps can",
)
