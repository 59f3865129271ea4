"""
The dial decision: for a task at a moment, dial, wait or drop, and why.

Pure: facts come in, a decision goes out, ``now`` is an argument. The order of the rules is the
order in which people want to hear the reason: what is wrong with the task first, then the clock
and the client, then who is at work, then our own limits.
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
    """Dial, wait or drop."""
    refusal = against(task, facts, now) or without_means(task, facts, now)
    if refusal is not None:
        return refusal
    # A call that may be placed beyond the free operators takes none who is kept free.
    free = first_free(task, facts, now) if one_to_spare(facts, now) else None
    operator = free or first_in_line(task, facts)
    assert operator is not None  # a rule saw to it
    phones = [phone for phone in task.phones if about_phone(task, phone, facts, now) is None]
    return Dial(_in_turn(task, phones), operator, routes(task, facts), reserved=free is not None)


def against(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """What speaks against calling now, whoever is at work; None: nothing."""
    for _, rule in RULES:
        if (refusal := rule(task, facts, now)) is not None:
            return refusal
    return None


def without_means(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """What is missing to make the call with; None: nothing."""
    for _, rule in MEANS:
        if (refusal := rule(task, facts, now)) is not None:
            return refusal
    return None


def nobody_there(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """
    What of the means may have gone between the spool and the dialplan, and is no fault of the call
    itself: the portal's word, and everybody who was at work.
    """
    return portal_silent(task, facts, now) or nobody_at_work(task, facts, now)


def explain(task: CallTask, facts: Facts, now: datetime) -> list[RuleResult]:
    """
    The rules in order, up to the one that holds; of the rules about a client, what each says of
    each number.
    """
    looks: list[RuleResult] = []
    for reason, rule in (*RULES, *MEANS):
        refusal = rule(task, facts, now)
        if reason is None:
            looks += [
                RuleResult(about, word(task, phone, facts, now), phone.number)
                for phone in task.phones
                for about, word in OF_PHONES.items()
            ]
        else:
            looks.append(RuleResult(reason, refusal))
        if refusal is not None:
            break
    return looks


def general(facts: Facts, now: datetime) -> Wait | None:
    """What stands in the way of every task alike; None: nothing. No task need be looked at."""
    rules = [rule for reason, rule in (*RULES, *MEANS) if reason in GENERAL]
    refusals = (rule(_ANY, facts, now) for rule in rules)
    return next((refusal for refusal in refusals if isinstance(refusal, Wait)), None)


#: The rules of ``GENERAL`` do not look at their task.
_ANY = CallTask(id=TaskId(0), title="", responsible=OperatorId(0), due=None, phones=())


def _in_turn(task: CallTask, phones: Sequence[Phone]) -> Phone:
    """The next attempt tries the next phone."""
    return phones[task.attempts % len(phones)]
