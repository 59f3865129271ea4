"""
The facts of a decision as another process sees them: from the store, for ``autodial why``.

Facts that are only in the dialler's memory (the current pace) are assumed to allow the call.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa
from attrs import frozen

from autodial.config.settings import Config
from autodial.engine.do_not_call_list import DoNotCall
from autodial.engine.facts import Known, Rules
from autodial.engine.facts import facts as put_together
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.operator import Operator
from autodial.model.outcome import Outcome
from autodial.model.task import CallTask
from autodial.rules.dial_decision import decide, explain
from autodial.rules.dial_facts import Decision, Dial, Facts, RuleResult
from autodial.rules.pacing import Answers
from autodial.rules.rolling_statistics import RollingStatistics
from autodial.store import attempt_queries, flags, in_force, pauses, stand_ins, views
from autodial.store.planning import load_task
from autodial.store.tasks import SKIPPED


@frozen(kw_only=True)
class Why:
    """Why a task is, or is not, being dialled."""

    task: CallTask
    decision: Decision
    looks: list[RuleResult]
    running: bool  #: is the dialler running? If not, nothing is dialled, whatever the rules decide
    seen: datetime | None  #: when it last ran

    @property
    def change(self) -> str:
        """What would make it dialled, a key of the catalogue; empty: it is dialled."""
        if isinstance(self.decision, Dial):
            return ""
        own = self.task.closed_reason in (Outcome.BAD_NUMBER.value, SKIPPED)
        return f"change.{self.task.closed_reason if own else self.decision.reason.value}"


def why(db: sa.Connection, config: Config, task: TaskId, now: datetime) -> Why | None:
    """The rules one by one, as of now; None: not a known call task."""
    config = config.but_off(in_force.named_days_off(db, now.date() - timedelta(days=2)))
    loaded = load_task(db, task, since=now - config.limits.looks_back)
    if loaded is None:
        return None
    seen = flags.last(db, flags.ALIVE)
    known = facts(db, config, now)
    return Why(
        task=loaded,
        decision=decide(loaded, known, now),
        looks=explain(loaded, known, now),
        running=flags.running(db, now),
        seen=seen,
    )


def operators(db: sa.Connection, config: Config, now: datetime) -> tuple[Operator, ...]:
    """The staff with reservations, pauses and wrap-up."""
    paused = in_force.paused(db, now)
    wrap_up = config.staff.wrap_up
    wraps = {who: at + wrap_up for who, at in attempt_queries.last_talks(db, now - wrap_up).items()}
    excluded = set(config.staff.exclude)
    return tuple(
        Operator(
            id=OperatorId(line.id),
            name=line.name,
            extension=line.extension,
            online=line.online,
            phone=line.phone,
            reserved_for=AttemptId(line.reserved_for) if line.reserved_for else None,
            paused=line.id in paused,
            wraps_until=wraps.get(OperatorId(line.id)),
        )
        for line in views.operator_lines(db)
        if line.id not in excluded
    )


def facts(db: sa.Connection, config: Config, now: datetime) -> Facts:
    """All facts that a decision may use, as of now."""
    return _facts(db, config, now, recalled(db, config, now))


def _facts(
    db: sa.Connection, config: Config, now: datetime, statistics: RollingStatistics
) -> Facts:
    config = config.but_off(in_force.named_days_off(db, now.date() - timedelta(days=2)))
    beat = flags.last(db, flags.PBX_UP)
    known = Known(
        operators=operators(db, config, now),
        live=attempt_queries.in_flight(db),
        do_not_call=DoNotCall(config.rules.do_not_call, config.phones.region).numbers(),
        portal_seen=flags.last(db, flags.PORTAL_SEEN),
        pbx_ok=beat is not None and now - beat < flags.SILENT,
        paused=pauses.EVERYBODY in in_force.paused(db, now),
        paused_purposes=in_force.paused_purposes(db, now),
        stand_ins=stand_ins.current(db, now),
        answers=statistics.by_purpose(now),
        in_a_day=statistics.in_a_day(now),
        started={},
        next_start=None,
    )
    return put_together(config, Rules.of(config), known, now)


def recalled(
    db: sa.Connection, config: Config, now: datetime, *, numbers: bool = True
) -> RollingStatistics:
    """The statistics of the last calls; ``numbers``: of those shown, too."""
    statistics = RollingStatistics(config.pace.abandoned_over)
    statistics.recall(attempt_queries.past(db, now, statistics.over, numbers=numbers))
    return statistics


def due_tasks_of(db: sa.Connection, operator: OperatorId, now: datetime) -> list[views.TaskLine]:
    """The open tasks due by now that are this operator's own."""
    lines = views.tasks_of(db, operator)
    return [line for line in lines if line.due is not None and line.due <= now]


@frozen(kw_only=True)
class Status:
    """The state of the dialler."""

    running: bool
    seen: datetime | None  #: when the dialler last ran
    pbx: bool
    stalled: datetime | None  #: when a stall was last recorded
    calls: int
    at_work: int
    free: int
    paused: int  #: operators, one by one
    everybody_paused: bool
    pause: pauses.Pause | None  #: of everybody
    paused_purposes: tuple[str, ...]
    changed: datetime | None  #: since when the settings' file has changes not yet read
    answers: Answers  #: within [pace] abandoned_over
    by_purpose: Mapping[str, Answers]  #: the same for each purpose, where the cap is by purpose
    funnel: tuple[tuple[str, int], ...]  #: open tasks by the reason of the last decision


def status(db: sa.Connection, config: Config, now: datetime) -> Status:
    """The state of the dialler, as of now."""
    return status_and_staff(db, config, now)[0]


def status_and_staff(
    db: sa.Connection, config: Config, now: datetime
) -> tuple[Status, tuple[Operator, ...]]:
    """Both from one reading."""
    # (Which trunk would carry the next call is no part of it.)
    statistics = recalled(db, config, now, numbers=False)
    seen, known = flags.last(db, flags.ALIVE), _facts(db, config, now, statistics)
    state = Status(
        running=flags.running(db, now),
        seen=seen,
        pbx=known.pbx_ok,
        stalled=flags.last(db, flags.STALLED),
        calls=known.calls,
        at_work=sum(operator.at_work for operator in known.operators),
        free=0 if known.paused else sum(operator.free(now) for operator in known.operators),
        paused=sum(operator.paused for operator in known.operators),
        everybody_paused=known.paused,
        pause=pauses.of(db, pauses.EVERYBODY) if known.paused else None,
        paused_purposes=tuple(sorted(known.paused_purposes)),
        changed=flags.last(db, flags.of_node(flags.CHANGED, config.node.name)),
        answers=statistics.answers(now),
        by_purpose=statistics.by_purpose(now) if config.pace.pacing.by_purpose else {},
        funnel=tuple(views.funnel(db)),
    )
    return state, known.operators
