"""Blind mutations of the seeds, the same for the same random seed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

SEEDS = Path(__file__).parent / "seeds"
#: Texts that attackers are known to send.
TOKENS = (
    b"\r\n", b"\n", b"\r\n\r\n", b"\x00", b"\x1b[31m", b"\xff", b"\xed\xa0\x80", b"\\ud800", b'"',
    b"'", b";", b" #", b"${SHELL(id)}", b'" & SHELL(id) & "', b"):System(id", b"HANGUP\n",
    b"520-x\n", b"200 result=1 (", b"ActionID: 1", b"Event: CoreShowChannelsComplete",
    b"ListItems: 0", b"ChanVariable: AD_ID=t1-1", b"[" * 60, b"{" * 60, b"9" * 400, b"1e999",
    b"null", b"-1", b"[]", b"{}", b"true", b"\xd9\xa1", b"\xef\xbc\x91", b"112", b",,1", b"+8",
    b"t1-1", b"%0d%0a",
)  # fmt: skip


def seeds_of(name: str) -> list[bytes]:
    """A target's seeds, in the order of their names."""
    return [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]


def variants(seeds: Sequence[bytes], number: int) -> Iterator[bytes]:
    """First the seeds as they are, then variants of them without end."""
    yield from seeds
    random = Random(number)
    while True:
        data = bytearray(random.choice(seeds))
        for _ in range(random.randint(1, 6)):
            _change(data, random, seeds)
        yield bytes(data[:4096])


def _change(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    at = random.randint(0, len(data))
    end = min(len(data), at + random.choice((1, 1, 2, 8, 40)))
    match random.randrange(6):
        case 0:
            del data[at:end]
        case 1:
            data[at:at] = random.choice(TOKENS)
        case 2:
            data[at:end] = random.choice(TOKENS)
        case 3:
            data[at:at] = data[at:end] * random.choice((1, 2, 20))
        case 4:
            data[at:end] = random.randbytes(end - at)
        case _:
            other = random.choice(seeds)
            start = random.randint(0, len(other))
            data[at:end] = other[start : start + random.choice((4, 40, 400))]
