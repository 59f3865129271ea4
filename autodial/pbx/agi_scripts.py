"""
The AGI scripts, one coroutine each. Variable names of the dialplan are only here.

Each script answers in one batch: one write, all replies, no further round trip.
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from autodial.engine.attempt_ends import AttemptEnds
from autodial.engine.call_control import CallControl, Claimed
from autodial.engine.engine import Engine
from autodial.engine.operator_codes import OperatorCodes
from autodial.engine.test_calls import ECHO, TestCalls, is_test
from autodial.errors import StoreError
from autodial.model.attempt import Report
from autodial.model.ids import TaskId, attempt_id
from autodial.rules.hangup import parse_report
from autodial.store import flags
from fastagi_server import AgiSession, RateLimitedLog, Script, Tickets, command, set_variables

_log = Logger()

Aside = Callable[[Callable[[], None]], object]

#: The scripts that take a ticket, and which argument it is.
TICKETS = {"resolve": 1}
#: Most deletions sent with one answer; the rest goes with the next.
DELETIONS = 20


@define
class AstDb:
    """Reports kept in AstDB that are recorded in the store by now, to be deleted from AstDB."""

    recorded: set[str] = field(factory=set)

    def deletions(self) -> list[bytes]:
        """Commands for the next answer; a key that is seen again is deleted again."""
        attempts = [self.recorded.pop() for _ in range(min(DELETIONS, len(self.recorded)))]
        return [command("DATABASE DEL", "autodial", attempt) for attempt in attempts]


async def claim(
    call: AgiSession, engine: Engine, astdb: AstDb, language: str, tickets: Tickets
) -> None:
    """``AGI(…/claim,AD_ID,number,AD_TASK)``: may this client be dialled?"""
    name, number, task = call.argument(0), call.argument(1), call.argument(2)
    attempt = attempt_id(name)
    claimed: Claimed | None = None
    if attempt is not None:
        claimed = await engine.call_control.claim(attempt)
    elif name:
        _log.warn("{attempt}: claimed, and no attempt's name", attempt=name)
    elif re.fullmatch(r"[0-9]{1,12}", task):
        claimed = await engine.call_control.claim_task(TaskId(int(task)), number)
        if claimed is not None and not call.alive:
            # The answer cannot be delivered, and this channel does not have its attempt's id.
            await engine.ends.record(claimed.attempt.id, Report(stage="claimfail"))
            return
    else:
        _log.warn(
            "{task}: a call file names this as its task; a task is a number", task=task or "nothing"
        )
    if claimed is None:
        await call.batch(set_variables({"AD_GO": "0"}), *astdb.deletions())
        return
    engine.calls.set_leg(claimed.attempt.id, call.environment.variables.get("channel", ""))
    await call.batch(
        # Text that a person typed goes by SET VARIABLE, which carries any text.
        command("SET VARIABLE", "AD_TAG", claimed.ring.caller_name),
        set_variables(
            {
                "AD_ID": claimed.attempt.id,
                "AD_TASK": str(claimed.attempt.task),
                "AD_NUM": claimed.number,
                "AD_DTMF": claimed.attempt.dtmf,
                "AD_TONES": claimed.attempt.dtmf,  # for a dialplan that was not replaced yet
                "AD_TO": str(claimed.wait),
                "AD_TRUNKS": ":".join(route.trunk for route in claimed.routes),
                "AD_CIDS": ":".join(route.caller_id for route in claimed.routes),
                "AD_LINES": ":".join(
                    "" if limit is None else str(limit) for limit in claimed.lines
                ),
                "AD_OPS": ":".join(claimed.ring.extensions),
                "AD_OPTO": str(claimed.ring.seconds),
                "AD_LANG": language,
                # For hooks. A name that the dialplan would not take for plain text is left out.
                "AD_PURPOSE": _plain(claimed.attempt.purpose),
                "AD_KEY": tickets.issue(),
                "AD_GO": "1",  # last: if a command is lost, the claim must not look granted
            }
        ),
        *astdb.deletions(),
    )


def _plain(purpose: str) -> str:
    return purpose if re.fullmatch("[A-Za-z0-9_-]*", purpose) else ""


async def resolve(call: AgiSession, call_control: CallControl, aside: Aside) -> None:
    """``AGI(…/resolve,AD_ID,AD_KEY)``: the client has answered; whom to ring?"""
    attempt = attempt_id(call.argument(0))
    ring = call_control.whom_to_ring(attempt) if attempt is not None else None
    if attempt is None or ring is None:
        # No reply: the dialplan falls back on the values of the claim.
        _log.warn("{attempt}: answered, but unknown here", attempt=call.argument(0))
        return
    try:
        await call.batch(
            command("SET VARIABLE", "CALLERID(name)", ring.caller_name),
            set_variables(
                {
                    "AD_OPS": ":".join(ring.extensions),
                    "AD_OPTO": str(ring.seconds),
                    **({} if ring.alert is None else {"__AD_ALERT": ring.alert}),
                    "AD_RING": "1",
                    "AD_OK": "1",
                }
            ),
        )
    finally:  # the phone rings, whether or not the reply has come
        if ring.extensions:
            aside(partial(call_control.write_ringing, attempt, ring.extensions[0]))


async def ringing(call: AgiSession, call_control: CallControl, aside: Aside) -> None:
    """
    ``AGI(…/ringing,AD_ID,extension)``: may this operator's phone ring, now that the ones before it
    did not take the call? Sets AD_RING to 1 or 0, and what the phone shows.
    """
    attempt = attempt_id(call.argument(0))
    if attempt is None:
        return
    extension = call.argument(1)
    ringing = call_control.ringing(attempt, extension)
    if ringing is None:  # the dialplan goes by its lock
        aside(partial(call_control.write_ringing, attempt, extension))
        return
    shown: list[bytes] = []
    alert: str | None = None
    if ringing.look is not None:
        name, alert = ringing.look
        shown = [command("SET VARIABLE", "CALLERID(name)", name)]
    variables = {} if alert is None else {"__AD_ALERT": alert}
    allowed = {"AD_RING": "1" if ringing.allowed else "0"}
    try:
        await call.batch(*shown, set_variables({**variables, **allowed}))
    finally:
        if ringing.allowed:
            aside(partial(call_control.write_ringing, attempt, extension))


async def forwards(call: AgiSession, call_control: CallControl) -> None:
    """
    ``AGI(…/forwards,AD_ID,extension)``: this operator's phone forwards its calls, and the
    dialplan does not follow the forward.
    """
    attempt = attempt_id(call.argument(0))
    if attempt is not None:
        call_control.forwards(attempt, call.argument(1))


async def result(call: AgiSession, engine: Engine, astdb: AstDb) -> None:
    """``AGI(…/result,AD_ID,report…)``: the attempt is over. Acknowledged once it is on disk."""
    attempt, report = attempt_id(call.argument(0)), parse_report(call.arguments[1:])
    if attempt is None:
        _log.warn("{attempt}: an end is reported of no attempt", attempt=call.argument(0))
        await call.batch(set_variables({"AD_ACK": "1"}))  # it need not stay in AstDB
        return
    if not await engine.ends.possible(attempt):
        # Not acknowledged: the report stays in AstDB until the call has ended.
        _log.warn(
            "{attempt}: an end is reported, and Asterisk says the call goes on", attempt=attempt
        )
        return
    await engine.ends.record(attempt, report)
    await call.batch(set_variables({"AD_ACK": "1"}), *astdb.deletions())


async def spoolfail(call: AgiSession, ends: AttemptEnds) -> None:
    """``AGI(…/spoolfail,AD_ID,REASON)``: Asterisk could not place the call. Only a hint."""
    attempt = attempt_id(call.argument(0))
    if attempt is not None:
        await ends.spool_failed(attempt)


async def call_now(call: AgiSession, codes: OperatorCodes) -> None:
    """
    ``AGI(…/call-now,extension,task)``: confirmation of a task, dialled on an operator's phone;
    sets AD_SAID to 1 or 0.
    """
    extension, task = call.argument(0), call.argument(1)
    accepted = bool(re.fullmatch(r"[0-9]{1,12}", task)) and await codes.call_now(
        extension, TaskId(int(task))
    )
    await call.batch(set_variables({"AD_SAID": str(int(accepted))}))


async def pause(call: AgiSession, codes: OperatorCodes, on: bool) -> None:
    """``AGI(…/pause,extension)``, ``/resume``: for an operator; sets AD_SAID to 1 or 0."""
    accepted = await codes.pause(call.argument(0), on=on)
    await call.batch(set_variables({"AD_SAID": str(int(accepted))}))


async def disposition(call: AgiSession, codes: OperatorCodes) -> None:
    """``AGI(…/disposition,extension,code)``: of an operator's last talk; sets AD_SAID to 1 or 0."""
    accepted = await codes.dispose(call.argument(0), call.argument(1))
    await call.batch(set_variables({"AD_SAID": str(int(accepted))}))


async def check(call: AgiSession, engine: Engine) -> None:
    """``AGI(…/check,number)``: "autodial doctor" had Asterisk ask. Sets AD_PONG."""
    number = call.argument(0)
    if re.fullmatch(r"[0-9]{10}", number):
        await engine.store.run(flags.tell, engine.now(), flags.CHECKED, number)
    await call.batch(set_variables({"AD_PONG": "1"}))


async def ping(call: AgiSession) -> None:
    """``AGI(…/ping)``: sets AD_PONG, to test the connection."""
    await call.batch(set_variables({"AD_PONG": "1"}))


def _or_test(script: Script, test: Callable[[AgiSession], Awaitable[None]]) -> Script:
    """``script``, or ``test`` for the name of a test call."""

    async def run(call: AgiSession) -> None:
        if is_test(call.argument(0)):
            await test(call)
        else:
            await script(call)

    return run


async def test_claim(call: AgiSession, tests: TestCalls, language: str, tickets: Tickets) -> None:
    """``AGI(…/claim,test-…)``: dial the number of the test, or nobody."""
    name = call.argument(0)
    test = await tests.claim(name)
    if test is None:
        await call.batch(set_variables({"AD_GO": "0"}))
        return
    await tests.note(name, "claimed", "" if test.dry else test.number)
    asterisk = tests.config.asterisk
    await call.batch(
        set_variables(
            {
                "AD_NUM": tests.number(test),
                "AD_DTMF": test.dtmf,
                "AD_TO": str(asterisk.ring_client),
                "AD_TRUNKS": ":".join(trunk.name for trunk in asterisk.trunks),
                "AD_CIDS": "",
                "AD_LINES": "",
                **({"AD_VIA": ECHO} if test.dry else {}),
                "AD_OPS": test.extension,
                "AD_OPTO": str(asterisk.ring_operator),
                "AD_LANG": language,
                "AD_KEY": tickets.issue(),
                "AD_GO": "1",
            }
        )
    )


async def test_resolve(call: AgiSession, tests: TestCalls) -> None:
    """``AGI(…/resolve,test-…)``: the client of the test has answered."""
    name = call.argument(0)
    test = tests.under_way(name)
    if test is None:
        return
    await tests.note(name, "answered")
    await call.batch(
        command("SET VARIABLE", "CALLERID(name)", f"TEST {test.number}"),
        set_variables(
            {
                "AD_OPS": test.extension,
                "AD_OPTO": str(tests.config.asterisk.ring_operator),
                "AD_RING": "1",
                "AD_OK": "1",
            }
        ),
    )


async def test_result(call: AgiSession, tests: TestCalls) -> None:
    """``AGI(…/result,test-…)``: the test is over."""
    await tests.ended(call.argument(0), parse_report(call.arguments[1:]))
    await call.batch(set_variables({"AD_ACK": "1"}))


def _guarded(script: Script, limited_log: RateLimitedLog) -> Script:
    """
    On a store error (a full disk) the reason is logged without a traceback, and the dialplan gets
    no answer; it has a branch for that.
    """

    async def run(call: AgiSession) -> None:
        try:
            await script(call)
        except StoreError as error:
            limited_log.error("{error}", error=error)

    return run


def scripts(
    engine: Engine,
    astdb: AstDb,
    language: str,
    clock: IReactorTime,
    tickets: Tickets,
    aside: Aside = lambda work: work(),
) -> dict[str, Script]:
    """The routing table of the FastAGI server; ``aside`` runs, in order, what may come later."""
    control, codes, tests = engine.call_control, engine.codes, engine.test_calls
    table: dict[str, Callable[..., object]] = {
        "claim": _or_test(
            partial(claim, engine=engine, astdb=astdb, language=language, tickets=tickets),
            partial(test_claim, tests=tests, language=language, tickets=tickets),
        ),
        "resolve": _or_test(
            partial(resolve, call_control=control, aside=aside),
            partial(test_resolve, tests=tests),
        ),
        "ringing": partial(ringing, call_control=control, aside=aside),
        "forwards": partial(forwards, call_control=control),
        "result": _or_test(
            partial(result, engine=engine, astdb=astdb), partial(test_result, tests=tests)
        ),
        "spoolfail": partial(spoolfail, ends=engine.ends),
        "call-now": partial(call_now, codes=codes),
        "pause": partial(pause, codes=codes, on=True),
        "resume": partial(pause, codes=codes, on=False),
        "disposition": partial(disposition, codes=codes),
        "word": partial(disposition, codes=codes),  # its name in the dialplan of earlier versions
        "check": partial(check, engine=engine),
        "ping": ping,
    }
    limited_log = RateLimitedLog(_log, clock)
    return {
        name: _guarded(script, limited_log)  # type: ignore[arg-type]  # partial hides its type
        for name, script in table.items()
    }
