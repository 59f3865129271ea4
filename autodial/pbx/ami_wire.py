"""
What Asterisk's manager says, and how much of it is believed. No sockets, no clock.

Asterisk writes a caller's number into its list rows as the caller sent it: ``sip:1%0D%0A...``
becomes line ends, and with them rows, ends of lists and events of a stranger's making. So:

* an action's number is a nonce that no stranger can know;
* between the start and the end of a list Asterisk writes nothing else (one thread does both), so
  whatever comes there without the list's number is a stranger's, and the list is damaged;
* a row is whole only if each of its fields is there once; what was put into it shows as a field
  that is there twice, or as fields that are missing because an empty line came too early;
* a list is whole only if its end says so, and counts as many rows as came;
* a damaged list is an error: what it does not name may be there all the same.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from attrs import define, field, frozen

from autodial.errors import PbxError

#: Most characters of a list: 20,000 channels have some ten million.
MAX_SIZE = 32_000_000
#: Longest line, most fields of a message, and most rows of a list that are read.
MAX_LINE, MAX_FIELDS, MAX_ROWS = 16_384, 200, 20_000
#: The one field that a row has several times: one for each variable of ``channelvars``.
VARIABLES = "ChanVariable"


class NotAmi(Exception):
    """The other side does not speak as a manager does."""


@frozen
class Message:
    """Fields in their order; a name may come several times."""

    fields: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """The field's first value; empty if there is none."""
        return next((value for key, value in self.fields if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def whole(self, needed: Collection[str]) -> bool:
        """Is each needed field there, and none but ``ChanVariable`` twice?"""
        counted = Counter(key for key, _ in self.fields if key != VARIABLES)
        named = Counter(value.partition("=")[0] for value in self.all(VARIABLES))
        return (
            set(needed) <= set(counted)
            and max(counted.values()) == 1
            and (not named or max(named.values()) == 1)
        )


class AmiWire:
    """Feed it bytes; it yields messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fields: list[tuple[str, str]] = []

    def receive(self, data: bytes) -> list[Message]:
        """
        The messages now complete. Lines that are no field are passed over (the banner is one).

        Raises:
            NotAmi: a line or a message without an end.
        """
        self._buffer += data
        *lines, rest = self._buffer.split(b"\r\n")
        self._buffer = bytearray(rest)
        messages = []
        for line in (*lines, rest):
            if len(line) > MAX_LINE:
                raise NotAmi(f"a line of more than {MAX_LINE} bytes")
        for line in lines:
            if line:
                key, colon, value = line.decode("utf-8", "replace").partition(":")
                if colon:
                    self._fields.append((key, value.removeprefix(" ")))
                if len(self._fields) > MAX_FIELDS:
                    raise NotAmi(f"a message of more than {MAX_FIELDS} fields")
            elif self._fields:
                messages.append(Message(tuple(self._fields)))
                self._fields = []
        return messages


@define
class Listing:
    """
    One list on its way: ``row`` is the event of its rows, ``needed`` what each must have;
    ``counted``: its end counts them truly.
    """

    row: str
    complete: str
    needed: Collection[str]
    counted: bool = True
    rows: list[Message] = field(factory=list, init=False)
    damage: str = field(default="", init=False)
    _size: int = field(default=0, init=False)

    def take(self, message: Message) -> bool:
        """A message with the list's number; True: the list has ended."""
        event = message.get("Event")
        if event == self.complete:
            self._end(message)
            return True
        self._size += sum(len(name) + len(value) for name, value in message.fields)
        if event != self.row or not message.whole(self.needed):
            self.damage = self.damage or f"a damaged row in {self.row}"
        elif len(self.rows) >= MAX_ROWS or self._size > MAX_SIZE:
            self.damage = self.damage or f"{self.row}: a list without end"
        if self.damage:
            self.rows.clear()  # nobody will ask for them
        else:
            self.rows.append(message)
        return False

    def stray(self) -> None:
        """Something came within the list that is not of it."""
        self.damage = self.damage or f"something else came between the rows of {self.row}"

    def _end(self, message: Message) -> None:
        if message.get("EventList").lower() == "cancelled":
            self.damage = self.damage or f"{self.complete}: cancelled"
        elif not message.whole({"Event", "ActionID", "EventList", "ListItems"}):
            self.damage = self.damage or f"{self.complete}: damaged"
        elif self.counted and message.get("ListItems") != str(len(self.rows)):
            counted, came = message.get("ListItems")[:10], len(self.rows)
            self.damage = self.damage or f"{self.complete} counts {counted} rows, {came} came"

    def result(self) -> Sequence[Message]:
        """
        Its rows.

        Raises:
            PbxError: it is not whole.
        """
        if self.damage:
            raise PbxError(self.damage)
        return self.rows
