"""What people do on the board: each act by its role, and through ``store/acts``."""

from collections.abc import Callable
from datetime import date, datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from attrs import define, field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from autodial.board.access import Access
from autodial.board.pages import only_his
from autodial.board.showing import Showing, to
from autodial.coroutines import run_now
from autodial.model.act import Act, Actor
from autodial.model.ids import OperatorId, TaskId
from autodial.moments import moment_of
from autodial.portal.client import portal_of
from autodial.store import acts, pauses, planning, views
from autodial.store.accounts import Session
from bitrix24 import PortalError

Change = Callable[[sa.Connection], object]
#: The longest reason, in characters.
LONGEST_REASON = 200


@define(eq=False)
class Buttons:
    """Forms of one door."""

    access: Access
    showing: Showing = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.showing = self.access.showing

    async def of_task(self, request: Request, session: Session) -> Response:
        form = await self.access.checked(request, session)
        task = TaskId(request.path_params["task"])
        by, now = self.access.actor(session), self.showing.now()
        why = form.get("why", "")[:LONGEST_REASON]
        await self._his_task(task, session)
        match request.path_params["act"]:
            case "call-now":
                await self._do(Act.CALL_NOW, session, lambda db: acts.call_now(db, task, by, now))
            case "skip":
                await self._do(Act.SKIP, session, lambda db: acts.skip(db, task, by, now, why))
            case "unskip":
                await self._do(Act.UNSKIP, session, lambda db: acts.unskip(db, task, by, now))
            case "never":
                await self._never(task, session, by, why, confirmed=form.get("sure") == "1")
            case "postpone":
                await self._postpone(task, session, by, form.get("until", ""))
            case _:
                raise HTTPException(404)
        return to(request, f"/tasks/{task}")

    async def of_operator(self, request: Request, session: Session) -> Response:
        """Number 0: everybody."""
        form = await self.access.checked(request, session)
        who = OperatorId(request.path_params["operator"])
        by, now = self.access.actor(session), self.showing.now()
        why = form.get("why", "")[:LONGEST_REASON]
        only_his(session, who)
        if who != pauses.EVERYBODY or request.path_params["act"] not in ("pause", "resume"):
            await self._known(who)
        match request.path_params["act"]:
            case "pause":
                until = self._until(form.get("until", ""))
                await self._do(
                    Act.PAUSE, session, lambda db: acts.pause(db, who, by, now, why, until)
                )
            case "resume":
                # (Two managers may do the same.)
                self.access.allowed(Act.RESUME, session)
                await self.showing.change(lambda db: acts.resume(db, who, by, now))
            case "hand-over":
                text = form.get("to", "")
                if not (text.isascii() and text.isdigit() and len(text) < 15):
                    raise HTTPException(400)
                stand_in = OperatorId(int(text))
                await self._known(stand_in)
                until = self._until(form.get("until", ""))
                if stand_in == who:
                    raise HTTPException(400, "Nobody stands in for himself")
                await self._do(
                    Act.HAND_OVER, session,
                    lambda db: acts.hand_over(db, who, stand_in, by, now, until),
                )  # fmt: skip
            case "take-back":
                self.access.allowed(Act.TAKE_BACK, session)
                await self.showing.change(lambda db: acts.take_back(db, who, by, now))
            case _:
                raise HTTPException(404)
        return to(request, f"/operators/{who}" if form.get("to-page") == "operator" else "/")

    async def of_purpose(self, request: Request, session: Session) -> Response:
        """Nobody is called for a purpose, or people are again."""
        form = await self.access.checked(request, session)
        by, now = self.access.actor(session), self.showing.now()
        purpose, why = form.get("purpose", ""), form.get("why", "")[:LONGEST_REASON]
        if purpose not in {one.name for one in self.showing.config.purposes}:
            raise HTTPException(404)
        if request.path_params["act"] == "pause":
            until = self._until(form.get("until", ""))
            await self._do(
                Act.PAUSE, session,
                lambda db: acts.pause_purpose(db, purpose, by, now, why, until),
            )  # fmt: skip
        elif request.path_params["act"] == "resume":
            self.access.allowed(Act.RESUME, session)
            await self.showing.change(lambda db: acts.resume_purpose(db, purpose, by, now))
        else:
            raise HTTPException(404)
        return to(request, "/settings")

    async def of_list(self, request: Request, session: Session) -> Response:
        """A number is taken off the do-not-call list."""
        form = await self.access.checked(request, session)
        number, by, now = (
            form.get("number", "")[:20],
            self.access.actor(session),
            self.showing.now(),
        )
        await self._do(Act.MAY_CALL, session, lambda db: bool(acts.call_again(db, number, by, now)))
        return to(request, "/never")

    async def of_calendar(self, request: Request, session: Session) -> Response:
        """A day off, or a working day again."""
        form = await self.access.checked(request, session)
        by, now = self.access.actor(session), self.showing.now()
        try:
            day = date.fromisoformat(form.get("day", ""))
        except ValueError:
            raise HTTPException(400, "This is no time to come") from None
        if form.get("off") == "1":
            why = form.get("why", "")[:LONGEST_REASON]
            await self._do(Act.DAY_OFF, session, lambda db: acts.add_day_off(db, day, by, now, why))
        else:
            await self._do(
                Act.WORKING_DAY, session, lambda db: acts.remove_day_off(db, day, by, now)
            )
        return to(request, "/settings")

    async def of_dialler(self, request: Request, session: Session) -> Response:
        """The administrator's: dead letters, and the settings."""
        form = await self.access.checked(request, session)
        by, now = self.access.actor(session), self.showing.now()
        match request.path_params["act"]:
            case "send-again":
                text = form.get("message", "")
                message = int(text) if text.isdecimal() and len(text) < 15 else 0
                await self._do(
                    Act.SEND_AGAIN, session,
                    lambda db: bool(acts.send_again(db, message, by, now)),
                )  # fmt: skip
            case "reload":
                # (The dialler reads the file that it was started with.)
                await self._do(
                    Act.RELOAD,
                    session,
                    lambda db: acts.reload(db, by, now, "", self.showing.config.node.name),
                )
            case _:
                raise HTTPException(404)
        return to(request, "/settings")

    async def _do(self, act: Act, session: Session, change: Change) -> None:
        """
        Raises:
            HTTPException: the role does not allow it, or there is nothing to change.
        """
        self.access.allowed(act, session)
        if await self.showing.change(change) is False:
            raise HTTPException(409, "The task is not open, or that is done already")

    async def _his_task(self, task: TaskId, session: Session) -> None:
        known = await self.showing.ask(lambda db: planning.load_task(db, task))
        if known is not None:
            only_his(session, known.responsible)

    async def _known(self, operator: OperatorId) -> None:
        staff = await self.showing.ask(views.operator_lines)
        if not any(operator == one.id for one in staff):
            raise HTTPException(404)

    async def _never(
        self, task: TaskId, session: Session, by: Actor, why: str, *, confirmed: bool
    ) -> None:
        """All numbers of the task's clients."""
        if not confirmed:
            raise HTTPException(400, "Confirm that nobody will call this client again")
        now = self.showing.now()
        lines = await self.showing.ask(lambda db: views.number_lines(db, task))
        numbers = [line.number for line in lines]

        def add(db: sa.Connection) -> bool:
            added = [acts.never_call(db, number, by, now, why) for number in numbers]
            return any(added)

        await self._do(Act.NEVER_CALL, session, add)
        await run_in_threadpool(self.showing.tell_never, numbers, why)

    async def _postpone(self, task: TaskId, session: Session, by: Actor, text: str) -> None:
        """The deadline is the portal's: it is moved there, and the next poll brings it."""
        self.access.allowed(Act.POSTPONE, session)
        at, config = self._until(text), self.showing.config
        if at is None:
            raise HTTPException(400, "This is no time to come")

        def move() -> bool:
            portal = portal_of(config)
            known = run_now(portal.task(task))
            if known is not None:
                run_now(portal.move_deadline(known, at))
            return known is not None

        try:
            moved = await run_in_threadpool(move)
        except PortalError as error:
            raise HTTPException(502, "The portal does not do it now: try again") from error
        if not moved:
            raise HTTPException(404)
        now = self.showing.now()
        await self.showing.change(lambda db: acts.postponed(db, task, at, by, now))

    def _until(self, text: str) -> datetime | None:
        """
        A moment to come, in [hours] zone, or none.

        Raises:
            HTTPException: no such time, or it has passed.
        """
        if not text:
            return None
        now = self.showing.now()
        try:
            moment = moment_of(text[:40], ZoneInfo(self.showing.config.hours.zone), now)
        except ValueError:
            raise HTTPException(400, "This is no time to come") from None
        if moment <= now:
            raise HTTPException(400, "This is no time to come")
        return moment
