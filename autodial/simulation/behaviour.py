"""
How clients and operators behave on a simulated day: by defaults for a call centre that dials in
the daytime, or as measured from the ledger.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import exp
from random import Random
from statistics import NormalDist
from zoneinfo import ZoneInfo

from attrs import Factory, frozen

from autodial.errors import AutodialError
from autodial.model.ended_call import Call
from autodial.model.outcome import ANSWERED, Outcome

#: Least ended calls to measure a call centre, and one hour of its day.
ENOUGH, ENOUGH_OF_AN_HOUR = 200, 20
#: How the tendency to hang up grows while waiting (Weibull's shape): few leave at once.
SHAPE = 1.5
#: Outcomes that show nothing about the client.
_OURS = frozenset({Outcome.LINE_FAILED, Outcome.WITHDRAWN, Outcome.LOST})


class TooFewCalls(AutodialError):
    """The ledger holds too few calls to measure by; simulate without --measured."""


@frozen(kw_only=True)
class CallerBehaviour:
    """Shares of 1, and samples of seconds that are equally likely."""

    #: Share of calls answered, by the hour of the call centre's day.
    answered: Mapping[int, float] = Factory(
        lambda: {
            9: 0.34, 10: 0.40, 11: 0.42, 12: 0.38, 13: 0.35, 14: 0.38, 15: 0.40, 16: 0.42,
            17: 0.46, 18: 0.50, 19: 0.48,
        }
    )  # fmt: skip
    otherwise: float = 0.35  #: at any other hour
    #: Shares of the outcomes of unanswered calls.
    unanswered: Mapping[Outcome, float] = Factory(
        lambda: {
            Outcome.SILENT: 0.55, Outcome.UNREACHABLE: 0.22, Outcome.BUSY: 0.14,
            Outcome.REJECTED: 0.07, Outcome.BAD_NUMBER: 0.02,
        }
    )  # fmt: skip
    rings: Sequence[float] = tuple(range(4, 23))  #: until a client answers
    patience: float = 90.0  #: of a client who waits for an operator: Weibull's scale
    talk: Sequence[float] = Factory(  #: lognormal, median 100 s
        lambda: tuple(exp(4.6 + 0.8 * NormalDist().inv_cdf((n + 0.5) / 50)) for n in range(50))
    )
    picks_up: Sequence[float] = tuple(n / 2 for n in range(3, 13))  #: until an operator answers
    misses: float = 0.01  #: share of calls an operator lets ring out
    breaks: tuple[float, float] = (90.0, 10.0)  #: minutes of work, minutes of break

    def end(self, hour: int, random: Random) -> Outcome | None:
        """The outcome of a call that is not answered; None: it is answered."""
        if random.random() < self.answered.get(hour, self.otherwise):
            return None
        return random.choices(list(self.unanswered), list(self.unanswered.values()))[0]

    def leaves_after(self, random: Random) -> float:
        """Seconds that a client waits for an operator."""
        return random.weibullvariate(self.patience, SHAPE)


@frozen(kw_only=True)
class Replayed:
    """A task of a past day, with its calls."""

    due: datetime
    calls: tuple[Call, ...]


def replayed(calls: Sequence[tuple[int, Call]]) -> list[Replayed]:
    """The tasks of a day from the ledger's calls, in the order of their first calls."""
    tasks: dict[int, list[Call]] = {}
    for task, call in calls:
        if call.outcome not in _OURS:
            tasks.setdefault(task, []).append(call)
    return [Replayed(due=past[0].claimed, calls=tuple(past)) for past in tasks.values()]


def measured(calls: Sequence[Call], zone: ZoneInfo) -> CallerBehaviour:
    """
    The behaviour measured from these calls; a value with too few calls keeps its default.

    Raises:
        TooFewCalls: fewer than 200.
    """
    relevant = [call for call in calls if call.outcome not in _OURS]
    if len(relevant) < ENOUGH:
        raise TooFewCalls(f"{len(relevant)} of {ENOUGH}")
    default = CallerBehaviour()
    answered = [call for call in relevant if call.outcome in ANSWERED]
    hours = Counter(call.claimed.astimezone(zone).hour for call in relevant)
    answered_hours = Counter(call.claimed.astimezone(zone).hour for call in answered)
    talks = [call for call in answered if call.outcome is Outcome.TALKED]
    missed = sum(call.outcome is Outcome.OPERATOR_MISSED for call in answered)
    refusals = Counter(call.outcome for call in relevant if call.outcome not in ANSWERED)
    return CallerBehaviour(
        answered={
            hour: answered_hours[hour] / n
            for hour, n in sorted(hours.items())
            if n >= ENOUGH_OF_AN_HOUR
        },
        otherwise=len(answered) / len(relevant),
        unanswered=dict(refusals) or default.unanswered,
        rings=_spans([(call.claimed, call.answered) for call in answered]) or default.rings,
        patience=_patience(answered) or default.patience,
        talk=[float(call.talk_seconds) for call in talks if call.talk_seconds] or default.talk,
        picks_up=_spans([(call.answered, call.talked) for call in talks]) or default.picks_up,
        misses=missed / len(answered) if answered else default.misses,
    )


def _spans(pairs: Sequence[tuple[datetime | None, datetime | None]]) -> list[float]:
    spans = [(b - a).total_seconds() for a, b in pairs if a is not None and b is not None]
    return sorted(max(0.0, span) for span in spans)


def _patience(answered: Sequence[Call]) -> float | None:
    """
    Weibull's scale by maximum likelihood. Clients who were served also waited, and did not leave:
    without them, the estimate would be too short.
    """
    left = sum(call.outcome is Outcome.CLIENT_LEFT for call in answered)
    waits = [(call.talked or call.ended) - call.answered for call in answered if call.answered]
    total = sum(max(wait, timedelta(0)).total_seconds() ** SHAPE for wait in waits)
    return float((total / left) ** (1 / SHAPE)) if left and total else None
