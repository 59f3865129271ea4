"""The manager's stream when a caller's number injects lines into it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodial.errors import PbxError
from autodial.pbx.ami import CHANNEL_FIELDS
from autodial.pbx.ami_wire import AmiWire, Listing, Message, NotAmi

NUMBER = "5f0c"
#: Recorded from Asterisk 22; a stranger controls the caller's number.
ROW = (
    "Event: CoreShowChannel", f"ActionID: {NUMBER}", "Channel: PJSIP/carrier1-1", "ChannelState: 6",
    "ChannelStateDesc: Up", "CallerIDNum: {caller}", "CallerIDName: x", "ConnectedLineNum: 1",
    "ConnectedLineName: y", "Language: ru", "AccountCode: ", "Context: autodial-out", "Exten: 1",
    "Priority: 20", "Uniqueid: 17.1", "Linkedid: 17.0", "ChanVariable: AD_ID=t1-1",
    "Application: Dial", "ApplicationData: x", "Duration: 00:00:10", "BridgeId: ",
)  # fmt: skip
END = (
    "Event: CoreShowChannelsComplete", f"ActionID: {NUMBER}", "EventList: Complete", "ListItems: 1",
)  # fmt: skip


def lines(*rows: str) -> bytes:
    return "".join(f"{row}\r\n" for row in (*rows, "")).encode()


def read(data: bytes) -> Listing:
    """The result of a list for a stream, fed as the client feeds it."""
    listing = Listing("CoreShowChannel", "CoreShowChannelsComplete", CHANNEL_FIELDS)
    for message in AmiWire().receive(data):
        if message.get("ActionID") != NUMBER:
            listing.stray()
        elif listing.take(message):
            break
    return listing


def stream(caller: str) -> bytes:
    return lines(*(row.replace("{caller}", caller) for row in ROW)) + lines(*END)


def test_a_list_is_read() -> None:
    (row,) = read(stream("442079460000")).result()

    assert ("PJSIP/carrier1-1", ["AD_ID=t1-1"]) == (row.get("Channel"), row.all("ChanVariable"))


FORGED_END = "Event: CoreShowChannelsComplete\r\nActionID: 1\r\nEventList: Complete\r\nListItems: 0"
REST = "\r\n".join(row for row in ROW[6:])


@pytest.mark.parametrize(
    "caller",
    [
        f"1\r\n\r\n{FORGED_END}\r\n\r\nX: ",
        "1\r\n\r\nEvent: DeviceStateChange\r\nPrivilege: x\r\nDevice: PJSIP/101\r\nState: BUSY",
        "1\r\nChanVariable: AD_ID=t9-9",
        "1\r\nChannel: PJSIP/101-1",
        f"1\r\n{REST}\r\n\r\n{FORGED_END}\r\n\r\n",
        f"1\r\n{REST}\r\n\r\nX: ",
        "1\r\n\r\n",
    ],
    ids=[
        "an end",
        "a device",
        "an attempt",
        "a channel",
        "a whole row",
        "its rest",
        "an empty line",
    ],
)
def test_a_caller_s_number_cannot_forge_a_list(caller: str) -> None:
    """A forged row is not accepted and no row is dropped: the list is an error."""
    with pytest.raises(PbxError):
        read(stream(caller)).result()


@given(st.text(st.sampled_from("a:1 \r\nEvntLis"), max_size=40))
def test_whatever_is_put_in_the_genuine_row_counts_or_the_list_does_not(text: str) -> None:
    listing = read(stream(text))
    try:
        rows = listing.result()
    except PbxError:
        return

    assert ["AD_ID=t1-1"] == [value for row in rows for value in row.all("ChanVariable")]
    assert ["PJSIP/carrier1-1"] == [row.get("Channel") for row in rows]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ((*END[:2], "EventList: cancelled", "ListItems: 1"), "cancelled"),
        ((*END[:3], "ListItems: 2"), "counts 2 rows, 1 came"),
        (END[:3], "damaged"),
        (END[:2], "damaged"),
        ((*END, "ListItems: 1"), "damaged"),
    ],
)
def test_an_end_that_does_not_agree_is_an_error(end: tuple[str, ...], message: str) -> None:
    with pytest.raises(PbxError, match=message):
        read(lines(*(row.replace("{caller}", "1") for row in ROW)) + lines(*end)).result()


@given(st.lists(st.integers(1, len(stream("1")) - 1), unique=True))
def test_messages_do_not_depend_on_how_tcp_cut_the_bytes(cuts: list[int]) -> None:
    data, wire = stream("1"), AmiWire()
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    messages: list[Message] = [message for piece in pieces for message in wire.receive(piece)]

    assert AmiWire().receive(data) == messages


@pytest.mark.parametrize(
    "data",
    [b"x" * 20_000, b"A: " + b"x" * 20_000 + b"\r\n", b"A: b\r\n" * 300],
    ids=["no end of a line", "a long line", "no end of a message"],
)
def test_what_has_no_end_is_no_manager(data: bytes) -> None:
    with pytest.raises(NotAmi):
        AmiWire().receive(data)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_asterisk_16_counts_one_row_of_astdb_whatever_there_is(count: int) -> None:
    """Reports that were kept while the server was down are still read."""
    listing = Listing(
        "DBGetTreeResponse", "DBGetTreeComplete", ("Event", "ActionID", "Key", "Val"), counted=False
    )
    row = ("Event: DBGetTreeResponse", "Key: /autodial/t1-1", "Val: dial,BUSY,17", "ActionID: 1")
    end = ("Event: DBGetTreeComplete", "ActionID: 1", "EventList: Complete", "ListItems: 1")
    for message in AmiWire().receive(lines(*row) * count + lines(*end)):
        listing.take(message)

    assert count == len(listing.result())


def test_a_list_without_end_is_not_kept() -> None:
    """Another process on the manager's port could fill the memory while Asterisk is down."""
    listing = Listing("CoreShowChannel", "CoreShowChannelsComplete", CHANNEL_FIELDS)
    (row,) = AmiWire().receive(lines(*(row.replace("{caller}", "1" * 16_000) for row in ROW)))
    for _ in range(3000):
        listing.take(row)

    assert [] == listing.rows
    with pytest.raises(PbxError, match="without end"):
        listing.result()


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_refused(data: bytes) -> None:
    try:
        messages = AmiWire().receive(data + b"\r\n\r\n")
    except NotAmi:
        return
    listing = Listing("CoreShowChannel", "CoreShowChannelsComplete", CHANNEL_FIELDS)
    for message in messages:
        listing.take(message)
