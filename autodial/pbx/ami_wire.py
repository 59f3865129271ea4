"""
The wire protocol of Asterisk's manager, and which input is trusted. No sockets, no clock.

Asterisk writes a caller's number into its list rows as the caller sent it: ``sip:1%0D%0A...``
becomes line ends, and with them forged rows, ends of lists and events. So:

* an action's number is a nonce that a caller cannot guess;
* between the start and the end of a list Asterisk writes nothing else (one thread does both), so
  any message there without the list's number is forged, and the list is damaged;
* a row is whole only if each of its fields is present once; an injection shows as a duplicate
  field, or as missing fields because an empty line came too early;
* a list is whole only if its end says so, and its count equals the rows received;
* a damaged list is an error: an entry that it lacks may still exist.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from attrs import define, field, frozen

from autodial.errors import PbxError

#: Most characters of a list: 20,000 channels have about ten million.
MAX_SIZE = 32_000_000
#: Longest line, most fields of a message, and most rows of a list that are read.
MAX_LINE, MAX_FIELDS, MAX_ROWS = 16_384, 200, 20_000
#: The only field that a row may repeat: one for each variable of ``channelvars``.
VARIABLES = "ChanVariable"


class NotAmi(Exception):
    """The other side does not speak the manager's protocol."""


@frozen
class Message:
    """Fields in order; a name may repeat."""

    fields: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """The field's first value; empty if there is none."""
        return next((value for key, value in self.fields if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def whole(self, needed: Collection[str]) -> bool:
        """Is each needed field present, and none but ``ChanVariable`` twice?"""
        names = Counter(key for key, _ in self.fields if key != VARIABLES)
        variables = Counter(value.partition("=")[0] for value in self.all(VARIABLES))
        return (
            set(needed) <= set(names)
            and max(names.values()) == 1
            and (not variables or max(variables.values()) == 1)
        )


class AmiWire:
    """Feed it bytes; it yields messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fields: list[tuple[str, str]] = []

    def receive(self, data: bytes) -> list[Message]:
        """
        The messages now complete. Lines that are not fields are skipped (the banner is one).

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
    One list being received: ``row`` is the event of its rows, ``needed`` the fields of each;
    ``counted``: the count at its end is reliable.
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
            self.rows.clear()  # they are not needed any more
        else:
            self.rows.append(message)
        return False

    def stray(self) -> None:
        """A message within the list does not belong to it."""
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
        The list's rows.

        Raises:
            PbxError: the list is not whole.
        """
        if self.damage:
            raise PbxError(self.damage)
        return self.rows
