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
    """What an outcome means, for the client and for the portal."""

    answered: bool = False  #: somebody took the call at his end
    #: His phone may have rung, or his network may have told him of the call.
    contact: bool = True
    #: How the portal files the call: as an incoming one if it was answered, else, if unanswered
    #: calls are registered, as an outgoing one, for which nothing lights up. (304 would light the
    #: missed-call counters for an operator's miss.)
    finish_code: str = "OTHER"
    #: What the last comment asks a person to do, a key of the catalogue.
    to_do: str = "comment.do"


#: One row for each outcome. "May have" counts: a client is not disturbed on a guess. (When to call
#: again is a site's choice: ``rules.retry``.)
EFFECTS: Mapping[Outcome, Effect] = {
    Outcome.TALKED: Effect(answered=True, finish_code="200", to_do="comment.do.talked"),
    Outcome.CLIENT_LEFT: Effect(answered=True, finish_code="603-S"),
    Outcome.OPERATOR_MISSED: Effect(answered=True, finish_code="480"),
    Outcome.BUSY: Effect(finish_code="486"),  # a second call shows on a phone that is engaged
    Outcome.SILENT: Effect(finish_code="304"),
    Outcome.REJECTED: Effect(finish_code="603"),
    Outcome.FORWARDED: Effect(),  # a phone that forwards may show whose call it was
    # Networks send a message about calls to a phone that was off.
    Outcome.UNREACHABLE: Effect(finish_code="480"),
    # Not every network says that only of numbers nobody has.
    Outcome.BAD_NUMBER: Effect(finish_code="404", to_do="comment.do.number"),
    Outcome.LOST: Effect(),
    Outcome.LINE_FAILED: Effect(contact=False),  # one that fails after ringing is "silent"
    Outcome.WITHDRAWN: Effect(contact=False),
}


def effect(outcome: str) -> Effect:
    """Of an outcome as it is stored; one that nobody knows any more means the least."""
    try:
        return EFFECTS[Outcome(outcome)]
    except ValueError:
        return Effect()


#: The client's phone was answered, so the portal gets a call record.
ANSWERED = frozenset(outcome for outcome, effect in EFFECTS.items() if effect.answered)


#: Ends that do not count against the client: he cannot have noticed them.
NO_CONTACT = frozenset(outcome for outcome, effect in EFFECTS.items() if not effect.contact)
