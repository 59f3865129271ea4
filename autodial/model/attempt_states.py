"""The life of one attempt, as a table. The store moves attempts only through ``advance``."""

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """Where an attempt is."""

    SPOOLED = "spooled"  #: a call file is in Asterisk's hands, or about to be
    CLAIMED = "claimed"  #: the dialplan has asked and was told to dial
    ANSWERED = "answered"  #: the client spoke; an operator is being rung
    ENDED = "ended"  #: outcome known, the portal not yet told everything
    REPORTED = "reported"  #: the portal knows everything


class Event(Enum):
    """What can happen to it."""

    CLAIM = "claim"
    ANSWER = "answer"
    OUTCOME = "outcome"  #: from Asterisk, or from the reconciler
    REPORT = "report"  #: the last thing owed to the portal was delivered
    REOPEN = "reopen"  #: a person has sent something again that the portal had refused


TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.SPOOLED: {
        Event.CLAIM: State.CLAIMED,
        Event.OUTCOME: State.ENDED,
    },
    State.CLAIMED: {
        # A second claim means that Asterisk dialled a call file twice: refused, by absence.
        Event.ANSWER: State.ANSWERED,
        Event.OUTCOME: State.ENDED,
    },
    State.ANSWERED: {
        Event.ANSWER: State.ANSWERED,  # the next operator is rung
        Event.OUTCOME: State.ENDED,
    },
    State.ENDED: {
        # The first outcome wins. A report that comes twice, or after the reconciler has given
        # the attempt up, changes nothing.
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

#: An attempt in one of these holds its operator.
IN_FLIGHT = (State.SPOOLED, State.CLAIMED, State.ANSWERED)


class WrongMove(Exception):
    """This cannot happen to an attempt in that state."""


def advance(state: State, event: Event) -> State:
    """Where ``event`` takes an attempt; raises WrongMove if the table has no such row."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise WrongMove(f"{event.value} while {state.value}") from None
