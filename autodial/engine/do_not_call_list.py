"""
The do-not-call list: a file of numbers, one a line, read again when it changes.

It fails closed: a file that is missing, or a line that is not a number, means that nobody is
called until a person has looked. A list that matches nothing would be worse than none.
"""

import time
from collections.abc import Callable
from pathlib import Path

from attrs import define, field
from twisted.logger import Logger

from autodial.rules.phone_numbers import numbers_in

#: Seconds for which a file must not have been written to be taken for complete.
SETTLED = 2.0


@define(eq=False)
class DoNotCall:
    """``numbers()`` is the list in E.164, or None if it cannot be relied on."""

    log = Logger()

    path: Path | None
    region: str  #: whose national format people may have used
    clock: Callable[[], float] = time.time  #: seconds, as file times have them
    _stamp: tuple[int, int, int] | None = field(default=None, init=False)
    _numbers: frozenset[str] | None = field(default=None, init=False)
    _before: frozenset[str] = field(default=frozenset(), init=False)  #: the last settled list

    def numbers(self) -> frozenset[str] | None:
        if self.path is None:
            return frozenset()
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._numbers = self._read(self.path)
                self._stamp = stamp
            # Somebody may still be writing it: until it has rested, nobody is taken off the list.
            settled = self.clock() - found.st_mtime >= SETTLED
        except (OSError, UnicodeDecodeError) as error:
            self.log.error("{path}: {error}; nobody is called", path=self.path, error=error)
            self._stamp = None
            return None
        if self._numbers is None:
            return None
        if settled:
            self._before = self._numbers
        return self._numbers | self._before

    def _read(self, path: Path) -> frozenset[str] | None:
        numbers: set[str] = set()
        # Editors of some systems put a byte order mark in front.
        for place, row in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            text = row.split("#")[0].strip()
            if not text:
                continue
            found = numbers_in(text, self.region)
            if found is None:
                self.log.error(
                    "{path}: line {place} is not a phone number, or not only; nobody is called",
                    path=path,
                    place=place,
                )
                return None
            numbers |= found
        return frozenset(numbers)
