"""
How many clients to dial: one for each free operator, or more under a cap on the measured rate of
abandoned calls (a client answered, and no operator took the call). Pure.

With more calls than operators, some clients answer and find no operator. Such calls are placed only
while the rate, with all of them abandoned, stays below half of the cap. The other half is for
clients who do not wait and operators who do not pick up, which cannot be predicted.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import floor

from attrs import frozen

from autodial.model.outcome import Outcome

#: Stands for all purposes.
EVERY = "*"
#: A client who hangs up sooner after answering does not count as abandoned.
GRACE = timedelta(seconds=2)
#: Below so many answered calls the rate is not reliable and throttles nothing.
SAMPLE = 100
#: The part of the cap that overdialled calls may use.
SHARE = 0.5


@frozen(kw_only=True)
class Answers:
    """Counts of recently answered calls."""

    answered: int = 0
    abandoned: int = 0  #: no operator took the call
    late: int = 0  #: no operator within two seconds; includes the abandoned

    @property
    def rate(self) -> float:
        return self.abandoned / self.answered if self.answered else 0.0

    @property
    def late_rate(self) -> float:
        return self.late / self.answered if self.answered else 0.0


def together(some: Iterable[Answers]) -> Answers:
    """The sum."""
    some = tuple(some)
    return Answers(
        answered=sum(answers.answered for answers in some),
        abandoned=sum(answers.abandoned for answers in some),
        late=sum(answers.late for answers in some),
    )


@frozen(kw_only=True)
class Pacing:
    """A site's dial ratio and cap."""

    ratio: float = 1.0  #: clients dialled for each operator who could talk
    cap: float = 0.03  #: abandoned of answered
    over: timedelta = timedelta(days=1)  #: the window of the measurement
    in_two_seconds: bool = False  #: the cap counts ``late`` calls, as some laws do
    by_purpose: bool = False  #: the cap applies to each purpose separately

    @property
    def overdials(self) -> bool:
        """May calls be placed for which no operator is reserved?"""
        return self.ratio > 1

    def overdial(self, answers: Answers, *, operators: int, dialling: int, unheld: int) -> int:
        """
        How many calls may be placed without a reserved operator.

        ``operators`` could talk; ``dialling`` calls have not reached an operator, and ``unheld`` of
        them have none reserved.
        """
        wanted = floor(self.ratio * operators) - dialling
        lost = answers.late if self.in_two_seconds else answers.abandoned
        allowed = floor(SHARE * self.cap * answers.answered) - lost - unheld
        return max(0, min(wanted, allowed)) if self.overdials else 0

    def counted(self, answers: Answers) -> float:
        """The share of the answered calls that the cap limits; 0 while they are too few."""
        if answers.answered < SAMPLE:
            return 0.0
        return answers.late_rate if self.in_two_seconds else answers.rate

    def reserve_operators(self, answers: Answers) -> int:
        """
        How many operators to keep free: one while the abandoned rate is above the cap, so that a
        call that its operator does not pick up finds a second one. (This does not help a client
        who waits for longer than two seconds.)
        """
        return int(answers.answered >= SAMPLE and answers.rate > self.cap)


def abandoned(outcome: Outcome, answered: datetime | None, ended: datetime | None) -> bool:
    """
    Whether the call is abandoned: the client answered, stayed for two seconds, and no operator took
    the call. The one definition, for the cap and for the minimum interval afterwards; the ledger
    stores the result with the attempt.
    """
    if outcome is Outcome.CLIENT_LEFT and answered is not None and ended is not None:
        return ended - answered >= GRACE
    return outcome is Outcome.OPERATOR_MISSED or outcome is Outcome.CLIENT_LEFT


def late(
    outcome: Outcome, answered: datetime | None, talked: datetime | None, ended: datetime | None
) -> bool:
    """
    Whether a client who answered had no operator within two seconds. This is "abandoned" in 16 CFR
    310.4(b)(1)(iv), even if an operator takes the call later. Counted from the answer, because the
    end of a greeting is not detected. An unknown moment counts as late.
    """
    if outcome is not Outcome.TALKED:
        return abandoned(outcome, answered, ended)
    return answered is None or talked is None or talked - answered >= GRACE
