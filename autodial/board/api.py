"""
The board's HTTP API, for reports and robots of others: what the pages show and do, as JSON. Its
description (OpenAPI) is made from this code. A program has a token with a role, as a person has.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from attrs import define, frozen
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from autodial.board.access import Limited
from autodial.board.days import Days
from autodial.board.figures import Figures
from autodial.board.pages import Pages
from autodial.board.showing import Showing
from autodial.engine import status_queries
from autodial.errors import StoreError
from autodial.model.act import Act, Actor, Door
from autodial.model.ids import OperatorId, TaskId
from autodial.model.role import Role, may
from autodial.rules.dial_facts import Dial, Wait
from autodial.rules.phone_numbers import numbers_in
from autodial.rules.report import By
from autodial.store import acts, api_tokens, audit, dispositions, pauses, reports, views

#: Days of one report; rows of one list.
LONGEST, ROWS = 366, 1000
Number = Annotated[int, Path(ge=0, le=2**53)]
Reason = Annotated[str, Field(max_length=200)]


class Shape(BaseModel):
    """What is answered: made of the program's own values."""

    model_config = ConfigDict(from_attributes=True)


class Refused(BaseModel):
    """Why a request was not done."""

    detail: str


class OperatorNow(Shape):
    id: int
    name: str
    extension: str
    state: str = Field(description="free, reserved, talks, writes, paused, phone off, away …")


class LiveCall(Shape):
    attempt: str
    task: int
    client: str
    number: str = Field(description="E.164")
    operator: str
    state: str = Field(description="spooled, claimed (dialling), answered")
    since: datetime


class Now(BaseModel):
    running: bool
    asterisk: bool
    stalled: datetime | None
    everybody_paused: bool
    answered: int = Field(description="calls, within [pace] abandoned_over")
    abandoned_share: float
    dead_letters: int
    operators: list[OperatorNow]
    calls: list[LiveCall]
    waiting: dict[str, int] = Field(description="open tasks by the reason why they wait")


class Task(Shape):
    id: int
    title: str
    client: str
    due: datetime | None
    open: bool
    reason: str
    attempts: int
    last: str | None
    responsible: str


class Rule(BaseModel):
    reason: str
    holds: bool
    detail: str
    until: datetime | None


class TaskStory(BaseModel):
    id: int
    title: str
    due: datetime | None
    reason: str = Field(description="the rule that holds it, or dial")
    until: datetime | None
    rules: list[Rule]


class Call(Shape):
    at: datetime
    number: str
    client: str
    task: int | None
    attempt: str
    operator: str
    outcome: str
    talk_seconds: int | None
    abandoned: bool


class Sum(Shape):
    key: str
    calls: int
    answered: int
    talked: int
    abandoned: int
    talk_seconds: int
    mean_wait: float | None = Field(description="seconds from the client's answer to the talk")


class WorkTime(Shape):
    operator: int
    name: str
    extension: str
    came: datetime | None
    left: datetime | None
    at_work: float
    talks: int
    talked: float
    rung: float
    rest: float
    missed: int


class DoNotCall(Shape):
    number: str
    client: str
    at: datetime
    operator: str
    attempt: str
    why: str


class AuditLine(Shape):
    at: datetime
    who: str
    door: str
    act: str
    about: str
    detail: str


class Done(BaseModel):
    done: bool


class Why(BaseModel):
    why: Reason = ""


class Pause(Why):
    until: AwareDatetime | None = None


class Never(Why):
    number: str = Field(max_length=40)


@frozen
class Caller:
    """A program with a token."""

    name: str
    role: Role

    @property
    def actor(self) -> Actor:
        return Actor(self.name, Door.API)


_bearer = HTTPBearer(auto_error=False, description="autodial api-token add NAME")


@define(eq=False)
class Api:
    """The application that is mounted at ``/api``."""

    showing: Showing
    pages: Pages
    figures: Figures

    def application(self) -> FastAPI:
        app = FastAPI(
            title="Autodial24", version="1", openapi_url="/v1/openapi.json", docs_url=None,
            redoc_url=None, description=__doc__,
        )  # fmt: skip
        app.include_router(self._routes())
        app.add_middleware(Limited)

        @app.exception_handler(StoreError)
        async def _failed(request: Request, error: StoreError) -> JSONResponse:
            return JSONResponse({"detail": "the store cannot be read now"}, 503)

        return app

    def caller(
        self, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Caller:
        """Who asks; 401 without a token of ours."""
        found = None
        if given is not None:
            found = self.showing.store.read(lambda db: api_tokens.of(db, given.credentials))
        if found is None:
            raise HTTPException(401, "no valid token", {"WWW-Authenticate": "Bearer"})
        if found[1] is Role.OPERATOR:
            raise HTTPException(403, "the role does not allow it")
        return Caller(*found)

    def _routes(self) -> APIRouter:
        """(Functions without ``async`` run in threads: the store blocks.)"""
        answers: dict[int | str, dict[str, Any]] = {
            401: {"model": Refused}, 403: {"model": Refused}, 503: {"model": Refused},
        }  # fmt: skip
        missing: dict[int | str, dict[str, Any]] = {404: {"model": Refused}}
        unreadable: dict[int | str, dict[str, Any]] = {400: {"model": Refused}}
        router = APIRouter(prefix="/v1", dependencies=[Depends(self.caller)], responses=answers)
        get, post = router.get, router.post
        get("/now")(self.now)
        get("/tasks")(self.tasks)
        get("/tasks/{task}", responses=missing)(self.task)
        get("/calls", responses=unreadable)(self.calls)
        get("/report", responses=unreadable)(self.report)
        get("/work-times", responses=unreadable)(self.work_times)
        get("/do-not-call")(self.do_not_call)
        get("/log")(self.log)
        caller = Annotated[Caller, Depends(self.caller)]

        @post("/tasks/{task}/call-now")
        def call_now(task: Number, by: caller) -> Done:
            return self._do(by, Act.CALL_NOW, lambda db, now: acts.call_now(
                db, TaskId(task), by.actor, now))  # fmt: skip

        @post("/tasks/{task}/skip")
        def skip(task: Number, by: caller, body: Why) -> Done:
            return self._do(by, Act.SKIP, lambda db, now: acts.skip(
                db, TaskId(task), by.actor, now, body.why))  # fmt: skip

        @post("/tasks/{task}/unskip")
        def unskip(task: Number, by: caller) -> Done:
            return self._do(by, Act.UNSKIP, lambda db, now: acts.unskip(
                db, TaskId(task), by.actor, now))  # fmt: skip

        @post("/operators/{operator}/pause", responses=missing)
        def pause(operator: Number, by: caller, body: Pause) -> Done:
            """Of one operator; number 0: of everybody."""
            self._known(operator)
            return self._do(by, Act.PAUSE, lambda db, now: acts.pause(
                db, OperatorId(operator), by.actor, now, body.why, body.until))  # fmt: skip

        @post("/operators/{operator}/resume", responses=missing)
        def resume(operator: Number, by: caller) -> Done:
            self._known(operator)
            return self._do(by, Act.RESUME, lambda db, now: acts.resume(
                db, OperatorId(operator), by.actor, now))  # fmt: skip

        @post("/do-not-call", responses=unreadable)
        def never(by: caller, body: Never) -> Done:
            number = self._number(body.number)
            done = self._do(by, Act.NEVER_CALL, lambda db, now: acts.never_call(
                db, number, by.actor, now, body.why))  # fmt: skip
            if done.done:
                self.showing.tell_never([number], body.why)
            return done

        @router.delete("/do-not-call/{number}", responses=unreadable)
        def again(number: str, by: caller) -> Done:
            whole = self._number(number)
            return self._do(by, Act.MAY_CALL, lambda db, now: bool(acts.call_again(
                db, whole, by.actor, now)))  # fmt: skip

        return router

    # What is read.

    def now(self) -> Now:
        """The dialler at this moment."""
        now = self.pages.now()
        status = now.status
        return Now(
            running=status.running, asterisk=status.pbx, stalled=status.stalled,
            everybody_paused=status.everybody_paused, answered=status.answers.answered,
            abandoned_share=status.answers.rate, dead_letters=now.dead,
            operators=[
                OperatorNow(id=tile.operator.id, name=tile.operator.name,
                            extension=tile.operator.extension, state=tile.state)
                for tile in now.tiles
            ],
            calls=[LiveCall.model_validate(call) for call in now.calls],
            waiting=dict(now.waiting),
        )  # fmt: skip

    def tasks(
        self, late: bool = False, responsible: Annotated[int | None, Query(ge=0, le=2**53)] = None
    ) -> list[Task]:
        """The open tasks, earliest due first, at most a thousand."""
        at = self.showing.now() if late else None
        lines = self._ask(lambda db: views.task_lines(db, late_at=at, responsible=responsible))
        return [Task.model_validate(line) for line in lines[:ROWS]]

    def task(self, task: Number) -> TaskStory:
        """Why a task is, or is not, being dialled: each rule."""
        at = self.showing.now()
        why = self._ask(lambda db: status_queries.why(db, self.showing.config, TaskId(task), at))
        if why is None:
            raise HTTPException(404, "no such call task")
        decision = why.decision
        rules = [
            Rule(
                reason=look.reason.value, holds=look.refusal is not None, detail=look.detail,
                until=look.refusal.until if isinstance(look.refusal, Wait) else None,
            )
            for look in why.looks
        ]  # fmt: skip
        return TaskStory(
            id=why.task.id, title=why.task.title, due=why.task.due, rules=rules,
            reason="dial" if isinstance(decision, Dial) else decision.reason.value,
            until=decision.until if isinstance(decision, Wait) else None,
        )  # fmt: skip

    def calls(
        self, day: date | None = None, number: Annotated[str, Query(max_length=40)] = ""
    ) -> list[Call]:
        """The calls of a day, today without one; or all to whoever has a number."""
        if number:
            whole = self._number(number)
            lines = self._ask(lambda db: reports.calls_of_number(db, whole))
        else:
            days = self._days(day, day)
            lines = self._ask(lambda db: reports.calls_between(db, days.start, days.end, most=ROWS))
        return [Call.model_validate(line) for line in lines[:ROWS]]

    def report(
        self, by: By = By.HOUR, first: date | None = None, last: date | None = None
    ) -> list[Sum]:
        """Calls added up; without days: of today. The last row is the total."""
        sums = self.figures.of(self._days(first, last))[0][by.value]
        return [Sum.model_validate(one) for one in sums]

    def work_times(self, first: date | None = None, last: date | None = None) -> list[WorkTime]:
        """How operators spent their time, in seconds; without days: of today."""
        times = self.figures.of(self._days(first, last))[1]
        return [WorkTime.model_validate(time) for time in times]

    def do_not_call(self) -> list[DoNotCall]:
        """The clients who are not to be called, the latest first, at most a thousand."""
        lines = self._ask(dispositions.do_not_call_lines)
        return [DoNotCall.model_validate(line) for line in lines[:ROWS]]

    def log(self, days: Annotated[int, Query(ge=1, le=LONGEST)] = 7) -> list[AuditLine]:
        """Who did what, the latest first, at most a thousand."""
        since = self.showing.now() - timedelta(days=days)
        lines = self._ask(lambda db: audit.lines(db, since, limit=ROWS))
        return [AuditLine.model_validate(line) for line in lines]

    # Tools.

    def _ask(self, question: Callable[[sa.Connection], Any]) -> Any:
        return self.showing.store.read(question)

    def _do(
        self, by: Caller, act: Act, change: Callable[[sa.Connection, datetime], bool | None]
    ) -> Done:
        """``done`` is False if there was nothing to change."""
        if not may(by.role, act):
            raise HTTPException(403, "the role does not allow it")
        now = self.showing.now()
        return Done(done=self.showing.change_now(lambda db: change(db, now)) is not False)

    def _known(self, operator: int) -> None:
        staff = self._ask(views.operator_lines)
        if operator != pauses.EVERYBODY and not any(operator == one.id for one in staff):
            raise HTTPException(404, "nobody of the staff")

    def _number(self, text: str) -> str:
        found = numbers_in(text[:40], self.showing.config.phones.region)
        if not found:
            raise HTTPException(400, "no whole telephone number")
        return next(iter(found))

    def _days(self, first: date | None, last: date | None) -> Days:
        """The days at the site; today without any."""
        zone = ZoneInfo(self.showing.config.hours.zone)
        begin = first or self.showing.now().astimezone(zone).date()
        end = last or begin
        if not 2000 <= begin.year < 2999 or not begin <= end <= begin + timedelta(days=LONGEST):
            raise HTTPException(400, f"at most {LONGEST} days, from the first to the last")
        return Days(begin, end, zone)
