"""
The rules of the dial decision, one function each, and the tables with their order: first the task,
then the hours and the client, then what a call needs (store, spool, portal, Asterisk, dialplan,
operators at work), then the dialler's own limits. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from autodial.model.task import CallTask, Phone
from autodial.model.trunk import Route
from autodial.rules.dial_facts import LATER, SELDOM, SOON, Drop, Facts, Reason, Refusal, Wait
from autodial.rules.operator_choice import first_free, first_in_line, responsible_for
from autodial.rules.pacing import EVERY

# The task. Each rule returns a refusal or None.


def _closed(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return None if task.open else Drop(Reason.CLOSED)


def _finished(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return Drop(Reason.FINISHED) if task.closed_reason else None


def _no_phone(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return None if task.phones else Drop(Reason.NO_PHONE)


def _no_deadline(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return Drop(Reason.NO_DEADLINE) if task.due is None else None


def _enough(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    limit = facts.limits.attempts
    return Drop(Reason.ENOUGH) if limit is not None and task.attempts >= limit else None


def _in_progress(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return Wait(Reason.IN_PROGRESS, now + LATER) if task.in_progress else None


def _not_due(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    assert task.due is not None
    return Wait(Reason.NOT_DUE, task.due) if task.due > now else None


def _confirm(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    waits = task.needs_confirmation and not task.confirmed
    return Wait(Reason.CONFIRM, now + SELDOM) if waits else None


# The site and the client.


def _paused(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    if facts.paused:
        return Wait(Reason.PAUSED, now + LATER)
    # Many tasks may wait only for this: they are checked again when the pause ends.
    paused = task.purpose in facts.paused_purposes
    return Wait(Reason.PAUSED, now + SELDOM) if paused else None


def _rules_unreadable(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return Wait(Reason.RULES_UNREADABLE, now + LATER) if facts.do_not_call is None else None


def _do_not_call(task: CallTask, phone: Phone, facts: Facts, now: datetime) -> Wait | None:
    listed = task.do_not_call or phone.do_not_call or phone.number in (facts.do_not_call or ())
    return Wait(Reason.DO_NOT_CALL, now + SELDOM) if listed else None


def _no_consent(task: CallTask, phone: Phone, facts: Facts, now: datetime) -> Wait | None:
    return Wait(Reason.NO_CONSENT, now + SELDOM) if phone.no_consent else None


def _wrong_number(task: CallTask, phone: Phone, facts: Facts, now: datetime) -> Wait | None:
    return Wait(Reason.WRONG_NUMBER, now + SELDOM) if phone.number in task.wrong else None


def _same_client(task: CallTask, phone: Phone, facts: Facts, now: datetime) -> Wait | None:
    return Wait(Reason.SAME_CLIENT, now + LATER) if phone.number in task.called_now else None


def _client_hours(task: CallTask, phone: Phone, facts: Facts, now: datetime) -> Wait | None:
    opens = facts.limits.opens(phone.number, phone.zone, now)
    return None if opens is None else Wait(Reason.CLIENT_HOURS, opens)


def _budget(task: CallTask, phone: Phone, facts: Facts, now: datetime) -> Wait | None:
    calls = task.history.get(phone.number, ())
    rested = facts.limits.rested(phone.number, phone.zone, calls, now)
    return None if rested is None else Wait(Reason.BUDGET, rested)


#: Reasons that do not pass with time.
_FOR_GOOD = frozenset({Reason.DO_NOT_CALL, Reason.NO_CONSENT, Reason.WRONG_NUMBER})


PhoneRule = Callable[[CallTask, Phone, Facts, datetime], Wait | None]


OF_PHONES: Mapping[Reason, PhoneRule] = {
    Reason.DO_NOT_CALL: _do_not_call,
    Reason.NO_CONSENT: _no_consent,
    Reason.WRONG_NUMBER: _wrong_number,
    Reason.SAME_CLIENT: _same_client,
    Reason.CLIENT_HOURS: _client_hours,
    Reason.BUDGET: _budget,
}


def about_phone(task: CallTask, phone: Phone, facts: Facts, now: datetime) -> Wait | None:
    """The first refusal for this number; None: it may be dialled."""
    for rule in OF_PHONES.values():
        if (refusal := rule(task, phone, facts, now)) is not None:
            return refusal
    return None


def _client(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """If no number may be dialled: the refusal of the one that may be dialled first."""
    results = [about_phone(task, phone, facts, now) for phone in task.phones]
    refusals = [result for result in results if result is not None]
    if len(refusals) < len(results):
        return None
    # A refusal that passes with time comes before one that does not.
    passing = [refusal for refusal in refusals if refusal.reason not in _FOR_GOOD]
    return min(passing or refusals, key=lambda refusal: refusal.until)


def _hours(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    opens = facts.hours.opens(now)
    return None if opens is None else Wait(Reason.HOURS, opens)


# The means.


def _store_moved(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return None if facts.store_ok else Wait(Reason.STORE_MOVED, now + LATER)


def _spool_refuses(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return None if facts.spool_ok else Wait(Reason.SPOOL_REFUSES, now + SOON)


def portal_silent(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return None if facts.portal_ok else Wait(Reason.PORTAL_SILENT, now + LATER)


def _pbx_silent(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return None if facts.pbx_ok else Wait(Reason.PBX_SILENT, now + SOON)


def _dialplan(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return None if facts.dialplan_ok else Wait(Reason.DIALPLAN, now + SOON)


def nobody_at_work(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    return None if facts.at_work_here else Wait(Reason.NOBODY_AT_WORK, now + SOON)


def _operators_busy(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    some = facts.free_here(now) > 0 or _may_overdial(facts)
    return None if some else Wait(Reason.OPERATORS_BUSY, now + SOON)


def _may_overdial(facts: Facts) -> bool:
    """Whether a call of any purpose may be placed without a reserved operator."""
    return any(facts.overdial.values())


def _overdial(task: CallTask, facts: Facts) -> int:
    """How many such calls may be placed for the task's purpose."""
    return facts.overdial.get(EVERY, facts.overdial.get(task.purpose, 0))


def _abandoned(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """Too many abandoned calls: an operator is kept free if several are at work."""
    spare = one_to_spare(facts, now) or _may_overdial(facts)
    return None if spare else Wait(Reason.ABANDONED, now + SOON)


def one_to_spare(facts: Facts, now: datetime) -> bool:
    """Whether an operator may be reserved, given the number to keep free."""
    keep = facts.reserve_operators
    return facts.free_here(now) > keep or facts.at_work_here <= keep


def _responsible_busy(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """For a while a task waits for its responsible, if they are at work."""
    assert task.due is not None
    until = task.due + facts.wait_for_responsible
    whose = responsible_for(task, facts.stand_ins)
    responsible = facts.by_id.get(whose)
    busy = responsible is not None and responsible.at_work and not responsible.free(now)
    waits = busy and now < until
    return Wait(Reason.RESPONSIBLE_BUSY, min(until, now + 2 * SOON)) if waits else None


def _other_node(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """The operator who is to take this task is free, at a phone of another node: that one dials."""
    operator = first_free(task, facts, now)
    there = operator is not None and operator.elsewhere
    return Wait(Reason.OTHER_NODE, now + 2 * SOON) if there else None


def _not_for_others(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """No operator who may take this task is free, or may be dialled ahead for."""
    ahead = _overdial(task, facts) > 0
    if not ahead and not facts.free_here(now):
        return Wait(Reason.OPERATORS_BUSY, now + SOON)  # only other purposes may be dialled ahead
    if not ahead and not one_to_spare(facts, now):
        return Wait(Reason.ABANDONED, now + SOON)
    operator = first_free(task, facts, now) or (first_in_line(task, facts) if ahead else None)
    if operator is not None:
        return None
    return Wait(Reason.NOT_FOR_OTHERS, now + 2 * SOON)


def _trunks_full(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    full = facts.calls >= facts.max_calls or not any(facts.routes.values())
    return Wait(Reason.TRUNKS_FULL, now + SOON) if full else None


def _no_route(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    """The trunks and caller IDs of this purpose are used up; other tasks may be dialled."""
    return None if routes(task, facts) else Wait(Reason.NO_ROUTE, now + 2 * SOON)


def routes(task: CallTask, facts: Facts) -> tuple[Route, ...]:
    return facts.routes[task.purpose if task.purpose in facts.routes else ""]


def _pace(task: CallTask, facts: Facts, now: datetime) -> Refusal | None:
    start = facts.next_start
    return Wait(Reason.PACE, start) if start is not None and start > now else None


Rule = Callable[[CallTask, Facts, datetime], Refusal | None]


#: Rules of the task, site and client; checked when planning, and again at the claim.
#: (None: the rules about each number, ``OF_PHONES``.)
RULES: Sequence[tuple[Reason | None, Rule]] = (
    (Reason.CLOSED, _closed),
    (Reason.FINISHED, _finished),
    (Reason.NO_PHONE, _no_phone),
    (Reason.NO_DEADLINE, _no_deadline),
    (Reason.ENOUGH, _enough),
    (Reason.IN_PROGRESS, _in_progress),
    (Reason.NOT_DUE, _not_due),
    (Reason.CONFIRM, _confirm),
    (Reason.PAUSED, _paused),
    (Reason.RULES_UNREADABLE, _rules_unreadable),
    (None, _client),
    (Reason.HOURS, _hours),
)


#: Rules of what a call needs; checked when a task is decided on, some again at the claim.
MEANS: Sequence[tuple[Reason, Rule]] = (
    (Reason.STORE_MOVED, _store_moved),
    (Reason.SPOOL_REFUSES, _spool_refuses),
    (Reason.PORTAL_SILENT, portal_silent),
    (Reason.PBX_SILENT, _pbx_silent),
    (Reason.DIALPLAN, _dialplan),
    (Reason.NOBODY_AT_WORK, nobody_at_work),
    (Reason.OPERATORS_BUSY, _operators_busy),
    (Reason.ABANDONED, _abandoned),
    (Reason.RESPONSIBLE_BUSY, _responsible_busy),
    (Reason.OTHER_NODE, _other_node),
    (Reason.NOT_FOR_OTHERS, _not_for_others),
    (Reason.TRUNKS_FULL, _trunks_full),
    (Reason.NO_ROUTE, _no_route),
    (Reason.PACE, _pace),
)


#: Reasons that apply to every task alike: after one of them no other task need be checked.
GENERAL = frozenset(
    {
        Reason.PAUSED, Reason.RULES_UNREADABLE, Reason.STORE_MOVED, Reason.SPOOL_REFUSES,
        Reason.PORTAL_SILENT, Reason.PBX_SILENT, Reason.DIALPLAN,
        Reason.NOBODY_AT_WORK, Reason.OPERATORS_BUSY, Reason.ABANDONED, Reason.TRUNKS_FULL,
        Reason.PACE,
    }
)  # fmt: skip
