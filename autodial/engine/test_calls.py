"""
Test calls: one call through spool, dialplan, trunk and operator's phone, asked for by ``autodial
test-call``. They are in no ledger: no task, no outcome, nothing is told to the portal.

The command stores what it wants under a name; the dialplan's questions about that name are answered
from it, and each step is noted as an event of that name, which the command reads.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import asdict, define, field, frozen

from autodial.config.settings import Config
from autodial.model.attempt import Report
from autodial.rules.hangup import outcome_of
from autodial.rules.trunk_choice import as_dialled
from autodial.store import flags
from autodial.store.database import Store
from autodial.store.events import note

#: Names of test calls; no attempt has such a one.
NAME = re.compile(r"test-[0-9]{10}")
#: How long after it was asked for a test call may begin.
SOON = timedelta(minutes=2)
#: The context that plays the client where no carrier is wanted.
ECHO = "autodial-test"


@frozen(kw_only=True)
class TestCall:
    """What was asked for."""

    name: str
    number: str  #: in E.164; of a dry call it is not dialled
    dtmf: str = ""  #: an extension behind it
    extension: str  #: the phone that rings when the client has answered
    dry: bool  #: no carrier: the client is an echo of this Asterisk

    def stored(self) -> str:
        return json.dumps(asdict(self))


def is_test(name: str) -> bool:
    """Is this the name of a test call?"""
    return NAME.fullmatch(name) is not None


@define(eq=False)
class TestCalls:
    """Answers the dialplan for them."""

    config: Config
    store: Store
    now: Callable[[], datetime]
    _under_way: TestCall | None = field(default=None, init=False)

    async def claim(self, name: str) -> TestCall | None:
        """
        The call of this name, once and soon after it was asked for: a call file that Asterisk finds
        again after a crash dials nobody. None: refused.
        """
        told = await self.store.run(flags.told, flags.TEST_CALL)
        if told is None or self.now() - told[0] > SOON:
            return None
        call = TestCall(**json.loads(told[1]))
        if call.name != name:
            return None
        await self.store.run(flags.clear, flags.TEST_CALL)
        self._under_way = call
        return call

    def under_way(self, name: str) -> TestCall | None:
        """The call that was claimed under this name; None: another one was since, or none."""
        call = self._under_way
        return call if call is not None and call.name == name else None

    async def note(self, name: str, kind: str, detail: str = "") -> None:
        await self.store.run(note, self.now(), 0, kind, detail, name)

    def number(self, call: TestCall) -> str:
        """As the trunks want it; the echo of a dry call wants digits."""
        if call.dry:
            return call.number.lstrip("+")
        return as_dialled(call.number, self.config.asterisk.number_format)

    async def ended(self, name: str, report: Report) -> None:
        """The last event: the outcome, as an attempt's would be, and what Asterisk reported."""
        if self.under_way(name) is None:
            return
        told = {
            "outcome": outcome_of(report).value,
            "trunk": report.trunk,
            "tech": report.tech,
            "cause": str(report.cause or ""),
            "talk": report.talk_seconds,
            "operator": report.operator_state,
        }
        await self.note(name, "ended", json.dumps(told))
