"""
How clients and operators behave on a simulated day: as in a call centre that rings people in the
daytime, or as the ledger has measured it.
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

#: Fewer ended calls than these say nothing about a call centre, or about one hour of its day.
ENOUGH, ENOUGH_OF_AN_HOUR = 200, 20
#: How the readiness to hang up grows while one waits (Weibull's shape): few leave at once.
SHAPE = 1.5
#: Ends that say nothing about the client.
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
    #: What becomes of the calls that are not answered.
    unanswered: Mapping[Outcome, float] = Factory(
        lambda: {
            Outcome.SILENT: 0.55, Outcome.UNREACHABLE: 0.22, Outcome.BUSY: 0.14,
            Outcome.REJECTED: 0.07, Outcome.BAD_NUMBER: 0.02,
        }
    )  # fmt: skip
    rings: Sequence[float] = tuple(range(4, 23))  #: until a client answers
    patience: float = 90.0  #: a client's, waiting for an operator: the scale of its Weibull
    talk: Sequence[float] = Factory(  #: lognormal, median 100 s
        lambda: tuple(exp(4.6 + 0.8 * NormalDist().inv_cdf((n + 0.5) / 50)) for n in range(50))
    )
    picks_up: Sequence[float] = tuple(n / 2 for n in range(3, 13))  #: until an operator answers
    misses: float = 0.01  #: share of calls an operator lets ring out
    breaks: tuple[float, float] = (90.0, 10.0)  #: minutes of work, minutes of break

    def end(self, hour: int, random: Random) -> Outcome | None:
        """How a call ends that is not answered; None: it is."""
        if random.random() < self.answered.get(hour, self.otherwise):
            return None
        return random.choices(list(self.unanswered), list(self.unanswered.values()))[0]

    def leaves_after(self, random: Random) -> float:
        """Seconds that a client waits for an operator."""
        return random.weibullvariate(self.patience, SHAPE)


@frozen(kw_only=True)
class Replayed:
    """A task of a day that was, with the calls it had."""

    due: datetime
    calls: tuple[Call, ...]


def replayed(calls: Sequence[tuple[int, Call]]) -> list[Replayed]:
    """The tasks of a day out of the ledger's calls, in the order in which they came up."""
    tasks: dict[int, list[Call]] = {}
    for task, call in calls:
        if call.outcome not in _OURS:
            tasks.setdefault(task, []).append(call)
    return [Replayed(due=made[0].claimed, calls=tuple(made)) for made in tasks.values()]


def measured(calls: Sequence[Call], zone: ZoneInfo) -> CallerBehaviour:
    """
    The behaviour that these calls show; what they are too few to show keeps its default.

    Raises:
        TooFewCalls: fewer than 200.
    """
    told = [call for call in calls if call.outcome not in _OURS]
    if len(told) < ENOUGH:
        raise TooFewCalls(f"{len(told)} of {ENOUGH}")
    usual = CallerBehaviour()
    answered = [call for call in told if call.outcome in ANSWERED]
    hours = Counter(call.claimed.astimezone(zone).hour for call in told)
    good = Counter(call.claimed.astimezone(zone).hour for call in answered)
    talks = [call for call in answered if call.outcome is Outcome.TALKED]
    missed = sum(call.outcome is Outcome.OPERATOR_MISSED for call in answered)
    refusals = Counter(call.outcome for call in told if call.outcome not in ANSWERED)
    return CallerBehaviour(
        answered={
            hour: good[hour] / n for hour, n in sorted(hours.items()) if n >= ENOUGH_OF_AN_HOUR
        },
        otherwise=len(answered) / len(told),
        unanswered=dict(refusals) or usual.unanswered,
        rings=_spans([(call.claimed, call.answered) for call in answered]) or usual.rings,
        patience=_patience(answered) or usual.patience,
        talk=[float(call.talk_seconds) for call in talks if call.talk_seconds] or usual.talk,
        picks_up=_spans([(call.answered, call.talked) for call in talks]) or usual.picks_up,
        misses=missed / len(answered) if answered else usual.misses,
    )


def _spans(pairs: Sequence[tuple[datetime | None, datetime | None]]) -> list[float]:
    spans = [(b - a).total_seconds() for a, b in pairs if a is not None and b is not None]
    return sorted(max(0.0, span) for span in spans)


def _patience(answered: Sequence[Call]) -> float | None:
    """
    Weibull's scale by maximum likelihood. Who was served has waited, too, and not left: without
    them, patience would look as short as that of those who lost it.
    """
    left = sum(call.outcome is Outcome.CLIENT_LEFT for call in answered)
    waits = [(call.talked or call.ended) - call.answered for call in answered if call.answered]
    total = sum(max(wait, timedelta(0)).total_seconds() ** SHAPE for wait in waits)
    return float((total / left) ** (1 / SHAPE)) if left and total else None
