"""A carrier's lines hold also for calls that come to it because another carrier failed."""

from collections.abc import Callable

from autodial.model.outcome import Outcome
from demo.rig import Rig
from tests.system import scene

#: A call that has a carrier's line, up to the moment when its end has been reported.
ENDED = """
[ended]
exten => s,1,Set(AD_ID=ended)
 same => n,Set(GROUP(autodial)=carrier1)
 same => n,Set(HAD=${GROUP_COUNT(carrier1@autodial)})
 same => n,Gosub(autodial-end,s,1)
 same => n,Set(DB(lines/counted)=${HAD} then ${GROUP_COUNT(carrier1@autodial)})
 same => n,Hangup()
"""


def test_a_full_carrier_is_passed_over_when_another_has_failed(house: Callable[..., Rig]) -> None:
    """Two calls fail over to a carrier of one line: one talks, the other is not connected."""
    rig = house(
        extensions=("101", "102"),
        operator_rings=1,
        operator_talks=2,
        overrides={
            "portal": {"poll": "1s"},
            "asterisk": {
                "trunks": [{"name": "carrier1", "lines": 30}, {"name": "carrier2", "lines": 1}]
            },
            "retry": {"line_failed": ["1h"]},
        },
    )
    rig.operator(501, "101", "long")
    rig.operator(502, "102", "long")
    rig.start_dialler()
    first = rig.task("60", responsible=501)
    scene.wait_for_talk(rig, "101")
    second = rig.task("60", responsible=502)
    rig.wait(lambda: scene.outcome(rig, second) is not None, "the second call to fail")
    number = scene.attempts(rig, second)[0].number[1:]
    carriers = [e.task for e in rig.exchange.journal() if e.number == number and e.kind == "client"]

    assert scene.outcome(rig, second) is Outcome.LINE_FAILED
    assert carriers == ["1"], "the second carrier was not asked"
    assert scene.state(rig, first) == "answered"


def test_a_line_is_free_before_its_call_is_reported(house: Callable[..., Rig]) -> None:
    """
    The dialler fills a line as soon as a call has left it, so that call must not count any more.
    """
    rig = house(extensions=("101",))
    pbx = rig.exchange.pbx
    scene.add_dialplan(pbx, "ended", ENDED)
    pbx.cli("channel originate Local/s@ended application Wait 1")
    rig.wait(lambda: "Value:" in pbx.cli("database get lines counted"), "the call to end")

    assert pbx.cli("database get lines counted").strip() == "Value: 1 then 0"
