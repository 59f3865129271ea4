"""The state of a running dialler that decisions depend on, besides the tasks."""

from collections.abc import Callable
from datetime import datetime

from attrs import define, field

from autodial.config.settings import Config
from autodial.engine.do_not_call_list import DoNotCall
from autodial.engine.facts import Known, Rules, facts
from autodial.engine.live_calls import LiveCalls
from autodial.engine.surroundings import Surroundings
from autodial.rules.dial_facts import Facts


@define(eq=False)
class Conditions:
    """Kept up to date by the dispatcher; it and call control decide by these facts."""

    config: Config
    calls: LiveCalls
    now: Callable[[], datetime]
    around: Surroundings
    do_not_call: DoNotCall = field(init=False)
    rules: Rules = field(init=False)
    stopping: bool = field(default=False, init=False)
    all_paused: bool = field(default=False, init=False)
    paused_purposes: frozenset[str] = field(default=frozenset(), init=False)
    store_ok: bool = field(default=True, init=False)  #: its file is still at its path
    spool_ok: bool = field(default=True, init=False)  #: call files can be written

    def __attrs_post_init__(self) -> None:
        self.rules = Rules.of(self.config)
        self.do_not_call = self._list(self.config)

    def use(self, config: Config) -> None:
        """From now on this is the configuration."""
        old, self.config = self.config, config
        self.rules = Rules.of(config)
        # (An unchanged list is kept: it remembers the previous contents of its file.)
        new = (config.rules.do_not_call, config.phones.region)
        if (old.rules.do_not_call, old.phones.region) != new:
            self.do_not_call = self._list(config)

    def facts(self) -> Facts:
        """All facts of a decision, as of now."""
        now, calls = self.now(), self.calls
        known = Known(
            operators=calls.roster.operators(),
            live=calls.all(),
            node=calls.node,
            do_not_call=self.do_not_call.numbers(),
            portal_seen=self.around.portal_seen(),
            pbx_ok=self.around.pbx_ok(),
            paused=self.stopping or self.all_paused,
            paused_purposes=self.paused_purposes,
            stand_ins=calls.roster.stand_ins,
            answers=calls.statistics.by_purpose(now),
            in_a_day=calls.statistics.in_a_day(now),
            started=calls.started,
            next_start=calls.next_start,
            store_ok=self.store_ok,
            spool_ok=self.spool_ok,
            dialplan_ok=self.around.dialplan_ok(),
        )
        return facts(self.config, self.rules, known, now)

    @staticmethod
    def _list(config: Config) -> DoNotCall:
        return DoNotCall(config.rules.do_not_call, config.phones.region)
