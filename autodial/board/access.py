"""Who looks at the board: logins, sessions, forms, and what a role may do."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from autodial.board.passwords import TRIES, Throttle, fits
from autodial.board.showing import Showing, to
from autodial.model.act import Act, Actor, Door
from autodial.model.role import Role, may
from autodial.store import accounts
from autodial.store.accounts import Session

Handler = Callable[[Request, Session], Awaitable[Response]]

#: The cookie of a login, and of the board inside the portal.
COOKIE, COOKIE_INSIDE = "autodial_board", "autodial_board_inside"
#: The largest number in an address.
MOST = 2**53
#: Wrong tokens of one address in the portal's frame, within the time of ``passwords.WINDOW``: an
#: office may have one address, and a frame that is loaded again posts an old token.
TOKEN_TRIES = 60
#: The longest form, in bytes; it is the longest request to the API, too.
LONGEST_FORM = 10_000


@define(eq=False)
class Access:
    """
    Sessions of one door. ``inside``: the board in the portal's frame, where people do not log in
    but come by ``portal_door``.
    """

    showing: Showing
    inside: bool = False
    throttle: Throttle = field(init=False)

    def __attrs_post_init__(self) -> None:
        # (A token cannot be guessed; but whoever posts many asks the portal as often.)
        tries = TOKEN_TRIES if self.inside else TRIES
        self.throttle = Throttle(self.showing.now, tries)

    @property
    def cookie(self) -> str:
        return COOKIE_INSIDE if self.inside else COOKIE

    async def log_in(self, request: Request) -> Response:
        show = self.showing.page
        if request.method == "GET":
            return show(request, "login.html", {"error": "", "name": ""})
        form = await self.form(request)
        name, password = form.get("name", "")[:40], form.get("password", "")
        address = request.client.host if request.client else ""
        if self.throttle.waits(f"name {name}", f"address {address}"):
            error = "Too many wrong passwords: wait five minutes"
            return show(request, "login.html", {"error": error, "name": name}, status=429)
        stored = await self.showing.ask(lambda db: accounts.password_of(db, name))
        if not await run_in_threadpool(fits, password, stored):
            self.throttle.was_wrong(f"name {name}", f"address {address}")
            values = {"error": "Name or password is wrong", "name": name}
            return show(request, "login.html", values, status=403)
        self.throttle.was_right(f"name {name}", f"address {address}")
        answer = RedirectResponse(_local(form.get("back", "/")), 303)
        await self.begin(answer, name)
        return answer

    async def begin(
        self, answer: Response, name: str, *, shown: str = "", role: Role | None = None,
        operator: int = 0,
    ) -> None:  # fmt: skip
        """A session, whose cookie goes with the answer; ``role``: of a person of the portal."""
        token, proof = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        now = self.showing.now()
        await self.showing.change(
            lambda db: accounts.log_in(
                db, name, token, proof, now, shown=shown, role=role, operator=operator
            )
        )
        encrypted = self.showing.config.board.address.startswith("https:")
        kind = "SameSite=Lax"
        if encrypted:
            # In a frame of another site a cookie must be of neither site, and parted by it.
            kind = "SameSite=None; Secure; Partitioned" if self.inside else "SameSite=Lax; Secure"
        lasts = int(accounts.LONGEST.total_seconds())
        path = "/inside" if self.inside else "/"
        answer.headers.append(
            "set-cookie",
            f"{self.cookie}={token}; HttpOnly; Path={path}; Max-Age={lasts}; {kind}",
        )

    async def log_out(self, request: Request, session: Session) -> Response:
        await self.checked(request, session)
        token = request.cookies[self.cookie]
        await self.showing.change(lambda db: accounts.log_out(db, token))
        answer = to(request, "/login")
        answer.delete_cookie(self.cookie)
        return answer

    def page(
        self, handler: Handler, *, operators: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """
        A page for those who have a session; others are sent to the login. ``operators``: it is
        theirs, too.
        """

        async def handle(request: Request) -> Response:
            if any(isinstance(one, int) and one > MOST for one in request.path_params.values()):
                raise HTTPException(404)
            token = request.cookies.get(self.cookie, "")
            now = self.showing.now()
            found = await self.showing.ask(lambda db: accounts.session_of(db, token, now))
            if found is None or found[0].inside is not self.inside:
                if self.inside:
                    return self.showing.page(request, "outside.html", {}, status=403)
                back = request.url.path if request.method == "GET" else "/"
                return RedirectResponse(f"/login?back={back}", 303)
            session, due = found
            if due:
                await self.showing.change(lambda db: accounts.seen(db, token, now))
            if session.role is Role.OPERATOR and not operators:
                if request.url.path.removeprefix(request.scope.get("root_path", "")) == "/":
                    return to(request, "/me")
                raise HTTPException(403, "Your role may not do this")
            return await handler(request, session)

        return handle

    async def checked(self, request: Request, session: Session) -> Mapping[str, str]:
        """
        The form of this session.

        Raises:
            HTTPException: another site's, or an old page's.
        """
        form = await self.form(request)
        proof = form.get("proof", "").encode()
        if not secrets.compare_digest(proof, session.proof.encode()):
            raise HTTPException(403, "The page is too old: load it again")
        return form

    async def form(self, request: Request) -> Mapping[str, str]:
        """
        The fields of a form from a page of ours.

        Raises:
            HTTPException: from another site, too long, or not a form.
        """
        origin = request.headers.get("origin")
        address = self.showing.config.board.address
        ours = {request.headers.get("host", ""), urlsplit(address).netloc}
        if origin is not None and urlsplit(origin).netloc not in ours:
            raise HTTPException(403, "The page is too old: load it again")
        return await form_of(request)

    def allowed(self, act: Act, session: Session) -> None:
        """
        Raises:
            HTTPException: the role does not allow it.
        """
        if not may(session.role, act):
            raise HTTPException(403, "Your role may not do this")

    def actor(self, session: Session) -> Actor:
        if self.inside:
            return Actor(f"{session.shown[:50]} ({session.name})", Door.PORTAL)
        return Actor(session.name, Door.BOARD)


async def form_of(request: Request) -> Mapping[str, str]:
    """
    The fields of a form, whoever sent it.

    Raises:
        HTTPException: too long, or not a form.
    """
    try:
        length = int(request.headers.get("content-length", "0") or 0)
    except ValueError:
        raise HTTPException(400) from None
    if length > LONGEST_FORM:
        raise HTTPException(413)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            raise HTTPException(413)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=30))
    except ValueError:
        raise HTTPException(400) from None


def _local(path: str) -> str:
    """A path of ours; anything else is the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


class Headers:
    """Adds headers to every answer that has not got them; ``policy``: who may frame it."""

    def __init__(self, app: Any, ancestors: str = "'none'") -> None:
        self.app = app
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
            f" connect-src 'self'; form-action 'self'; frame-ancestors {ancestors};"
            " base-uri 'none'"
        )
        self.headers = {
            b"content-security-policy": policy.encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"same-origin",
            b"cache-control": b"no-store",
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                added = [item for item in self.headers.items() if item[0] not in known]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self.app(scope, receive, sending)


class Limited:
    """Refuses requests with a long body, or with one whose length is not said."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            length = headers.get(b"content-length", b"0")
            status = 413 if not length.isdigit() or int(length[:20]) > LONGEST_FORM else 0
            if b"transfer-encoding" in headers:
                status = 411
            if status:
                said = {"detail": f"send at most {LONGEST_FORM} bytes, and say how many"}
                await JSONResponse(said, status)(scope, receive, send)
                return
        await self.app(scope, receive, send)
