"""Whether a call that is reported as ended is still under way, by Asterisk's answers."""

from collections.abc import Mapping
from typing import Any

import pytest
from twisted.internet.task import Clock

from autodial.errors import PbxError
from autodial.model.outcome import Outcome
from autodial.pbx.ami import Ami, NotConnected
from tests.integration.house import House, Run

LEG = "Local/1@autodial-out-1;2"


class _Asterisk(Ami):
    """A manager that answers from a table. An exception in the table is raised."""

    def __init__(self, reports: Mapping[str, Any], channels: Any = ()) -> None:
        super().__init__(Clock(), "u", "s", lambda *_: None, lambda: None, lambda: None)
        self._reports, self._channels = reports, channels

    async def report(self, channel: str) -> str | None:
        return self._raised(self._reports[channel])  # type: ignore[no-any-return]

    async def channels(self) -> dict[str, tuple[str, ...]]:
        return self._raised(self._channels)  # type: ignore[no-any-return]

    def _raised(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("leg", "reports", "channels", "expected"),
    [
        (LEG, {LEG: ""}, (), True),  # in the call: no handler has run
        (LEG, {LEG: "dial,ANSWER"}, (), False),  # the handler is about to report
        (LEG, {LEG: None}, (), False),  # gone
        (LEG, {LEG: NotConnected()}, (), False),  # nobody can be asked
        (LEG, {LEG: PbxError("x")}, (), False),
        (None, {LEG: ""}, {"t1-1": ("PJSIP/1", LEG)}, True),  # after a start: found by its name
        (None, {}, {"t1-1": ("PJSIP/1",)}, False),
        (None, {}, {}, False),
        (None, {}, PbxError("a damaged row"), False),
    ],
)
def test_what_asterisk_says(leg: str | None, reports: Any, channels: Any, expected: bool) -> None:
    with pytest.raises(StopIteration) as ended:
        _Asterisk(reports, channels).under_way("t1-1", leg).send(None)

    assert expected is ended.value.value


def test_an_end_is_not_written_down_while_the_call_goes_on(house: House, run: Run) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.talking.add(attempt)
    early = house.ask("result", attempt, "dial", "BUSY", "17")
    house.talking.clear()
    assert ({}, "claimed") == (early.variables, house.line().state)
    late = house.ask("result", attempt, "dial", "BUSY", "17")

    assert {"AD_ACK": "1"} == late.variables
    assert Outcome.BUSY.value == house.line().outcome
    assert ["Local/442079460000@autodial-out-00000001;2"] * 2 == house.legs


def test_a_result_of_what_is_no_attempt_is_not_kept(house: House) -> None:
    reply = house.ask("result", "x\x1b[31m", "dial", "BUSY", "17")

    assert {"AD_ACK": "1"} == reply.variables
