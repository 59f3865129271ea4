"""How operators spent their time at work: talking, being rung, and the rest. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from autodial.model.ids import OperatorId
from autodial.rules.report import Tally


@frozen(kw_only=True)
class Change:
    """Somebody came or left, as the presence ledger has it."""

    operator: OperatorId
    at: datetime
    came: bool


@frozen(kw_only=True)
class WorkTime:
    """One operator's time in a span of days. Times in seconds."""

    operator: OperatorId
    name: str
    extension: str
    came: datetime | None  #: when he came first; None: he was there before, or not at all
    left: datetime | None  #: when he left last; None: he is there yet, or never was
    at_work: float
    talks: int
    talked: float
    rung: float  #: from the client's answer to his, of his talks
    missed: int  #: calls that he was reserved for, and nobody took

    @property
    def rest(self) -> float:
        """Neither talking nor rung: waiting, a pause, writing up."""
        return max(0.0, self.at_work - self.talked - self.rung)

    @property
    def cells(self) -> tuple[str | int | float | None, ...]:
        """For a spreadsheet, without moments."""
        return (
            self.name, self.extension, round(self.at_work), self.talks, round(self.talked),
            round(self.rung), round(self.rest), self.missed,
        )  # fmt: skip


def work_times(
    people: Mapping[OperatorId, tuple[str, str]],
    changes: Iterable[Change],
    tallies: Mapping[str, Tally],
    start: datetime,
    end: datetime,
) -> list[WorkTime]:
    """
    Everybody who was at work or took a call in ``[start, end)``, by extension. ``people``: name
    and extension; ``changes``: in order, from before ``start`` on; ``tallies``: of each person's
    calls; ``end``: not after now.
    """
    of: dict[OperatorId, list[Change]] = {}
    for change in changes:
        of.setdefault(change.operator, []).append(change)
    times = []
    for operator, (name, extension) in people.items():
        own = of.get(operator, [])
        his = tallies.get(str(operator), Tally())
        seconds = _at_work(own, start, end)
        if not seconds and not his.calls:
            continue
        within = [change for change in own if start <= change.at < end]
        came = next((change.at for change in within if change.came), None)
        if own and _was_there(own, start):
            came = None
        times.append(
            WorkTime(
                operator=operator,
                name=name,
                extension=extension,
                came=came,
                left=within[-1].at if within and not within[-1].came else None,
                at_work=seconds,
                talks=his.talked,
                talked=float(his.talk_seconds),
                rung=his.waited,
                missed=his.missed,
            )
        )
    return sorted(times, key=lambda time: (time.extension, time.operator))


def added_up(days: Iterable[Sequence[WorkTime]]) -> list[WorkTime]:
    """The times of several days as one, by extension."""
    whole: dict[OperatorId, WorkTime] = {}
    for times in days:
        for time in times:
            before = whole.get(time.operator)
            if before is None:
                whole[time.operator] = time
                continue
            whole[time.operator] = evolve(
                time,
                came=before.came,
                at_work=before.at_work + time.at_work,
                talks=before.talks + time.talks,
                talked=before.talked + time.talked,
                rung=before.rung + time.rung,
                missed=before.missed + time.missed,
            )
    return sorted(whole.values(), key=lambda time: (time.extension, time.operator))


def _was_there(changes: Sequence[Change], at: datetime) -> bool:
    before = [change for change in changes if change.at < at]
    return bool(before) and before[-1].came


def _at_work(changes: Sequence[Change], start: datetime, end: datetime) -> float:
    """Seconds between coming and leaving; who came and did not leave is there until ``end``."""
    seconds, since = 0.0, None
    for change in changes:
        at = min(max(change.at, start), end)
        if change.came:
            since = since or at
        elif since is not None:
            seconds += (at - since).total_seconds()
            since = None
    if since is not None:
        seconds += (end - since).total_seconds()
    return max(0.0, seconds)
