"""
Calls through the outbound routes of a ready-made PBX distribution (``AD_VIA = from-internal``).

The contexts are laid out as FreePBX generates them (read in its public source, written anew):
routes that try trunks by Gosub, a busy tone after BUSY, an announcement without an answer after
NOANSWER, and "all circuits are busy" at the end, whose Playback *answers* the call. Its limits
count in GROUP(), too.
"""

from collections.abc import Callable

import pytest

from autodial.model.outcome import Outcome
from demo.rig import Rig
from tests.system import scene

ROUTES = """
[from-internal]
include => outbound-allroutes

[outbound-allroutes]
exten => _X.,1,Set(OUTNUM=${FILTER(0-9,${EXTEN})})
 same => n,Gosub(dialout-trunk,s,1(1))
 same => n,Gosub(dialout-trunk,s,1(2))
 same => n,Gosub(outisbusy,s,1)

[dialout-trunk]
exten => s,1,Set(GROUP()=OUT_${ARG1})
 same => n,GotoIf($[${GROUP_COUNT(OUT_${ARG1})} > 30]?full)
 same => n,Set(CALLERID(num)=74950000000)
 same => n,Dial(PJSIP/${OUTNUM}@carrier${ARG1},${TRUNK_RING_TIMER},T)
 same => n,Goto(s-${DIALSTATUS},1)
 same => n(full),Return()
exten => s-BUSY,1,PlayTones(busy)
 same => n,Busy(2)
exten => s-NOANSWER,1,Progress()
 same => n,Playback(vm-nobodyavail,noanswer)
 same => n,Congestion(2)
exten => s-CANCEL,1,Congestion(2)
exten => _s-.,1,Return()

[outisbusy]
exten => s,1,Progress()
 same => n,Playback(all-circuits-busy-now)
 same => n,Congestion(2)
"""


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(extensions=("101",), operator_rings=0.3, operator_talks=1)
    rig.operator(501, "101")
    rig.start_dialler()
    scene.staff(rig, e101="talks")
    scene.add_dialplan(rig.exchange.pbx, "freepbx", ROUTES)
    rig.exchange.pbx.cli("dialplan set global AD_VIA from-internal")
    rig.exchange.pbx.cli("dialplan set global TRUNK_RING_TIMER 6")
    return rig


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        ("00", Outcome.TALKED),
        ("40", Outcome.BUSY),
        ("44", Outcome.SILENT),
        ("52", Outcome.BAD_NUMBER),
        ("48", Outcome.REJECTED),
        ("60", Outcome.TALKED),  # the first trunk is down, the second works
    ],
)
def test_outcomes_are_those_of_a_direct_call(rig: Rig, fate: str, expected: Outcome) -> None:
    """And nobody is rung for an announcement."""
    rung = len([entry for entry in rig.exchange.journal() if entry.kind == "operator"])
    task = rig.task(fate, responsible=501)
    scene.wait_for_reports(rig, [task])
    after = len([entry for entry in rig.exchange.journal() if entry.kind == "operator"])

    (attempt,) = scene.attempts(rig, task)
    assert expected is Outcome(attempt.outcome or ""), attempt.report
    assert after - rung == int(expected is Outcome.TALKED)


def test_doctor_finds_the_routes_and_asks_for_no_trunk(rig: Rig) -> None:
    from tests.system.test_set_up import doctor, sentence

    code, output = doctor(rig)

    assert 0 == code, output
    assert f"+ asterisk: {sentence('dialplan.well')}" in output
