"""The attempts in flight, in memory, and what the limits over all calls count."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from attrs import define, evolve, field

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.attempt import Attempt
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.outcome import Outcome
from autodial.model.trunk import Route
from autodial.rules.rolling_statistics import RollingStatistics
from autodial.store.nodes import Memory, News

#: Operators rung for one call: a client does not wait for more, the lease counts this many, and
#: they fit into one command to Asterisk.
MOST_RUNG = 10
#: How much of the pace may be made up for after a delay. Below twenty calls a second no second has
#: more of them for that; above, five in a hundred more.
CATCH_UP = timedelta(seconds=0.05)
#: Seconds beyond ringing and talking after which an attempt is given up.
MARGIN = 60


@define(eq=False)
class LiveCalls:
    """
    A copy of the store's attempts in flight: this node's, whose calls are in our Asterisk, and
    those of the other nodes that share the store, which count in the limits over all calls.
    """

    config: Config
    roster: Roster
    now: Callable[[], datetime]
    #: When the pace allows the next call; None: now.
    next_start: datetime | None = field(default=None, init=False)
    #: When the last call was started over each trunk.
    started: dict[str, datetime] = field(factory=dict, init=False)
    last_claim: datetime | None = field(default=None, init=False)  #: the last granted one
    statistics: RollingStatistics = field(init=False)
    ended_since_start: Counter[Outcome] = field(factory=Counter, init=False)
    _attempts: dict[AttemptId, Attempt] = field(factory=dict, init=False)
    _others: dict[AttemptId, Attempt] = field(factory=dict, init=False)  #: of other nodes
    #: Up to which row of the history the other nodes' calls are known.
    seen: int = field(default=0, init=False)
    #: The channels of the outbound legs, as their claims named them.
    _legs: dict[AttemptId, str] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.statistics = RollingStatistics(self.config.pace.abandoned_over)

    def restore(
        self, attempts: Iterable[Attempt], reserved: Mapping[OperatorId, AttemptId]
    ) -> None:
        """Load the attempts that were in flight at a start."""
        known = {attempt.id: attempt for attempt in attempts}
        self._attempts = {name: one for name, one in known.items() if one.node == self.node}
        self._others = {name: one for name, one in known.items() if one.node != self.node}
        self._legs = {name: leg for name, leg in self._legs.items() if name in self._attempts}
        self.roster.set_reserved(reserved)

    def remember(self, memory: Memory) -> None:
        """Replace everything by what the store has: at a start, or after a new session."""
        self.restore(memory.in_flight, memory.reserved)
        self.statistics.recall(memory.past)
        self.seen = memory.seen

    @property
    def node(self) -> str:
        """Our name among the nodes that share the store; empty: there are no others."""
        return self.config.node.name

    def all(self) -> tuple[Attempt, ...]:
        """Of all nodes."""
        return (*self._attempts.values(), *self._others.values())

    def own(self) -> tuple[Attempt, ...]:
        """Those in our Asterisk."""
        return tuple(self._attempts.values())

    def heard(self, news: News) -> None:
        """What the other nodes have done: each call counts as if it were ours."""
        now = self.now()
        for attempt, at in news.in_flight:
            if attempt.id not in self._others:
                self._count(attempt.routes[0], min(at, now))
            self._others[attempt.id] = attempt
        for ended in news.ended:
            first, *further = ended.routes
            if self._others.pop(ended.attempt, None) is None:
                self._count(first, min(ended.started, now))  # it was started, too, since we knew
            for route in further:
                self.statistics.shown(now, route.caller_id)
            if ended.answered is not None:
                self.statistics.ended(ended.answered)
            wrap_up = self.config.staff.wrap_up
            if ended.taken_by is not None and wrap_up:
                self.roster.wraps_up(ended.taken_by, ended.ended + wrap_up)
        if news.reserved is not None:
            self.roster.set_reserved(news.reserved)
        self.seen = news.seen

    def _count(self, route: Route, at: datetime) -> None:
        """A call starts: for the pace, the trunk and the caller ID."""
        self.space_out(at)
        self.started[route.trunk] = at
        self.statistics.shown(at, route.caller_id)

    def get(self, attempt: AttemptId) -> Attempt | None:
        return self._attempts.get(attempt)

    def leg(self, attempt: AttemptId) -> str | None:
        """The channel of its outbound leg, if it is known."""
        return self._legs.get(attempt)

    def lease(self) -> timedelta:
        """How long an attempt may take at most."""
        asterisk = self.config.asterisk
        rings = asterisk.ring_client * len(asterisk.trunks) + asterisk.ring_operator * MOST_RUNG
        return asterisk.longest_call + timedelta(seconds=rings + MARGIN)

    def space_out(self, now: datetime | None = None) -> None:
        """
        A call starts now; the next one when the pace allows it. A call that starts late, because
        its turn did, does not delay those after it.
        """
        now = now or self.now()
        due = max(self.next_start or now, now - CATCH_UP)
        self.next_start = due + timedelta(seconds=1 / self.config.pace.calls_per_second)

    def opened(self, attempt: Attempt, *, reserve: bool = True) -> None:
        """An attempt was written; its call is about to start. ``reserve``: its operator."""
        self._count(attempt.routes[0], self.now())
        self._attempts[attempt.id] = attempt
        if reserve:
            self.roster.reserve(attempt.operator, attempt.id)

    def claimed(self, attempt: Attempt) -> None:
        self._attempts[attempt.id] = attempt
        self.last_claim = self.now()

    def set_leg(self, attempt: AttemptId, channel: str) -> None:
        """The channel of an attempt's outbound leg, which will report its end."""
        if attempt in self._attempts:
            self._legs[attempt] = channel

    def answered(self, attempt: AttemptId, extension: str) -> None:
        """The client has answered, and this extension is about to ring."""
        self._attempts[attempt] = evolve(self._attempts[attempt], state=State.ANSWERED)
        self.roster.hand_over(extension, attempt)

    def ended(self, attempt: AttemptId, outcome: Outcome | None) -> None:
        self._attempts.pop(attempt, None)
        self._legs.pop(attempt, None)
        self.roster.release(attempt)
        if outcome is not None:
            self.ended_since_start[outcome] += 1

    def reassign(self, responsible: Mapping[TaskId, OperatorId]) -> None:
        """The responsible operators have changed in the portal: calls in flight follow."""
        for number, attempt in self._attempts.items():
            now = responsible.get(attempt.task, attempt.responsible)
            if now != attempt.responsible:
                self._attempts[number] = evolve(attempt, responsible=now)
