"""
How many clients to dial: one for each free operator, or more under a cap on the measured rate of
abandoned calls (a client answered, and nobody took him). Pure.

With more calls than operators some client will answer to nobody. Such calls are placed only while
the rate, with all of them abandoned, would stay below half of the cap: the other half is for those
who do not wait and for operators who do not pick up, which no dialler can foresee.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import floor

from attrs import frozen

from autodial.model.outcome import Outcome

#: In the place of a purpose: whatever a task is for.
EVERY = "*"
#: Who hangs up sooner after his answer has not waited for us.
GRACE = timedelta(seconds=2)
#: Below so many answered calls a rate says little: nothing is throttled by it.
SAMPLE = 100
#: The part of the cap that calls beyond the free operators may use up.
SHARE = 0.5


@frozen(kw_only=True)
class Answers:
    """Of the clients who answered lately, how many found nobody."""

    answered: int = 0
    abandoned: int = 0  #: found nobody
    late: int = 0  #: had no operator within two seconds; the abandoned are among them

    @property
    def rate(self) -> float:
        return self.abandoned / self.answered if self.answered else 0.0

    @property
    def late_rate(self) -> float:
        return self.late / self.answered if self.answered else 0.0


def together(some: Iterable[Answers]) -> Answers:
    """All of them in one."""
    some = tuple(some)
    return Answers(
        answered=sum(one.answered for one in some),
        abandoned=sum(one.abandoned for one in some),
        late=sum(one.late for one in some),
    )


@frozen(kw_only=True)
class Pacing:
    """A site's ratio and cap."""

    ratio: float = 1.0  #: clients dialled for each operator who could talk
    cap: float = 0.03  #: abandoned of answered
    over: timedelta = timedelta(days=1)  #: measured so far back
    in_two_seconds: bool = False  #: the cap is on who had no operator so soon, by some laws' words
    by_purpose: bool = False  #: and holds for the calls of each purpose by themselves

    def overdial(self, answers: Answers, *, operators: int, dialling: int, unheld: int) -> int:
        """
        How many calls may be placed for which no operator is held.

        ``operators`` could talk; ``dialling`` calls have not reached one, and for ``unheld`` of
        them none is held.
        """
        wanted = floor(self.ratio * operators) - dialling
        lost = answers.late if self.in_two_seconds else answers.abandoned
        allowed = floor(SHARE * self.cap * answers.answered) - lost - unheld
        return max(0, min(wanted, allowed)) if self.ratio > 1 else 0

    def reserve_operators(self, answers: Answers) -> int:
        """
        How many operators to keep free for the clients of others: one, while the rate of those
        who found nobody is above the cap, so that a call which is not picked up finds a second
        operator. (Who waits for longer than two seconds is not helped by that.)
        """
        return int(answers.answered >= SAMPLE and answers.rate > self.cap)


def abandoned(outcome: Outcome, answered: datetime | None, ended: datetime | None) -> bool:
    """
    Is this an abandoned call: the client answered, stayed for two seconds, and found nobody? The
    one definition, for the cap and for the rest that such a client is left afterwards; the ledger
    keeps the answer with the attempt.
    """
    if outcome is Outcome.CLIENT_LEFT and answered is not None and ended is not None:
        return ended - answered >= GRACE
    return outcome is Outcome.OPERATOR_MISSED or outcome is Outcome.CLIENT_LEFT


def late(
    outcome: Outcome, answered: datetime | None, talked: datetime | None, ended: datetime | None
) -> bool:
    """
    Had an answered client no operator within two seconds? That is "abandoned" in the words of 16
    CFR 310.4(b)(1)(iv), also if somebody takes him later. Counted from the answer: nobody here
    hears a greeting. What cannot be known counts.
    """
    if outcome is not Outcome.TALKED:
        return abandoned(outcome, answered, ended)
    return answered is None or talked is None or talked - answered >= GRACE
