"""The operators to reserve for a call and to ring, in order, of those at work. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from autodial.model.attempt import Attempt
from autodial.model.ids import OperatorId
from autodial.model.operator import Operator
from autodial.model.task import CallTask
from autodial.rules.dial_facts import Facts, Who


def first_free(task: CallTask, facts: Facts, now: datetime) -> Operator | None:
    """The operator to reserve for this task; None: nobody who may take it is free."""
    return _first(task, facts, (o for o in _line(task, facts) if o.free(now)))


def first_in_line(task: CallTask, facts: Facts) -> Operator | None:
    """The first operator for this task who is at work and not paused; None: nobody."""
    return _first(task, facts, (o for o in _line(task, facts) if not o.paused))


def _first(task: CallTask, facts: Facts, line: Iterator[Operator]) -> Operator | None:
    """
    The first of the line. Of those who take any task one who is at this node comes first: who of
    the others is at another node, that one can ring.
    """
    first = next(line, None)
    if first is None or not first.elsewhere:
        return first
    responsible = responsible_for(task, facts.stand_ins)
    named = deputies_of(task, facts.deputies, facts.stand_ins).get(responsible, ())
    if first.id in (responsible, *named):
        return first
    # (Those who are named and come later, if a site orders so, do not come before.)
    return next((operator for operator in line if not operator.elsewhere), first)


def _line(task: CallTask, facts: Facts) -> Iterator[Operator]:
    """Those at work. Mostly the first will do: the others are not looked at."""
    deputies = deputies_of(task, facts.deputies, facts.stand_ins)
    responsible = responsible_for(task, facts.stand_ins)
    known = facts.by_id
    line = (known[who] for who in in_order(responsible, known, deputies, facts.order))
    return (operator for operator in line if operator.at_work)


def standing_in(operator: OperatorId, stand_ins: Mapping[OperatorId, OperatorId]) -> OperatorId:
    """
    Who takes an operator's tasks for now: himself, or who stands in for him, or for that one. Two
    who stand in for each other have each other's.
    """
    seen = {operator}
    while (following := stand_ins.get(operator)) is not None and following not in seen:
        seen.add(following)
        operator = following
    return operator


def responsible_for(
    task: CallTask | Attempt, stand_ins: Mapping[OperatorId, OperatorId]
) -> OperatorId:
    """The task's responsible, or who takes their tasks for now."""
    return standing_in(task.responsible, stand_ins)


def deputies_of(
    task: CallTask | Attempt,
    deputies: Mapping[OperatorId, Sequence[OperatorId]],
    stand_ins: Mapping[OperatorId, OperatorId],
) -> Mapping[OperatorId, Sequence[OperatorId]]:
    """
    The deputies, with those named in the task first; whoever stands in for its responsible has
    theirs, too.
    """
    responsible = responsible_for(task, stand_ins)
    if not task.own_deputies and responsible == task.responsible:
        return deputies
    usual = [*deputies.get(task.responsible, ()), *deputies.get(responsible, ())]
    return {**deputies, responsible: (*task.own_deputies, *usual)}


def in_order(
    responsible: OperatorId,
    operators: Mapping[OperatorId, Operator],
    deputies: Mapping[OperatorId, Sequence[OperatorId]],
    order: Sequence[Who] = tuple(Who),
) -> Iterator[OperatorId]:
    """
    The operators in the order to ring, at work or not: by default the responsible, deputies, all.
    ``operators`` are all there are, by their ids. Mostly the first will do.
    """
    named = deputies.get(responsible, ())
    first = {responsible, *named}
    given = set()
    for who in order:
        match who:
            case Who.RESPONSIBLE:
                group: Iterable[OperatorId] = (responsible,)
            case Who.DEPUTIES:
                group = named
            case Who.ANYBODY:
                group = (one for one in operators if one not in first)
        for one in group:
            if one in operators and one not in given:
                given.add(one)
                yield one
