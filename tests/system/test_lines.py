"""A carrier's lines hold also for calls that come to it because another carrier failed."""

from collections.abc import Callable

from autodial.model import Outcome
from dialplan.demo.rig import Rig
from tests.system import scene


def test_a_full_carrier_is_passed_over_when_another_has_failed(house: Callable[..., Rig]) -> None:
    """Two calls fail over to a carrier of one line: one talks, the other reaches nobody."""
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
