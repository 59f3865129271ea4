"""
The reporter: pays what is owed to the portal, in the order it arose.

A debt is marked before it is sent. After a crash or a lost answer a doubtful one is verified
first, so nothing is said twice. Passing trouble stops the whole queue until later; a refusal
parks one debt for a person, and the queue goes on.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import define, field
from twisted.logger import Logger

from autodial import texts
from autodial.config import Config
from autodial.model import OperatorId, Outcome
from autodial.roster import Roster
from autodial.store import outbox
from autodial.store.database import Store
from autodial.store.outbox import Debt, to_the_minute
from bitrix24 import (
    AnswerLost,
    Portal,
    PortalDenied,
    PortalError,
    PortalRefused,
    PortalUnavailable,
)

#: Pauses after passing trouble, in seconds; the last one repeats.
PAUSES = (2.0, 5.0, 15.0, 60.0)

#: So many answers to one debt that we do not understand, and a debt is put aside for a person.
STRANGE = 5

#: How the portal files a call. 304 would light the missed-call counters for an operator's miss.
FINISH_CODES = {
    Outcome.TALKED.value: "200",
    Outcome.CLIENT_LEFT.value: "603-S",
    Outcome.OPERATOR_MISSED.value: "480",
}


@define(eq=False)
class Reporter:
    """Pays the debts of one dialler to one portal."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    roster: Roster
    now: Callable[[], datetime]
    not_before: datetime | None = field(default=None, init=False)
    stopping: bool = field(default=False, init=False)
    _troubles: int = field(default=0, init=False)
    #: Answers we did not understand, by debt; an outage of the portal is not counted here.
    _strange: dict[int, int] = field(factory=dict, init=False)
    _line_ensured: bool = field(default=False, init=False)

    async def turn(self) -> None:
        """Pay until nothing is owed, or until the portal is in trouble."""
        if self.not_before is not None and self.now() < self.not_before:
            return
        while not self.stopping and (debt := await self.store.run(outbox.next_debt)) is not None:
            try:
                await self._pay(debt)
            except AnswerLost as error:
                self._pause(error)  # stays "sending": doubtful
                return
            except PortalUnavailable as error:
                if not debt.doubtful:
                    await self.store.run(outbox.not_sent, debt)
                self._pause(error)
                return
            except PortalDenied as error:
                # Not this debt is wrong but the webhook: all of them wait for a person.
                self.log.error("the portal refuses us: {error}", error=error)
                if not debt.doubtful:
                    await self.store.run(outbox.not_sent, debt)
                self._pause(error)
                return
            except PortalRefused as error:
                self.log.error(
                    "{attempt}: the portal refuses {kind}: {error}",
                    attempt=debt.attempt,
                    kind=debt.kind,
                    error=error,
                )
                await self.store.run(outbox.park, debt, str(error), self.now())
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                # An answer of a shape that we do not know: perhaps of this debt alone.
                self.log.failure("{attempt}: {kind}", attempt=debt.attempt, kind=debt.kind)
                self._strange[debt.id] = self._strange.get(debt.id, 0) + 1
                if self._strange[debt.id] < STRANGE:
                    self._pause(AnswerLost("an answer we do not understand"))
                    return
                why = "answers we do not understand, see the log"
                await self.store.run(outbox.park, debt, why, self.now())
            self._troubles = 0

    def _pause(self, error: PortalError) -> None:
        seconds = PAUSES[min(self._troubles, len(PAUSES) - 1)]
        self._troubles += 1
        self.not_before = self.now() + timedelta(seconds=seconds)
        self.log.warn("portal: {error}; again in {seconds} s", error=error, seconds=seconds)

    async def _pay(self, debt: Debt) -> None:
        match debt.kind:
            case "register":
                await self._register(debt)
            case "move":
                await self._move(debt)
            case "finish":
                await self._finish(debt)
            case "task":
                await self._task(debt)
            case "comment":
                await self._comment(debt)
            case _:
                await self.store.run(outbox.park, debt, "unknown kind", self.now())

    async def _register(self, debt: Debt) -> None:
        """Safe to repeat: the portal knows the attempt's id."""
        portal = self.config.portal
        if not self._line_ensured:
            await self.portal.ensure_line(portal.line, portal.line_name)
            self._line_ensured = True
        call_id = await self.portal.register_call(
            external_id=debt.attempt,
            user=debt.payload["user"],
            phone=debt.number,
            started=datetime.fromisoformat(debt.payload["at"]),
            line=portal.line,
            incoming=portal.call_type == "incoming",
            show=not debt.ended,  # a card for a call that is over would only confuse
            client=debt.entity,
        )
        await self.store.run(outbox.paid, debt, self.now(), call_id=call_id)

    async def _move(self, debt: Debt) -> None:
        """The call rings at another operator: his card up, the others' down."""
        if debt.call_id is not None and not debt.ended:
            before = [o for o in await self.store.run(outbox.shown_to, debt) if o != debt.target]
            for user in before:
                await self.portal.hide_call(debt.call_id, user)
            await self.portal.show_call(debt.call_id, debt.target)
        await self.store.run(outbox.paid, debt, self.now())

    async def _finish(self, debt: Debt) -> None:
        if debt.call_id is not None:  # None: its registration was refused for good
            await self.portal.finish_call(
                debt.call_id,
                user=debt.payload["user"],
                seconds=debt.payload["seconds"],
                code=FINISH_CODES.get(debt.payload["outcome"], "OTHER"),
            )
        await self.store.run(outbox.paid, debt, self.now())

    async def _task(self, debt: Debt) -> None:
        """
        Absolute values: safe to repeat. A task that is gone wants nothing any more, and a deadline
        that a person has moved since stays his: the importer will take it over.
        """
        given = debt.payload.get("deadline")
        deadline = to_the_minute(datetime.fromisoformat(given)) if given else None
        task = await self.portal.task(debt.task)
        if task is not None and task.deadline not in (debt.portal_deadline, deadline):
            deadline = None
        if task is not None:
            responsible = debt.payload.get("responsible")
            await self.portal.update_task(task, deadline=deadline, responsible=responsible)
        await self.store.run(outbox.paid, debt, self.now(), deadline=deadline)

    async def _comment(self, debt: Debt) -> None:
        """Not safe to repeat: each comment carries its attempt, and is looked for if in doubt."""
        marker = f"[{debt.attempt}]"
        if not (debt.doubtful and await self.portal.has_comment(debt.task, marker)):
            await self.portal.add_comment(debt.task, f"{self._words(debt)} {marker}")
        await self.store.run(outbox.paid, debt, self.now())

    def _words(self, debt: Debt) -> str:
        said, language = debt.payload, self.config.language
        detail = ""
        if said["outcome"] == Outcome.TALKED.value:
            operator = self.roster.by_id(OperatorId(said["user"]))
            name = operator.name if operator else str(said["user"])
            detail = texts.text("comment.talked", language, operator=name, seconds=said["seconds"])
        if said["next"]:
            when = datetime.fromisoformat(said["next"]).astimezone(ZoneInfo(self.config.hours.zone))
            following = texts.text("comment.again", language, when=f"{when:%d.%m.%Y %H:%M}")
        else:
            following = texts.text("comment.done", language)
        return texts.text(
            "comment",
            language,
            number=debt.number,
            outcome=texts.text(said["outcome"], language),
            detail=detail,
            next=following,
        )
