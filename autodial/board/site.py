"""
The board's pages. Everybody logs in; what a person may do is his role's; each act goes through
``store/acts`` and leaves its line in the audit log.

A page has no scripts or styles but those of ``static/`` (Content-Security-Policy), and no form is
accepted without the session's proof and our own origin.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from attrs import define, field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from autodial.board.live import MOST, Live
from autodial.board.now import Now, now_of
from autodial.board.passwords import Throttle, fits
from autodial.board.rendering import Language, Renderer, language_of
from autodial.board.russian import RUSSIAN
from autodial.config.settings import Config
from autodial.engine import status_queries
from autodial.errors import StoreError
from autodial.model.act import Act, Actor, Door
from autodial.model.ids import OperatorId, TaskId
from autodial.model.role import Role, may
from autodial.rules.dial_facts import Dial, Wait
from autodial.rules.phone_numbers import numbers_in
from autodial.rules.report import By, summed
from autodial.store import accounts, acts, audit, pauses, reports, views
from autodial.store.accounts import Session
from autodial.store.database import read, write
from autodial.store.events import story
from autodial.store.tasks import SKIPPED
from autodial.texts import escaped

T = TypeVar("T")
_log = logging.getLogger(__name__)  # Twisted's has no reader in this process
COOKIE = "autodial_board"
#: Rows of a list; the longest form, in bytes; the longest reason, in characters.
ROWS, LONGEST_FORM, LONGEST_REASON = 200, 10_000, 200
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@define(eq=False)
class Board:
    """The pages of one dialler, for those who have an account."""

    config: Config
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    renderer: Renderer = field(init=False)
    throttle: Throttle = field(init=False)
    live: Live = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.renderer = Renderer(self.config)
        self.throttle = Throttle(self.now)
        self.live = Live(
            lambda: self._read_now(lambda db: now_of(db, self.config, self.now())),
            lambda now, key: self._fragment(now, *key),
        )

    def site(self) -> Starlette:
        page = self._page
        routes = [
            Route("/login", self.log_in, methods=["GET", "POST"]),
            Route("/logout", page(self.log_out), methods=["POST"]),
            Route("/", page(self.first)),
            Route("/live", page(self.stream)),
            Route("/tasks", page(self.tasks)),
            Route("/tasks/{task:int}", page(self.task)),
            Route("/tasks/{task:int}/{act}", page(self.change_task), methods=["POST"]),
            Route("/operators/{operator:int}/{act}", page(self.change_pause), methods=["POST"]),
            Route("/calls", page(self.calls)),
            Route("/day", page(self.day)),
            Route("/log", page(self.log)),
            Mount("/static", StaticFiles(packages=[("autodial.board", "static")])),
        ]
        handlers: Any = dict.fromkeys((HTTPException, StoreError, Exception), self._failed)
        site = Starlette(routes=routes, exception_handlers=handlers)
        site.add_middleware(_Headers)
        return site

    # Sessions.

    async def log_in(self, request: Request) -> Response:
        if request.method == "GET":
            return self._show(request, "login.html", {"error": "", "name": ""})
        form = await self._form(request)
        name, password = form.get("name", "")[:40], form.get("password", "")
        address = request.client.host if request.client else ""
        if self.throttle.waits(f"name {name}", f"address {address}"):
            error = "Too many wrong passwords: wait five minutes"
            return self._show(request, "login.html", {"error": error, "name": name}, status=429)
        stored = await self._ask(lambda db: accounts.password_of(db, name))
        if not await run_in_threadpool(fits, password, stored):
            self.throttle.was_wrong(f"name {name}", f"address {address}")
            values = {"error": "Name or password is wrong", "name": name}
            return self._show(request, "login.html", values, status=403)
        self.throttle.was_right(f"name {name}", f"address {address}")
        token, proof = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        await self._change(lambda db: accounts.log_in(db, name, token, proof, self.now()))
        answer = RedirectResponse(_local(form.get("back", "/")), 303)
        answer.set_cookie(
            COOKIE, token, max_age=int(accounts.LONGEST.total_seconds()), httponly=True,
            samesite="lax", secure=self.config.board.address.startswith("https:"),
        )  # fmt: skip
        return answer

    async def log_out(self, request: Request, session: Session) -> Response:
        await self._checked(request, session)
        await self._change(lambda db: accounts.log_out(db, request.cookies[COOKIE]))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    def _page(
        self, handler: Callable[[Request, Session], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A page for those who have logged in; others are sent to the login."""

        async def handle(request: Request) -> Response:
            token = request.cookies.get(COOKIE, "")
            found = await self._ask(lambda db: accounts.session_of(db, token, self.now()))
            if found is None:
                back = request.url.path if request.method == "GET" else "/"
                return RedirectResponse(f"/login?back={back}", 303)
            session, due = found
            if due:
                await self._change(lambda db: accounts.seen(db, token, self.now()))
            return await handler(request, session)

        return handle

    async def _checked(self, request: Request, session: Session) -> Mapping[str, str]:
        """
        The form of this session.

        Raises:
            HTTPException: another site's, or an old page's.
        """
        form = await self._form(request)
        proof = form.get("proof", "").encode()
        if not secrets.compare_digest(proof, session.proof.encode()):
            raise HTTPException(403, "The page is too old: load it again")
        return form

    async def _form(self, request: Request) -> Mapping[str, str]:
        """
        The fields of a form from a page of ours.

        Raises:
            HTTPException: from another site, too long, or not a form.
        """
        origin = request.headers.get("origin")
        ours = {request.headers.get("host", ""), urlsplit(self.config.board.address).netloc}
        if origin is not None and urlsplit(origin).netloc not in ours:
            raise HTTPException(403, "The page is too old: load it again")
        if int(request.headers.get("content-length", "0") or 0) > LONGEST_FORM:
            raise HTTPException(413)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST_FORM:
                raise HTTPException(413)
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
        except ValueError:
            raise HTTPException(400) from None

    # Pages.

    async def first(self, request: Request, session: Session) -> Response:
        now = await self._ask(lambda db: now_of(db, self.config, self.now()))
        language = self._language(request)
        fragment = self._fragment(now, language, session.role)
        values = {"fragment": fragment, "may_pause": may(session.role, Act.PAUSE)}
        return self._show(request, "now.html", values, session)

    def _fragment(self, now: Now, language: Language, role: Role) -> str:
        values = {
            "now": now,
            "may_pause": may(role, Act.PAUSE),
            "cap": self.config.pace.abandoned_cap,
        }
        return self.renderer.render("_now.html", language, values)

    async def stream(self, request: Request, session: Session) -> Response:
        if self.live.watching >= MOST:
            raise HTTPException(503)
        key = (self._language(request), session.role)

        async def lines() -> Any:
            async for fragment in self.live.fragments(key):
                data = "".join(f"data: {line}\n" for line in fragment.split("\n"))
                yield f"{data}\n" if fragment else ": \n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    async def tasks(self, request: Request, session: Session) -> Response:
        late = request.query_params.get("late") == "1"
        client = request.query_params.get("client", "")[:100]
        at = self.now() if late else None
        lines = await self._ask(lambda db: views.task_lines(db, late_at=at))
        found = [line for line in lines if client.casefold() in line.client.casefold()]
        values = {"lines": found[:ROWS], "more": len(found) > ROWS, "rows": ROWS,
                  "late": late, "client": client}  # fmt: skip
        return self._show(request, "tasks.html", values, session)

    async def task(self, request: Request, session: Session) -> Response:
        task = TaskId(request.path_params["task"])
        now = self.now()

        def known(db: sa.Connection) -> dict[str, Any] | None:
            why = status_queries.why(db, self.config, task, now)
            if why is None:
                return None
            return {
                "why": why, "numbers": views.number_lines(db, task), "events": story(db, task),
                "acts": audit.lines(db, now - timedelta(days=366), about=str(task)),
            }  # fmt: skip

        values = await self._ask(known)
        if values is None:
            raise HTTPException(404)
        decision = values["why"].decision
        refusal = None if isinstance(decision, Dial) else decision
        values |= {
            "reason": refusal.reason.value if refusal else "dial",
            "until": refusal.until if isinstance(refusal, Wait) else None,
            "skipped": values["why"].task.closed_reason == SKIPPED,
            "may_act": may(session.role, Act.CALL_NOW),
        }
        return self._show(request, "task.html", values, session)

    async def calls(self, request: Request, session: Session) -> Response:
        who = request.query_params.get("who", "").strip()[:100]
        number = next(iter(numbers_in(who, self.config.phones.region) or ()), None)
        start, end = self._day(request)

        def asked(db: sa.Connection) -> list[reports.ClientCall]:
            if number is not None:
                return reports.calls_of_number(db, number)
            if who:
                return reports.calls_of_client(db, who, end - timedelta(days=60))
            return reports.calls_between(db, start, end)

        found = await self._ask(asked)
        values = {"lines": found[:ROWS], "more": len(found) > ROWS, "rows": ROWS, "who": who,
                  "day": f"{start:%Y-%m-%d}"}  # fmt: skip
        return self._show(request, "calls.html", values, session)

    async def day(self, request: Request, session: Session) -> Response:
        start, end = self._day(request)
        zone = ZoneInfo(self.config.hours.zone)
        calls = await self._ask(lambda db: list(reports.ended_between(db, start, end)))
        sums = {
            by.value: summed(calls, by, zone) for by in (By.HOUR, By.OPERATOR, By.OUTCOME, By.TRUNK)
        }
        most = max([one.calls for one in sums["hour"][:-1]], default=1)
        values = {"sums": sums, "most": most, "day": f"{start:%Y-%m-%d}"}
        return self._show(request, "day.html", values, session)

    async def log(self, request: Request, session: Session) -> Response:
        since = self.now() - timedelta(days=30)
        lines = await self._ask(lambda db: audit.lines(db, since, limit=ROWS))
        return self._show(request, "log.html", {"lines": lines}, session)

    # Acts.

    async def change_task(self, request: Request, session: Session) -> Response:
        form = await self._checked(request, session)
        task, by, now = TaskId(request.path_params["task"]), self._actor(session), self.now()
        why = form.get("why", "")[:LONGEST_REASON]
        known: dict[str, tuple[Act, Callable[[sa.Connection], bool]]] = {
            "call-now": (Act.CALL_NOW, lambda db: acts.call_now(db, task, by, now)),
            "skip": (Act.SKIP, lambda db: acts.skip(db, task, by, now, why)),
            "unskip": (Act.UNSKIP, lambda db: acts.unskip(db, task, by, now)),
        }
        change = self._allowed(known.get(request.path_params["act"]), session)
        if not await self._change(change):
            raise HTTPException(409, "The task is not open, or that is done already")
        return RedirectResponse(f"/tasks/{task}", 303)

    async def change_pause(self, request: Request, session: Session) -> Response:
        """Of one operator; number 0: of everybody."""
        form = await self._checked(request, session)
        who, by, now = OperatorId(request.path_params["operator"]), self._actor(session), self.now()
        why = form.get("why", "")[:LONGEST_REASON]
        until = self._until(form.get("until", ""), now)

        def pause(db: sa.Connection) -> bool:
            if who != pauses.EVERYBODY and not any(
                who == one.id for one in views.operator_lines(db)
            ):
                raise HTTPException(404)
            acts.pause(db, who, by, now, why, until)
            return True

        known: dict[str, tuple[Act, Callable[[sa.Connection], bool]]] = {
            "pause": (Act.PAUSE, pause),
            "resume": (Act.RESUME, lambda db: acts.resume(db, who, by, now)),
        }
        change = self._allowed(known.get(request.path_params["act"]), session)
        await self._change(change)  # two managers may do the same
        return RedirectResponse("/", 303)

    def _allowed(
        self, known: tuple[Act, Callable[[sa.Connection], bool]] | None, session: Session
    ) -> Callable[[sa.Connection], bool]:
        """
        The act, if the role allows it.

        Raises:
            HTTPException: there is no such act, or it does not.
        """
        if known is None:
            raise HTTPException(404)
        if not may(session.role, known[0]):
            raise HTTPException(403, "Your role may not do this")
        return known[1]

    def _actor(self, session: Session) -> Actor:
        return Actor(session.name, Door.BOARD)

    # Tools.

    def _until(self, text: str, now: datetime) -> datetime | None:
        """
        A time of today in [hours] zone, or none.

        Raises:
            HTTPException: no such time, or it has passed.
        """
        if not text:
            return None
        here = now.astimezone(ZoneInfo(self.config.hours.zone))
        try:
            moment = datetime.combine(here.date(), time.fromisoformat(text), here.tzinfo)
        except ValueError:
            raise HTTPException(400, "The time is none of today, or has passed") from None
        if moment <= now:
            raise HTTPException(400, "The time is none of today, or has passed")
        return moment

    def _day(self, request: Request) -> tuple[datetime, datetime]:
        zone = ZoneInfo(self.config.hours.zone)
        try:
            day = date.fromisoformat(request.query_params.get("day", ""))
        except ValueError:
            day = self.now().astimezone(zone).date()
        day = min(max(day, date(2000, 1, 1)), date(2999, 1, 1))
        start = datetime.combine(day, datetime.min.time(), zone)
        return start, datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)

    def _language(self, request: Request) -> Language:
        return language_of(request.headers.get("accept-language", ""), self.config.language)

    async def _ask(self, question: Callable[[sa.Connection], T]) -> T:
        return await run_in_threadpool(self._read_now, question)

    def _read_now(self, question: Callable[[sa.Connection], T]) -> T:
        return read(self.config.store.path, question)

    async def _change(self, change: Callable[[sa.Connection], T]) -> T:
        return await run_in_threadpool(write, self.config.store.path, change)

    def _show(
        self, request: Request, template: str, values: Mapping[str, Any],
        session: Session | None = None, status: int = 200,
    ) -> HTMLResponse:  # fmt: skip
        shared = {"session": session, "path": request.url.path,
                  "back": request.query_params.get("back", "/")}  # fmt: skip
        text = self.renderer.render(template, self._language(request), {**shared, **values})
        return HTMLResponse(text, status)

    async def _failed(self, request: Request, error: Exception) -> Response:
        """An error as a page; what is not expected is for the log alone."""
        status, said = 500, ""
        if isinstance(error, HTTPException):
            status, said = error.status_code, error.detail
        elif isinstance(error, StoreError):
            _log.warning("%s: %s", escaped(request.url.path), error)  # (it names the file)
            status, said = 503, "The store cannot be read now"
        if status == 404:
            said = "There is no such page"
        values = {"status": status, "said": said if said in RUSSIAN else ""}
        return self._show(request, "error.html", values, status=status)


def _local(path: str) -> str:
    """A path of ours; anything else is the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


class _Headers:
    """Adds the headers to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()
                      if name.lower().encode() not in known),
                ]  # fmt: skip
            await send(message)

        await self.app(scope, receive, sending)


def board_of(config: Config) -> Starlette:
    """The site of a configuration, for a server of the ecosystem."""
    return Board(config).site()
