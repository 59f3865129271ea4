"""The parts of one dialler's engine, put together."""

from collections.abc import Callable
from datetime import datetime

from attrs import define, field

from autodial.config.settings import Config
from autodial.engine.attempt_ends import AttemptEnds
from autodial.engine.attempt_starts import AttemptStarts
from autodial.engine.call_control import CallControl
from autodial.engine.conditions import Conditions
from autodial.engine.dispatcher import Dispatcher
from autodial.engine.live_calls import LiveCalls
from autodial.engine.operator_codes import OperatorCodes
from autodial.engine.operators import Roster
from autodial.engine.stall_alarm import StallAlarm
from autodial.engine.surroundings import Surroundings
from autodial.engine.test_calls import TestCalls
from autodial.engine.turns import Turns
from autodial.store.database import Store
from call_files import Spool


@define(eq=False)
class Engine:
    """Decides, places calls and answers the dialplan. Each part may use those built before it."""

    config: Config
    store: Store
    roster: Roster
    spool: Spool
    now: Callable[[], datetime]
    around: Surroundings
    calls: LiveCalls = field(init=False)
    conditions: Conditions = field(init=False)
    starts: AttemptStarts = field(init=False)
    ends: AttemptEnds = field(init=False)
    call_control: CallControl = field(init=False)
    codes: OperatorCodes = field(init=False)
    alarm: StallAlarm = field(init=False)
    test_calls: TestCalls = field(init=False)
    dispatcher: Dispatcher = field(init=False)

    def __attrs_post_init__(self) -> None:
        config, store, now, around = self.config, self.store, self.now, self.around
        self.calls = LiveCalls(config, self.roster, now)
        self.conditions = Conditions(config, self.calls, now, around)
        self.starts = AttemptStarts(store, self.calls, self.conditions, now)
        self.ends = AttemptEnds(config, store, self.calls, self.spool, now, around)
        self.call_control = CallControl(
            config, store, self.calls, self.starts, self.ends, self.conditions, now, around
        )
        self.codes = OperatorCodes(store, self.ends, now)
        self.test_calls = TestCalls(config, store, now)
        self.alarm = StallAlarm(store, self.calls, self.conditions, now)
        self.dispatcher = Dispatcher(
            config, store, self.calls, self.starts, Turns(store, self.calls, now, around),
            self.ends, self.conditions, self.alarm, self.spool, now, around,
            on_rules=self._follow,
        )  # fmt: skip

    def use(self, config: Config) -> None:
        """From now on this is the configuration; next calls that were postponed follow."""
        self.dispatcher.use(config)

    def _follow(self, config: Config) -> None:
        self.config = self.calls.config = self.test_calls.config = config
        self.conditions.use(config)
        self.ends.use(config)
        self.call_control.use(config)
