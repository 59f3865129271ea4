"""The pages about calls, tasks and people of now; what was is in ``reports_pages``."""

from datetime import datetime, timedelta
from threading import Lock
from time import monotonic
from typing import Any

import sqlalchemy as sa
from attrs import define, field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from autodial.board.days import day_of
from autodial.board.live import MOST, Live
from autodial.board.now import OVER, Now, now_of
from autodial.board.rendering import Language
from autodial.board.showing import Showing, to
from autodial.engine import status_queries
from autodial.model.act import Act
from autodial.model.ids import OperatorId, TaskId
from autodial.model.role import Role, may
from autodial.rules.dial_facts import Dial, Wait
from autodial.rules.phone_numbers import numbers_in
from autodial.rules.report import By, tallied
from autodial.store import audit, dispositions, pauses, reports, stand_ins, views
from autodial.store.accounts import Session
from autodial.store.events import story
from autodial.store.tasks import SKIPPED

#: Rows of a list.
ROWS = 200
#: Seconds for which the present state is shown to others, too.
FRESH = 0.9
#: Days that the calls of a client, found by name, go back.
CLIENT_DAYS = 60


@define(eq=False)
class Pages:
    """What there is now."""

    showing: Showing
    live: Live = field(init=False)
    _reading: Lock = field(factory=Lock, init=False)
    _latest: tuple[float, int, Now | None] = field(default=(0.0, 0, None), init=False)

    def __attrs_post_init__(self) -> None:
        self.live = Live(self.now, lambda now, key: self._fragment(now, *key))

    async def first(self, request: Request, session: Session) -> Response:
        now = await run_in_threadpool(self.now)
        root = str(request.scope.get("root_path", ""))
        fragment = self._fragment(now, self.showing.language(request), session.role, root)
        values = {"fragment": fragment, "may_pause": may(session.role, Act.PAUSE)}
        return self.showing.page(request, "now.html", values, session)

    def now(self) -> Now:
        """The present state, read at most once a second for all who look. Blocks."""
        with self._reading:
            read, changes, now = self._latest
            if now is None or changes != self.showing.changes or monotonic() - read > FRESH:
                changes = self.showing.changes
                config, at = self.showing.config, self.showing.now()
                now = self.showing.store.read(lambda db: now_of(db, config, at))
                self._latest = (monotonic(), changes, now)
            return now

    def _fragment(self, now: Now, language: Language, role: Role, root: str) -> str:
        values = {
            "now": now,
            "root": root,
            "may_pause": may(role, Act.PAUSE),
            "may_reload": may(role, Act.RELOAD),
            "cap": self.showing.config.pace.abandoned_cap,
        }
        return self.showing.renderer.render("_now.html", language, values)

    async def stream(self, request: Request, session: Session) -> Response:
        if self.live.watching >= MOST:
            raise HTTPException(503)
        root = str(request.scope.get("root_path", ""))
        key = (self.showing.language(request), session.role, root)

        async def lines() -> Any:
            async for fragment in self.live.fragments(key):
                data = "".join(f"data: {line}\n" for line in fragment.split("\n"))
                yield f"{data}\n" if fragment else ": \n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    async def tasks(self, request: Request, session: Session) -> Response:
        """An operator sees his own."""
        late = request.query_params.get("late") == "1"
        client = request.query_params.get("client", "")[:100]
        reason = request.query_params.get("reason", "")[:30]
        at = self.showing.now() if late else None
        whose = session.operator if session.role is Role.OPERATOR else None
        lines = await self.showing.ask(
            lambda db: views.task_lines(db, late_at=at, responsible=whose)
        )
        found = [
            line
            for line in lines
            if client.casefold() in line.client.casefold() and reason in ("", line.reason)
        ]
        file = self.showing.table(
            request, "tasks",
            ("task", "client", "due", "attempts", "last", "now", "responsible"),
            [
                (line.id, line.client, _text(line.due), line.attempts, line.last or "",
                 line.reason, line.responsible)
                for line in found
            ],
        )  # fmt: skip
        if file is not None:
            return file
        values = {
            "lines": found[:ROWS], "more": len(found) > ROWS, "rows": ROWS, "late": late,
            "client": client, "reason": reason, "reasons": sorted({line.reason for line in lines}),
        }  # fmt: skip
        return self.showing.page(request, "tasks.html", values, session)

    async def task(self, request: Request, session: Session) -> Response:
        task = TaskId(request.path_params["task"])
        config, now = self.showing.config, self.showing.now()

        def known(db: sa.Connection) -> dict[str, Any] | None:
            why = status_queries.why(db, config, task, now)
            if why is None:
                return None
            return {
                "why": why, "numbers": views.number_lines(db, task), "events": story(db, task),
                "acts": audit.lines(db, now - timedelta(days=366), about=str(task)),
                "calls": [
                    call for number in views.number_lines(db, task)[:1]
                    for call in reports.calls_of_number(db, number.number)[:20]
                ],
            }  # fmt: skip

        values = await self.showing.ask(known)
        if values is None:
            inside = bool(request.scope.get("root_path", ""))
            if not inside:
                raise HTTPException(404)
            return self.showing.page(request, "no_task.html", {"task": task}, session)
        only_his(session, values["why"].task.responsible)
        decision = values["why"].decision
        refusal = None if isinstance(decision, Dial) else decision
        values |= {
            "reason": refusal.reason.value if refusal else "dial",
            "until": refusal.until if isinstance(refusal, Wait) else None,
            "change": values["why"].change,
            "skipped": values["why"].task.closed_reason == SKIPPED,
            **{
                f"may_{act.value.replace(' ', '_')}": may(session.role, act)
                for act in (Act.CALL_NOW, Act.SKIP, Act.NEVER_CALL, Act.POSTPONE)
            },
        }
        return self.showing.page(request, "task.html", values, session)

    async def calls(self, request: Request, session: Session) -> Response:
        who = request.query_params.get("who", "").strip()[:100]
        abandoned = request.query_params.get("abandoned") == "1"
        config, days = self.showing.config, day_of(request, self.showing.config, self.showing.now())
        number = next(iter(numbers_in(who, config.phones.region) or ()), None)

        def asked(db: sa.Connection) -> list[reports.ClientCall]:
            if number is not None:
                return reports.calls_of_number(db, number)
            if who:
                since = days.end - timedelta(days=CLIENT_DAYS)
                return reports.calls_of_client(db, who, since)
            most = None if request.query_params.get("file") else ROWS + 1
            return reports.calls_between(db, days.start, days.end, abandoned=abandoned, most=most)

        found = [line for line in await self.showing.ask(asked) if line.abandoned or not abandoned]
        file = self.showing.table(
            request, "calls", ("when", "number", "client", "task", "operator", "outcome", "talk"),
            [
                (_text(line.at), line.number, line.client, line.task, line.operator, line.outcome,
                 line.talk_seconds)
                for line in found
            ],
        )  # fmt: skip
        if file is not None:
            return file
        values = {
            "lines": found[:ROWS], "more": len(found) > ROWS, "rows": ROWS, "who": who,
            "abandoned": abandoned, "day": f"{days.first:%Y-%m-%d}",
        }  # fmt: skip
        return self.showing.page(request, "calls.html", values, session)

    async def me(self, request: Request, session: Session) -> Response:
        if not session.operator:
            raise HTTPException(404)
        return to(request, f"/operators/{session.operator}")

    async def operator(self, request: Request, session: Session) -> Response:
        """An operator's day."""
        operator = OperatorId(request.path_params["operator"])
        only_his(session, operator)
        config, now = self.showing.config, self.showing.now()
        days = day_of(request, config, now)

        def known(db: sa.Connection) -> dict[str, Any] | None:
            staff = status_queries.operators(db, config, now)
            him = next((one for one in staff if one.id == operator), None)
            if him is None:
                return None
            end = max(days.start, min(days.end, now))
            ended = reports.ended_between(db, days.start, days.end, operator)
            tallies = tallied(ended, (By.PERSON,), days.zone)[By.PERSON]
            times = reports.work_times_between(db, tallies, days.start, end, operator)
            return {
                "him": him,
                "time": next(iter(times), None),
                "state": him.state(now),
                "calls": reports.calls_of_operator(db, operator, days.start, days.end),
                "due": [
                    line
                    for line in status_queries.due_tasks_of(db, operator, now)
                    if line.reason not in OVER
                ],
                "others": [one for one in staff if one.id != operator],
                "stand_in": next(
                    (line for line in stand_ins.lines(db, now) if line.operator == operator), None
                ),
                "pause": pauses.of(db, operator) if him.paused else None,
            }  # fmt: skip

        values = await self.showing.ask(known)
        if values is None:
            raise HTTPException(404)
        values |= {
            "day": f"{days.first:%Y-%m-%d}", "own": operator == session.operator,
            "may_pause": may(session.role, Act.PAUSE),
            "may_hand_over": may(session.role, Act.HAND_OVER),
        }  # fmt: skip
        return self.showing.page(request, "operator.html", values, session)

    async def log(self, request: Request, session: Session) -> Response:
        since = self.showing.now() - timedelta(days=30)
        every = request.query_params.get("file") is not None
        limit = 100_000 if every else ROWS
        lines = await self.showing.ask(lambda db: audit.lines(db, since, limit=limit))
        file = self.showing.table(
            request, "log", ("when", "who", "how", "what", "about", "detail"),
            [
                (_text(line.at), line.who, line.door, line.act, line.about, line.detail)
                for line in lines
            ],
        )  # fmt: skip
        return file or self.showing.page(request, "log.html", {"lines": lines}, session)

    async def never(self, request: Request, session: Session) -> Response:
        """The do-not-call list, and who put whom on it."""
        lines = await self.showing.ask(dispositions.do_not_call_lines)
        file = self.showing.table(
            request, "do-not-call", ("number", "client", "operator", "when", "Reason"),
            [(line.number, line.client, line.operator, _text(line.at), line.why) for line in lines],
        )  # fmt: skip
        values = {
            "lines": lines[:ROWS], "more": len(lines) > ROWS, "rows": ROWS,
            "may_act": may(session.role, Act.MAY_CALL),
        }  # fmt: skip
        return file or self.showing.page(request, "never.html", values, session)


def only_his(session: Session, operator: int) -> None:
    """
    Raises:
        HTTPException: an operator asks about another's.
    """
    # (Nobody's number, 0, is that of everybody.)
    if session.role is Role.OPERATOR and operator != (session.operator or None):
        raise HTTPException(403, "Your role may not do this")


def _text(moment: datetime | None) -> str:
    """For a table: in UTC, to the second."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S%z}"
