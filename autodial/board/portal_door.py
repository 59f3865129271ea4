"""
The board inside the portal: the portal's page opens it in a frame and posts an access token of the
person who looks. The token is asked of our own portal, whatever the post says of its address, and
must be our application's; then it is forgotten.
"""

import json
import logging
from collections.abc import Mapping

from attrs import define
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from autodial.board.access import Access, form_of
from autodial.board.showing import to
from autodial.config.portal import PortalConfig
from autodial.config.sections import BoardConfig
from autodial.coroutines import run_now
from autodial.model.role import Role
from autodial.portal.client import send_now
from autodial.store import views
from autodial.texts import escaped
from bitrix24 import Bearer, Direct, Person, PersonMethods, PortalDenied, PortalError

_log = logging.getLogger(__name__)  # Twisted's has no reader in this process
#: Where a task's story is shown.
TASK_TAB = "TASK_VIEW_TAB"
#: Its title there, by language.
TITLES = {"ru": "Автодозвон", "en": "Autodial"}


def portal_address(portal: PortalConfig) -> str:
    """https://portal.example.com, from the webhook or the application."""
    if portal.application is not None:
        return portal.application.address.rstrip("/")
    assert portal.webhook is not None  # the configuration ensures it
    scheme, _, rest = portal.webhook.get_secret_value().partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def role_of(person: Person, board: BoardConfig, operators: frozenset[int]) -> Role | None:
    """What a person of the portal is on the board; None: nothing."""
    if person.administrator:
        return Role.ADMINISTRATOR
    for rule in board.roles:
        if (
            person.id in rule.users
            or person.departments & set(rule.departments)
            or person.groups & set(rule.groups)
        ):
            return rule.role
    return Role.OPERATOR if person.id in operators else None


@define(eq=False)
class PortalDoor:
    """Where the portal's frame comes in."""

    access: Access

    async def enter(self, request: Request) -> Response:
        """
        Raises:
            HTTPException: the portal does not know the person, or he may not look.
        """
        showing, form = self.access.showing, await form_of(request)
        address = request.client.host if request.client else ""
        if self.access.throttle.waits(f"address {address}"):
            raise HTTPException(429, "Too many wrong passwords: wait five minutes")
        person = await run_in_threadpool(self._person, form, address)
        staff = await showing.ask(views.operator_lines)
        operators = frozenset(line.id for line in staff)
        role = role_of(person, showing.config.board, operators)
        if role is None:
            raise HTTPException(403, "Your role may not do this")
        answer = to(request, _wanted(form))
        await self.access.begin(
            answer, f"portal:{person.id}", shown=person.name[:80], role=role,
            operator=person.id if person.id in operators else 0,
        )  # fmt: skip
        return answer

    def _person(self, form: Mapping[str, str], address: str) -> Person:
        config = self.access.showing.config
        bearer = Bearer(portal_address(config.portal), form.get("AUTH_ID", "")[:4096])
        methods = PersonMethods(Direct(bearer, send_now(config)))
        try:
            person = run_now(methods.person(config.board.application))
        except ValueError:  # no token can look like this
            raise HTTPException(403, "The portal does not know you") from None
        except PortalDenied as error:
            self.access.throttle.was_wrong(f"address {address}")
            _log.warning("%s: %s", escaped(address), escaped(str(error)))
            raise HTTPException(403, "The portal does not know you") from None
        except PortalError as error:
            _log.warning("who looks at the board: %s", escaped(str(error)))
            raise HTTPException(502, "The portal does not do it now: try again") from None
        if person.administrator and form.get("PLACEMENT", "DEFAULT") == "DEFAULT":
            self._bind(methods)
        return person

    def _bind(self, methods: PersonMethods) -> None:
        """The task's tab is there, or is not, as configured; an administrator's token may do it."""
        board = self.access.showing.config.board
        handler = f"{board.address.rstrip('/')}/inside/"
        try:
            bound = [at for place, at in run_now(methods.placements()) if place == TASK_TAB]
            for other in bound:
                if other != handler or not board.task_tab:
                    run_now(methods.displace(TASK_TAB, other))
            if board.task_tab and handler not in bound:
                run_now(methods.place(TASK_TAB, handler, TITLES))
        except PortalError as error:
            _log.warning("the tab in the portal's tasks: %s", escaped(str(error)))


def _wanted(form: Mapping[str, str]) -> str:
    """The page for the place where the frame was opened."""
    try:
        options = json.loads(form.get("PLACEMENT_OPTIONS", "") or "{}")
    except ValueError:
        options = None
    if form.get("PLACEMENT", "").startswith("TASK_VIEW_") and isinstance(options, dict):
        task = str(options.get("taskId", ""))
        if task.isdigit() and len(task) < 15:
            return f"/tasks/{task}"
    return "/"
