"""How an attempt ended, and what each end means: one table."""

from collections.abc import Mapping
from enum import Enum

from attrs import frozen


class Outcome(Enum):
    """How one attempt ended, in the client's terms."""

    TALKED = "talked"  #: client and operator were bridged
    BUSY = "busy"  #: the client's phone was engaged
    SILENT = "silent"  #: it rang, and nobody answered
    REJECTED = "rejected"  #: the client, or his network, declined the call
    FORWARDED = "forwarded"  #: the far side named another number; nobody follows it there
    UNREACHABLE = "unreachable"  #: off or out of coverage: it never rang
    BAD_NUMBER = "bad number"  #: the network does not know the number
    CLIENT_LEFT = "client left"  #: answered, and hung up before an operator spoke
    OPERATOR_MISSED = "operator missed"  #: the client answered, no operator did
    LINE_FAILED = "line failed"  #: our own carrier, PBX or server failed
    LOST = "lost"  #: Asterisk went quiet about it; the client may have been called
    WITHDRAWN = "withdrawn"  #: called off before anybody was dialled


@frozen(kw_only=True)
class Effect:
    """What an outcome means for the client."""

    answered: bool = False  #: somebody took the call at his end
    #: His phone may have rung, or his network may have told him of the call.
    contact: bool = True


#: One row for each outcome. "May have" counts: a client is not disturbed on a guess.
EFFECTS: Mapping[Outcome, Effect] = {
    Outcome.TALKED: Effect(answered=True),
    Outcome.CLIENT_LEFT: Effect(answered=True),
    Outcome.OPERATOR_MISSED: Effect(answered=True),
    Outcome.BUSY: Effect(),  # a second call shows on a phone that is engaged
    Outcome.SILENT: Effect(),
    Outcome.REJECTED: Effect(),
    Outcome.FORWARDED: Effect(),  # a phone that forwards may show whose call it was
    Outcome.UNREACHABLE: Effect(),  # networks send a message about calls to a phone that was off
    Outcome.BAD_NUMBER: Effect(),  # not every network says that only of numbers nobody has
    Outcome.LOST: Effect(),
    Outcome.LINE_FAILED: Effect(contact=False),  # one that fails after ringing is "silent"
    Outcome.WITHDRAWN: Effect(contact=False),
}


#: The client's phone was answered, so the portal gets a call record.
ANSWERED = frozenset(outcome for outcome, effect in EFFECTS.items() if effect.answered)


#: Ends that do not count against the client: he cannot have noticed them.
NO_CONTACT = frozenset(outcome for outcome, effect in EFFECTS.items() if not effect.contact)
