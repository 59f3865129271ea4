"""
The board: its pages by two doors. At ``/`` people log in; at ``/inside`` they come from the
portal's frame. What a person may do is his role's; each act goes through ``store/acts`` and leaves
its line in the audit log.

A page has no scripts or styles but those of ``static/`` (Content-Security-Policy), and no form is
accepted without the session's proof and our own origin.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from attrs import define, field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from autodial.board.access import Access, Headers
from autodial.board.api import Api
from autodial.board.buttons import Buttons
from autodial.board.days import Days
from autodial.board.figures import Figures
from autodial.board.hooks import Hooks
from autodial.board.pages import Pages
from autodial.board.portal_door import PortalDoor, portal_address
from autodial.board.reports_pages import ReportsPages
from autodial.board.showing import Showing
from autodial.config.settings import Config
from autodial.errors import StoreError
from autodial.model.act import Act
from autodial.model.role import may
from autodial.store import days_off, flags, hook_events, in_force, stand_ins, views
from autodial.store.accounts import Session

POST = ["POST"]


@define(eq=False)
class Board:
    """The pages of one dialler, for those who have an account or come from the portal."""

    config: Config
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    showing: Showing = field(init=False)
    figures: Figures = field(init=False)
    pages: Pages = field(init=False)
    reports: ReportsPages = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.showing = Showing(self.config, self.now)
        self.figures = Figures(self.showing.store, self.now)
        self.pages = Pages(self.showing)
        self.reports = ReportsPages(self.showing, self.figures)

    def site(self) -> Starlette:
        outside = Access(self.showing)
        routes: list[BaseRoute] = [
            Route("/login", outside.log_in, methods=["GET", "POST"]),
            Route("/logout", outside.page(outside.log_out), methods=["POST"]),
            *self._routes(outside),
        ]
        routes.append(Mount("/api", Api(self.showing, self.pages, self.figures).application()))
        static = StaticFiles(packages=[("autodial.board", "static")])
        if self.config.board.application:
            routes.insert(0, Mount("/inside", app=self._inside(static)))
        routes.append(Mount("/static", static))
        return self._made(routes, "'none'", self._running)

    @asynccontextmanager
    async def _running(self, site: Starlette) -> AsyncIterator[None]:
        """While the site is served: the hooks are told, the figures of the last days counted."""
        hooks = Hooks(self.config.hooks, self.showing.store, self.now)
        await hooks.start()
        zone = ZoneInfo(self.config.hours.zone)
        today = self.now().astimezone(zone).date()
        warming = asyncio.create_task(
            asyncio.to_thread(self.figures.warm, Days(today, today, zone))
        )
        yield
        self.figures.stop()
        self.reports.stop()
        await hooks.stop()
        await warming
        self.showing.store.close()

    def _inside(self, static: StaticFiles) -> Starlette:
        access = Access(self.showing, inside=True)
        routes: list[BaseRoute] = [
            Route("/", PortalDoor(access).enter, methods=["POST"]),
            *self._routes(access),
            Mount("/static", static),
        ]
        return self._made(routes, f"'self' {portal_address(self.config.portal)}")

    def _made(self, routes: list[BaseRoute], ancestors: str, lifespan: Any = None) -> Starlette:
        handlers: Any = dict.fromkeys((HTTPException, StoreError, Exception), self.showing.failed)
        site = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
        site.add_middleware(Headers, ancestors=ancestors)
        return site

    def _routes(self, access: Access) -> list[BaseRoute]:
        pages, reports, buttons, page = self.pages, self.reports, Buttons(access), access.page
        return [
            Route("/", page(pages.first, operators=False)),
            Route("/live", page(pages.stream, operators=False)),
            Route("/me", page(pages.me)),
            Route("/tasks", page(pages.tasks)),
            Route("/tasks/{task:int}", page(pages.task)),
            Route("/tasks/{task:int}/{act}", page(buttons.of_task), methods=POST),
            Route("/operators/{operator:int}", page(pages.operator)),
            Route("/operators/{operator:int}/{act}", page(buttons.of_operator), methods=POST),
            Route("/calls", page(pages.calls, operators=False)),
            Route("/day", page(reports.day, operators=False)),
            Route("/month", page(reports.month, operators=False)),
            Route("/log", page(pages.log, operators=False)),
            Route("/never", page(pages.never, operators=False)),
            Route("/never", page(buttons.of_list, operators=False), methods=POST),
            Route("/calendar", page(buttons.of_calendar, operators=False), methods=POST),
            Route("/purposes/{act}", page(buttons.of_purpose, operators=False), methods=POST),
            Route("/settings", page(self.settings, operators=False)),
            Route("/dialler/{act}", page(buttons.of_dialler, operators=False), methods=POST),
        ]

    async def settings(self, request: Request, session: Session) -> Response:
        """Days off, hand-overs, what the portal refused, and the settings."""
        now = self.now()
        today = now.astimezone(ZoneInfo(self.config.hours.zone)).date()

        def known(db: sa.Connection) -> dict[str, Any]:
            messages = views.undelivered(db)
            dead = [message for message in messages if message.state == "dead"]
            return {
                "days_off": days_off.lines(db, today - timedelta(days=1)),
                "stand_ins": stand_ins.lines(db, now),
                "dead": dead[:100],
                "waiting": len(messages) - len(dead),
                "changed": flags.last(db, flags.of_node(flags.CHANGED, self.config.node.name)),
                "hooks": hook_events.states(db),
                "paused": in_force.paused_purposes(db, now),
            }

        values = await self.showing.ask(known)
        values |= {
            "purposes": [one.name for one in self.config.purposes],
            "may_pause": may(session.role, Act.PAUSE),
            "may_day_off": may(session.role, Act.DAY_OFF),
            "may_send_again": may(session.role, Act.SEND_AGAIN),
            "may_reload": may(session.role, Act.RELOAD),
        }
        return self.showing.page(request, "settings.html", values, session)


def board_of(config: Config) -> Starlette:
    """The site of a configuration, for a server of the ecosystem."""
    return Board(config).site()
