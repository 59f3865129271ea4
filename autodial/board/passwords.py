"""Passwords of the board, and how often one may be tried."""

from collections.abc import Callable
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from attrs import define, field

#: The least length, in characters; the most, so that hashing stays cheap.
SHORTEST, LONGEST = 10, 200
#: Wrong passwords of one name, or of one address, within ``WINDOW``; then it waits.
TRIES, WINDOW = 5, timedelta(minutes=5)
#: Names and addresses that are remembered at once.
KEPT = 10_000

_HASHER = PasswordHasher()
#: Compared with when there is nobody of a name, so that this takes as long.
_NOBODY = _HASHER.hash("nobody has this password")


def hashed(password: str) -> str:
    """
    The hash that is stored.

    Raises:
        ValueError: too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters")
    return _HASHER.hash(password)


def fits(password: str, stored: str | None) -> bool:
    """Whether it is the one; ``stored`` is None: there is nobody of the name."""
    try:
        _HASHER.verify(stored or _NOBODY, password[:LONGEST])
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
    return stored is not None


@define
class Throttle:
    """Counts wrong passwords; not stored: a restart forgets them."""

    now: Callable[[], datetime]
    tries: int = TRIES
    _wrong: dict[str, list[datetime]] = field(factory=dict, init=False)

    def waits(self, *who: str) -> bool:
        """Whether one of these, a name or an address, has been wrong too often."""
        since = self.now() - WINDOW
        return any(sum(at > since for at in self._wrong.get(one, ())) >= self.tries for one in who)

    def was_wrong(self, *who: str) -> None:
        if len(self._wrong) > KEPT:
            self._wrong.clear()
        since = self.now() - WINDOW
        for one in who:
            kept = [at for at in self._wrong.get(one, ()) if at > since]
            self._wrong[one] = [*kept[-self.tries :], self.now()]

    def was_right(self, *who: str) -> None:
        for one in who:
            self._wrong.pop(one, None)
