"""A board on a real store, served as ``autodial board`` serves it."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from time import monotonic
from typing import Any

import pytest
import requests
import uvicorn
from attrs import define, evolve, field
from playwright.sync_api import Browser, BrowserContext, Page
from pydantic import SecretStr

from autodial.board.passwords import hashed
from autodial.board.site import Board
from autodial.config.sections import BoardConfig
from autodial.config.settings import Config
from autodial.model.act import Actor, Door
from autodial.model.operator import PresenceRules
from autodial.model.role import Role
from autodial.rules.end_policy import EndPolicy
from autodial.store import accounts, acts, attempt_end, flags, ledger, presence, tasks
from bitrix24 import Employee, Presence
from demo.pbx import free_ports
from tests.integration.store.test_ledger import BUSY, PHONE, TALKED, dial, portal_task

Run = Callable[..., Any]
PASSWORD = "correct horse battery"
HASH = hashed(PASSWORD)
#: Text that somebody typed in the portal; an ordinary name in the pictures for the documents.
EVIL = (
    "Борис Ф."
    if os.environ.get("AUTODIAL24_PICTURES")
    else '<img src=x onerror="alert(1)">{{ 12345*2 }}'
)


@pytest.fixture
def today(run: Run) -> datetime:
    """
    Two operators; 9000 was busy and is due again, 9001 talked, 9002 is being dialled for Anna, 9003
    waits; a client and an operator have hostile names.
    """
    now = datetime.now(UTC)
    anna = Employee(id=501, name="Анна", extension="101", active=True, online=True, last_login=now)
    evil = evolve(anna, id=502, name=EVIL, extension="102")
    there = {501: Presence(working_day="opened"), 502: Presence(working_day="opened")}
    rules = PresenceRules(active_within=timedelta(minutes=24))
    run(presence.save_staff, [anna, evil], there, now, rules)
    run(presence.save_phones, {"101": "NOT_INUSE", "102": "NOT_INUSE"})
    for number, report in ((9000, BUSY), (9001, TALKED), (9002, None), (9003, None)):
        name = EVIL if number == 9003 else f"Клиент {number}"
        phone = evolve(PHONE, number=f"+44207946{number % 1000:04}", client=name, entity_id=number)
        task = evolve(portal_task(number, now - timedelta(hours=1)), title=f"Позвонить {name}")
        run(tasks.save_tasks, [tasks.Imported(task, (phone,))], now, asked=now)
        if number != 9003:
            attempt = dial(run, number, at=now)
            run(ledger.claim, attempt, now)
            if report is not None:
                run(attempt_end.record, attempt, report, now, EndPolicy())
    run(flags.mark, now, flags.ALIVE, flags.PBX_UP, flags.PORTAL_SEEN)
    return now


@define
class Visitor:
    """A browser without scripts: cookies, pages and their forms."""

    address: str
    session: requests.Session = field(factory=requests.Session)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.address + path, timeout=10, **options)

    def post(self, path: str, **fields: str) -> requests.Response:
        return self.session.post(
            self.address + path, data=fields, timeout=10, allow_redirects=False
        )

    def log_in(self, name: str, password: str = PASSWORD, back: str = "/") -> requests.Response:
        return self.post("/login", name=name, password=password, back=back)

    @property
    def proof(self) -> str:
        found = re.search(r'name="proof" value="([^"]+)"', self.get("/").text)
        assert found is not None
        return found[1]

    def act(self, path: str, **fields: str) -> requests.Response:
        return self.post(path, proof=self.proof, **fields)


@define(eq=False)
class Served:
    """A board that can be stopped and started again."""

    config: Config
    port: int
    tls: tuple[str, str] | None = None  #: certificate and key
    board: Board = field(init=False)
    _server: uvicorn.Server = field(init=False)
    _thread: Thread = field(init=False)

    @property
    def address(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.board = Board(self.config)
        certificate, key = self.tls or (None, None)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.board.site(), host="127.0.0.1", port=self.port, log_level="error",
                timeout_graceful_shutdown=1, ssl_certfile=certificate, ssl_keyfile=key,
            )
        )  # fmt: skip
        self._thread = Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until = monotonic() + 10
        while not self._server.started:
            assert monotonic() < until, "the board does not start"

    def change(self, webhook: str, **board: Any) -> None:
        """Start it again with this portal, and these settings of its own."""
        self.stop()
        portal = self.config.portal.model_copy(update={"webhook": SecretStr(webhook)})
        own = BoardConfig.model_validate(self.config.board.model_dump() | board)
        self.config = self.config.model_copy(update={"portal": portal, "board": own})
        self.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    def visitor(self, name: str | None = None) -> Visitor:
        visitor = Visitor(self.address)
        if name is not None:
            assert 303 == visitor.log_in(name).status_code
        return visitor


@pytest.fixture
def served(config: Config, run: Run, today: datetime) -> Iterator[Served]:
    """With an account for each role, named like it."""
    for role in Role:
        shell = Actor("root", Door.COMMAND)
        operator = 501 if role is Role.OPERATOR else 0
        run(acts.save_account, role.value, role, HASH, shell, today, operator)
    assert len(Role) == len(run(accounts.lines))
    running = Served(config, free_ports(1)[0])
    running.start()
    yield running
    running.stop()


Enter = Callable[..., Page]


@pytest.fixture
def enter(browser: Browser, served: Served) -> Iterator[Enter]:
    """Log in as somebody. At the end, no page may have had an error, or asked another host."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def one(name: str, **options: Any) -> Page:
        context = browser.new_context(locale=options.pop("locale", "en-GB"), **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda said: (
                errors.append(said.text)
                # A board that is stopped, or says 503, is part of some tests.
                if said.type == "error" and not re.search("net::ERR_|503|EventSource", said.text)
                else None
            ),
        )
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith(served.address) else errors.append(asked.url)
            ),
        )
        page.goto(f"{served.address}/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{served.address}/")
        return page

    yield one
    for context in contexts:
        context.close()
    assert errors == []
