"""
The dial decision: for a task at a moment, dial, wait or drop, and why.

Pure: facts come in, a decision goes out, ``now`` is an argument. The order of the rules is the
order in which a reason is most useful to people: first the task, then the hours and the client,
then the operators at work, then the dialler's own limits.
"""

from collections.abc import Sequence
from datetime import datetime

from autodial.model.ids import OperatorId, TaskId
from autodial.model.task import CallTask, Phone
from autodial.rules.dial_facts import Decision, Dial, Facts, Refusal, RuleResult, Wait
from autodial.rules.dial_rules import (
    GENERAL,
    MEANS,
    OF_PHONES,
    RULES,
    about_phone,
    nobody_at_work,
    one_to_spare,
    portal_silent,
    routes,
)
from autodial.rules.operator_choice import first_free, first_in_line


def decide(task: CallTask, facts: Facts, now: datetime) -> Decision:
    """The decision: dial, wait or drop."""
    refusal = against(task, facts, now) or without_means(task, facts, now)
    if refusal is not None:
        return refusal
    # An overdialled call does not take an operator that is reserved for others.
    free = first_free(task, facts, now) if one_to_spare(facts, now) else None
    operator = free or first_in_line(task, facts)
    assert operator is not None  # ensured by the rules
    phones: Sequence[Phone] = task.phones  # a single one may be dialled: the rules have said so
    if len(phones) > 1:
        phones = [phone for phone in phones if about_phone(task, phone, facts, now) is None]
    return Dial(_in_turn(task, phones), operator, routes(task, facts), reserved=free is not None)


def against(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """The first refusal of ``RULES``, independent of who is at work; None: none."""
    for _, rule in RULES:
        if (refusal := rule(task, facts, now)) is not None:
            return refusal
    return None


def without_means(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """The first refusal of ``MEANS``; None: the call can be placed."""
    for _, rule in MEANS:
        if (refusal := rule(task, facts, now)) is not None:
            return refusal
    return None


def nobody_there(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """
    A refusal for means that may be lost between the spool and the dialplan: the portal's data, and
    the operators at work. It is no fault of the call.
    """
    return portal_silent(task, facts, now) or nobody_at_work(task, facts, now)


def explain(task: CallTask, facts: Facts, now: datetime) -> list[RuleResult]:
    """
    The results of the rules in order, up to the first refusal; of the rules about a number, one
    result for each number.
    """
    results: list[RuleResult] = []
    for reason, rule in (*RULES, *MEANS):
        refusal = rule(task, facts, now)
        if reason is None:
            results += [
                RuleResult(about, phone_rule(task, phone, facts, now), phone.number)
                for phone in task.phones
                for about, phone_rule in OF_PHONES.items()
            ]
        else:
            results.append(RuleResult(reason, refusal))
        if refusal is not None:
            break
    return results


def general(facts: Facts, now: datetime) -> Wait | None:
    """The first refusal that applies to every task alike; None: none."""
    refusals = (rule(_ANY, facts, now) for rule in _OF_ALL)
    return next((refusal for refusal in refusals if isinstance(refusal, Wait)), None)


#: The rules of ``GENERAL``, which ignore their task.
_OF_ALL = tuple(rule for reason, rule in (*RULES, *MEANS) if reason in GENERAL)
_ANY = CallTask(id=TaskId(0), title="", responsible=OperatorId(0), due=None, phones=())


def _in_turn(task: CallTask, phones: Sequence[Phone]) -> Phone:
    """The next attempt tries the next phone."""
    return phones[task.attempts % len(phones)]
