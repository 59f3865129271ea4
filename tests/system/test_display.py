"""The INVITE to an operator's phone: names, headers, rings."""

import re
from collections.abc import Callable

import pytest

from demo.rig import Rig
from tests.system import scene

ALERT, OWN = "<http://127.0.0.1>;info=autodial", "<http://127.0.0.1>;info=own"


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(
        extensions=("101", "102"),
        operator_rings=1,
        operator_talks=2,
        overrides={
            "portal": {"poll": "1s"},
            "asterisk": {
                "ring_operator": 5,
                "display": "{tag} {client} ({task})",
                "phones": [{"extension": "102", "ascii": True, "alert": OWN}],
            },
            "purposes": [{"name": "debt", "tag": "долг", "display": "{tag} ДОЛГ", "alert": ALERT}],
        },
    )
    rig.operator(501, "101")
    rig.start_dialler()
    return rig


def invites(rig: Rig, extension: str, act: Callable[[], int]) -> dict[str, str]:
    """The headers of the INVITE that a phone got, as they went over the wire."""
    log = rig.exchange.pbx.outside / "log/full"
    begun = log.stat().st_size
    rig.exchange.pbx.cli("pjsip set logger on")
    task = act()
    scene.wait_for_reports(rig, [task])
    rig.exchange.pbx.cli("pjsip set logger off")
    text = log.read_bytes()[begun:].decode("utf-8", "replace")
    messages = [m.partition("\n[20")[0] for m in text.split("<--- Transmitting SIP")[1:]]
    (invite,) = [m for m in messages if f"INVITE sip:{extension}@" in m]
    return dict(re.findall(r"(?m)^([A-Za-z-]+): (.*?)\r?$", invite)) | {"task": str(task)}


def test_the_number_the_name_and_the_task_are_in_the_invite(rig: Rig) -> None:
    scene.staff(rig, e101="talks")
    got = invites(rig, "101", lambda: rig.task("00", responsible=501, name="Пётр"))

    assert f'"АВТОДОЗВОН Пётр ({got["task"]})" <sip:4420794600' in got["From"]
    assert got["X-Autodial-Task"] == got["task"]
    assert re.fullmatch(r"t\d+-1", got["X-Autodial-Attempt"])
    assert got.get("Alert-Info", "") == "", "the phone's ordinary ring"


def test_a_purpose_has_its_own_words_and_ring(rig: Rig) -> None:
    scene.staff(rig, e101="talks")

    def debt() -> int:
        return rig.task("00", responsible=501, name="Пётр", tags=("долг",))

    got = invites(rig, "101", debt)
    assert got["From"].startswith('"АВТОДОЗВОН ДОЛГ" <')
    assert got["Alert-Info"] == ALERT


def test_a_phone_without_cyrillic_after_one_with_it(rig: Rig) -> None:
    """The first does not pick up; the second shows Latin letters, and rings in its own way."""
    scene.staff(rig, e101="misses", e102="talks")
    got = invites(rig, "102", lambda: rig.task("00", responsible=501, name="Пётр"))

    assert f'"AVTODOZVON Petr ({got["task"]})" <sip:4420794600' in got["From"]
    assert got["Alert-Info"] == OWN
