"""The life of one attempt, as a table. The store moves attempts only through ``advance``."""

from collections.abc import Mapping
from enum import Enum, StrEnum


class State(StrEnum):
    """Where an attempt is."""

    SPOOLED = "spooled"  #: a call file is in Asterisk's spool, or is about to be written
    CLAIMED = "claimed"  #: the dialplan has claimed the attempt and may dial
    ANSWERED = "answered"  #: the client has answered; an operator is being rung
    ENDED = "ended"  #: the outcome is known; outbox messages are not all delivered
    REPORTED = "reported"  #: all outbox messages are delivered


class Event(Enum):
    """What can happen to an attempt."""

    CLAIM = "claim"
    ANSWER = "answer"
    OUTCOME = "outcome"  #: from Asterisk, or from the reconciler
    REPORT = "report"  #: the last outbox message was delivered
    REOPEN = "reopen"  #: a message was added after all were delivered, or a dead letter requeued


TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.SPOOLED: {
        Event.CLAIM: State.CLAIMED,
        Event.OUTCOME: State.ENDED,
    },
    State.CLAIMED: {
        # No CLAIM row: a second claim means that Asterisk ran a call file twice. It is refused.
        Event.ANSWER: State.ANSWERED,
        Event.OUTCOME: State.ENDED,
    },
    State.ANSWERED: {
        Event.ANSWER: State.ANSWERED,  # the next operator is rung
        Event.OUTCOME: State.ENDED,
    },
    State.ENDED: {
        # The first outcome wins. A repeated report, or one that comes after the reconciler has
        # closed the attempt, changes nothing.
        Event.OUTCOME: State.ENDED,
        Event.ANSWER: State.ENDED,
        Event.REPORT: State.REPORTED,
        Event.REOPEN: State.ENDED,
    },
    State.REPORTED: {
        Event.OUTCOME: State.REPORTED,
        Event.ANSWER: State.REPORTED,
        Event.REOPEN: State.ENDED,
    },
}

#: States in which an attempt keeps its operator reserved.
IN_FLIGHT = (State.SPOOLED, State.CLAIMED, State.ANSWERED)


class WrongMove(Exception):
    """The table has no such transition."""


def advance(state: State, event: Event) -> State:
    """The state after ``event``; raises WrongMove if the table has no such row."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise WrongMove(f"{event.value} while {state.value}") from None
