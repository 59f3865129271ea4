"""
The do-not-call list: a file of numbers, one a line, read again when it changes.

It fails closed: while the file is missing or a line is not a number, nobody is called until a
person has corrected it. A list that matches nothing would be worse than none.
"""

import time
from collections.abc import Callable
from pathlib import Path

from attrs import define, field
from twisted.logger import Logger

from autodial.rules.phone_numbers import numbers_in

#: Seconds without a write after which a file counts as complete.
SETTLED = 2.0


@define(eq=False)
class DoNotCall:
    """``numbers()`` is the list in E.164, or None if it cannot be relied on."""

    log = Logger()

    path: Path | None
    region: str  #: numbers may be in its national format
    clock: Callable[[], float] = time.time  #: seconds since the epoch, like file times
    _stamp: tuple[int, int, int] | None = field(default=None, init=False)
    _numbers: frozenset[str] | None = field(default=None, init=False)
    _before: frozenset[str] = field(default=frozenset(), init=False)  #: the last settled list

    def numbers(self) -> frozenset[str] | None:
        if self.path is None:
            return frozenset()
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._numbers = self._read(self.path)
                self._stamp = stamp
            # The file may still be being written: until it has settled, no number is removed.
            settled = self.clock() - status.st_mtime >= SETTLED
        except (OSError, UnicodeDecodeError) as error:
            self.log.error("{path}: {error}; nobody is called", path=self.path, error=error)
            self._stamp = None
            return None
        if self._numbers is None:
            return None
        if settled:
            self._before = self._numbers
        return self._numbers if self._numbers is self._before else self._numbers | self._before

    def _read(self, path: Path) -> frozenset[str] | None:
        numbers: set[str] = set()
        # Editors of some systems put a byte order mark in front.
        for place, row in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            text = row.split("#")[0].strip()
            if not text:
                continue
            listed = numbers_in(text, self.region)
            if listed is None:
                self.log.error(
                    "{path}: line {place} is not a phone number, or not only; nobody is called",
                    path=path,
                    place=place,
                )
                return None
            numbers |= listed
        return frozenset(numbers)
