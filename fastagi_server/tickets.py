"""
Tickets: a session that has proved the secret may hand the dialplan a ticket, which proves it for
one later session without a round trip, where a client waits in silence.

A ticket is a random number of 128 bits and is valid once. Asterisk may log it with the arguments of
the session that uses it; then it is worth nothing any more. Without a valid ticket the secret is
asked for as usual.
"""

from collections.abc import Mapping
from secrets import token_hex

from attrs import define, field

from fastagi_server.session import AgiSession

#: Tickets kept; of calls that nobody answered, the oldest are dropped.
MOST = 20_000


@define(eq=False)
class Tickets:
    """``places``: the scripts that take a ticket, and the position of that argument, from 0."""

    places: Mapping[str, int]
    _valid: dict[str, None] = field(factory=dict, init=False)

    def issue(self) -> str:
        """A new ticket: letters and digits."""
        if len(self._valid) >= MOST:
            del self._valid[next(iter(self._valid))]
        ticket = token_hex(16)
        self._valid[ticket] = None
        return ticket

    def take(self, session: AgiSession) -> bool:
        """Does the session bring a valid ticket? It is void afterwards."""
        place = self.places.get(session.environment.script)
        if place is None:
            return False
        return self._valid.pop(session.argument(place), self) is None
