"""What is answered: pages of templates, tables for a spreadsheet, and errors."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from attrs import define, field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from autodial.board.rendering import Language, Renderer, language_of
from autodial.board.russian import RUSSIAN
from autodial.config.settings import Config
from autodial.errors import StoreError
from autodial.model.role import Role
from autodial.portal.told_clients import tell_never
from autodial.spreadsheets import KINDS, Rows
from autodial.store import dispositions
from autodial.store.accounts import Session
from autodial.store.database import Beside
from autodial.texts import escaped

T = TypeVar("T")
_log = logging.getLogger(__name__)  # Twisted's has no reader in this process
#: What each kind of table is sent as.
TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
#: Of each page: its address, its name, and whether an operator has it.
NAVIGATION = (
    ("/", "Now", False), ("/me", "My day", True), ("/tasks", "Tasks", True),
    ("/calls", "Calls", False), ("/day", "Day", False), ("/month", "Month", False),
    ("/settings", "Dialler", False), ("/log", "Log", False),
)  # fmt: skip


@define(eq=False)
class Showing:
    """The store and the templates of one board; ``now``: the clock."""

    config: Config
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    renderer: Renderer = field(init=False)
    store: Beside = field(init=False)
    changes: int = field(default=0, init=False)  #: made here; what was read before one is old

    def __attrs_post_init__(self) -> None:
        self.renderer = Renderer(self.config)
        self.store = Beside(self.config.place)

    async def ask(self, question: Callable[[sa.Connection], T]) -> T:
        return await run_in_threadpool(self.store.read, question)

    async def change(self, change: Callable[[sa.Connection], T]) -> T:
        return await run_in_threadpool(self.change_now, change)

    def change_now(self, change: Callable[[sa.Connection], T]) -> T:
        """As ``change``, from a thread."""
        try:
            return self.store.write(change)
        finally:
            self.changes += 1

    def tell_never(self, numbers: Sequence[str], why: str) -> None:
        """Tell the CRM that nobody calls the owners of these numbers again. Blocks."""

        def owners(db: sa.Connection) -> list[tuple[str, int]]:
            return [one for number in numbers for one in dispositions.owners_of(db, number)]

        untold = tell_never(self.config, list(dict.fromkeys(self.store.read(owners))), why)
        if untold:
            _log.warning("the CRM was not told: %s", escaped(untold))

    def language(self, request: Request) -> Language:
        return language_of(request.headers.get("accept-language", ""), self.config.language)

    def page(
        self, request: Request, template: str, values: Mapping[str, Any],
        session: Session | None = None, status: int = 200,
    ) -> HTMLResponse:  # fmt: skip
        """A page; the templates' links begin with ``root``."""
        root = str(request.scope.get("root_path", ""))
        path = request.url.path.removeprefix(root) or "/"
        shared = {
            "session": session, "root": root, "path": path, "pages": _pages(session),
            "inside": bool(root), "back": request.query_params.get("back", "/"),
        }  # fmt: skip
        text = self.renderer.render(template, self.language(request), {**shared, **values})
        return HTMLResponse(text, status)

    def table(
        self, request: Request, name: str, headers: Sequence[str], rows: Rows
    ) -> Response | None:
        """The table as a file, if one is asked for: ``?file=.csv``; None: none is."""
        kind = request.query_params.get("file")
        if kind is None:
            return None
        if kind not in KINDS:
            raise HTTPException(404)
        language = self.language(request)
        titles = [self.renderer.translated(header, language) for header in headers]
        disposition = f'attachment; filename="{quote(name)}{kind}"'
        return Response(
            KINDS[kind](titles, rows), media_type=TYPES[kind],
            headers={"Content-Disposition": disposition},
        )  # fmt: skip

    async def failed(self, request: Request, error: Exception) -> Response:
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
        return self.page(request, "error.html", values, status=status)


def _pages(session: Session | None) -> list[tuple[str, str]]:
    if session is None:
        return []
    operator = session.role is Role.OPERATOR
    return [
        (address, name)
        for address, name, his in NAVIGATION
        if (his or not operator) and (address != "/me" or session.operator)
    ]


def to(request: Request, path: str) -> RedirectResponse:
    """To a page of ours, after a form."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}{path}", 303)
