"""The reports that Asterisk keeps, from one without DBGetTree (before 16.28, 18.14 and 19.6)."""

from collections.abc import Mapping

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from autodial.errors import PbxError
from autodial.pbx.ami import Ami, MoreKept
from autodial.pbx.ami_wire import Listing, Message

REPORT = "dial,BUSY,17,SIP%20486%20Busy,,,,,1795702652,carrier1,"


class OldAsterisk:
    """Answers as Asterisk 18.10: a function's value is cut at 1,023 bytes, a key's at 255."""

    def __init__(self, kept: dict[str, str]) -> None:
        self.kept = kept

    def ask(self, action: Mapping[str, str], listing: Listing | None = None) -> Deferred[Message]:
        match action["Action"]:
            case "Getvar":
                assert "DB_KEYS(autodial)" == action["Variable"]
                names = ",".join(self.kept)[:1023]
                return succeed(Message((("Response", "Success"), ("Value", names))))
            case "DBGet" if action["Key"] in self.kept:
                assert listing is not None
                value = self.kept[action["Key"]][:255]
                row = {"Event": "DBGetResponse", "Key": action["Key"], "Val": value}
                end = {"Event": "DBGetComplete", "EventList": "Complete", "ListItems": "1"}
                assert not listing.take(Message(tuple({**row, "ActionID": "1"}.items())))
                assert listing.take(Message(tuple({**end, "ActionID": "1"}.items())))
                return succeed(Message(()))
            case "DBGet":
                return fail(PbxError("Database entry not found"))
            case name:
                return fail(PbxError(f"Invalid/unknown command: {name}. Use Action: ListCommands"))


def ami(kept: dict[str, str]) -> Ami:
    client = Ami(Clock(), "u", "s", lambda *_: None, lambda: None, lambda: None)
    client.linked(OldAsterisk(kept))  # type: ignore[arg-type]
    return client


@pytest.mark.parametrize("kept", [{}, {"t1-1": REPORT}, {"t1-1": REPORT, "t8017-12": REPORT}])
@pytest_twisted.ensureDeferred
async def test_they_are_asked_for_one_by_one(kept: dict[str, str]) -> None:
    assert kept == await ami(kept).kept_reports()


@pytest_twisted.ensureDeferred
async def test_more_than_it_names_at_once() -> None:
    """The last name may be cut: it is not asked for."""
    kept = {f"t{number}-1": REPORT for number in range(10_000, 10_200)}
    with pytest.raises(MoreKept) as raised:
        await ami(kept).kept_reports()

    assert 0 < len(raised.value.reports) < 200
    assert raised.value.reports.items() < kept.items()


@pytest_twisted.ensureDeferred
async def test_half_a_moment_is_not_read() -> None:
    long = f"dial,ANSWER,16,{'%D0' * 70},talk,101,1795702652,1795702662,1795702672,carrier1,1"
    (report,) = (await ami({"t1-1": long}).kept_reports()).values()

    assert long.startswith(f"{report},")
    assert long[:255].startswith(report)


@pytest_twisted.ensureDeferred
async def test_another_refusal_is_one() -> None:
    client = ami({})
    client.linked(Refusing())  # type: ignore[arg-type]
    with pytest.raises(PbxError, match="Permission denied"):
        await client.kept_reports()


class Refusing:
    def ask(self, action: Mapping[str, str], listing: Listing | None = None) -> Deferred[Message]:
        return fail(PbxError("Permission denied"))
