"""How an attempt ended, and the effect of each outcome: one table."""

from collections.abc import Mapping
from enum import Enum

from attrs import frozen


class Outcome(Enum):
    """How one attempt ended, in the client's terms."""

    TALKED = "talked"  #: client and operator were bridged
    BUSY = "busy"  #: the client's phone was busy
    SILENT = "silent"  #: the phone rang, and nobody answered
    REJECTED = "rejected"  #: the client or the client's network declined the call
    FORWARDED = (
        "forwarded"  #: the far side redirected to another number; redirections are not followed
    )
    UNREACHABLE = "unreachable"  #: the phone is off or out of coverage: it never rang
    BAD_NUMBER = "bad number"  #: the network does not know the number
    CLIENT_LEFT = "client left"  #: the client answered, and hung up before an operator did
    OPERATOR_MISSED = "operator missed"  #: the client answered, no operator did
    LINE_FAILED = "line failed"  #: the trunk, the PBX or the dialler failed
    LOST = "lost"  #: Asterisk sent no report; the client may have been called
    WITHDRAWN = "withdrawn"  #: cancelled before the client was dialled


@frozen(kw_only=True)
class Effect:
    """The effect of an outcome, for the client and for the portal."""

    answered: bool = False  #: the client's phone was answered
    #: The client may have noticed: the phone may have rung, or the network may have sent a notice.
    contact: bool = True
    #: The status code with which the portal files the call: as incoming if it was answered;
    #: otherwise, if unanswered calls are registered, as outgoing, which raises no counters. (304
    #: would raise the missed-call counters for an operator's miss.)
    finish_code: str = "OTHER"
    #: The catalogue key of the last comment's request to a person.
    to_do: str = "comment.do"


#: One row for each outcome. If the client may have noticed the call, it counts as a contact. (When
#: to call again is a site's choice: ``rules.retry``.)
EFFECTS: Mapping[Outcome, Effect] = {
    Outcome.TALKED: Effect(answered=True, finish_code="200", to_do="comment.do.talked"),
    Outcome.CLIENT_LEFT: Effect(answered=True, finish_code="603-S"),
    Outcome.OPERATOR_MISSED: Effect(answered=True, finish_code="480"),
    Outcome.BUSY: Effect(finish_code="486"),  # a busy phone may show a second call
    Outcome.SILENT: Effect(finish_code="304"),
    Outcome.REJECTED: Effect(finish_code="603"),
    Outcome.FORWARDED: Effect(),  # a forwarding phone may show the caller
    # Networks send a notice about calls to a phone that was off.
    Outcome.UNREACHABLE: Effect(finish_code="480"),
    # Some networks also send this for numbers that exist.
    Outcome.BAD_NUMBER: Effect(finish_code="404", to_do="comment.do.number"),
    Outcome.LOST: Effect(),
    Outcome.LINE_FAILED: Effect(contact=False),  # a failure after ringing is "silent"
    Outcome.WITHDRAWN: Effect(contact=False),
}


def effect(outcome: str) -> Effect:
    """The effect of a stored outcome; an unknown outcome has the default effect."""
    try:
        return EFFECTS[Outcome(outcome)]
    except ValueError:
        return Effect()


#: The client's phone was answered, so the portal gets a call record.
ANSWERED = frozenset(outcome for outcome, effect in EFFECTS.items() if effect.answered)


#: Outcomes that do not count as a contact: the client cannot have noticed the call.
NO_CONTACT = frozenset(outcome for outcome, effect in EFFECTS.items() if not effect.contact)
