"""Web hooks: each event is told until it is answered, in order, signed, whatever breaks."""

import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from attrs import define, evolve, field

from autodial.board.hooks import SIGNATURE, TRIES, WAITS, Hooks
from autodial.config.sections import HookConfig
from autodial.config.settings import Config
from autodial.model.act import Actor, Door
from autodial.model.attempt import Report
from autodial.model.disposition import Disposition
from autodial.model.ids import OperatorId
from autodial.rules.end_policy import EndPolicy
from autodial.store import acts, attempt_end, hook_events, ledger, tasks
from autodial.store.database import Beside
from tests.integration.board.conftest import Served
from tests.integration.cli.test_cli import staff
from tests.integration.conftest import NOON, Now
from tests.integration.store.test_ledger import BUSY, PHONE, TALKED, dial, portal_task

Run = Callable[..., Any]
SECRET = "0123456789abcdef"
SHELL = Actor("root", Door.COMMAND)
GONE = Report(stage="dial", dial_status="CHANUNAVAIL", cause=1)


@define(eq=False)
class Receiver:
    """Another program; ``statuses``: what it answers to the next requests, then 200."""

    statuses: list[int] = field(factory=list)
    told: list[dict[str, Any]] = field(factory=list)
    signatures: list[bool] = field(factory=list)
    something: Event = field(factory=Event)
    url: str = ""

    def take(self, body: bytes, signed: str) -> int:
        right = hmac.new(SECRET.encode(), body, sha256).hexdigest()
        self.signatures.append(hmac.compare_digest(f"sha256={right}", signed))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.told.append(json.loads(body))
            self.something.set()
        return status


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(one.take(body, self.headers[SIGNATURE]))
            if one.statuses[:1] == [302]:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.url = f"http://127.0.0.1:{server.server_port}/autodial"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield one
    server.shutdown()
    server.server_close()
    thread.join()


def hook_to(receiver: Receiver, **changes: Any) -> HookConfig:
    return HookConfig.model_validate(
        {"name": "warehouse", "url": receiver.url, "secret": SECRET, **changes}
    )


@pytest.fixture
def hooks(config: Config, run: Run, now: Now, receiver: Receiver) -> Hooks:
    """A hook that is to be told what happens from now on."""
    staff(run, "101")
    made = Hooks((hook_to(receiver),), Beside(config.store.path), now)
    assert not made.step(made.hooks[0])
    return made


def call(run: Run, task: int, report: Report, at: datetime = NOON) -> str:
    phone = evolve(PHONE, number=f"+44207946{task % 10_000:04}", client="Иван", entity_id=task)
    run(tasks.save_tasks, [tasks.Imported(portal_task(task, at), (phone,))], at, asked=at)
    attempt = dial(run, task, at=at)
    run(ledger.claim, attempt, at)
    run(attempt_end.record, attempt, report, at, EndPolicy())
    return str(attempt)


def tell_all(hooks: Hooks) -> None:
    while hooks.step(hooks.hooks[0]):
        pass


def test_what_happened_is_told_in_order_and_signed(
    hooks: Hooks, run: Run, receiver: Receiver
) -> None:
    call(run, 8101, TALKED)
    call(run, 8102, BUSY)
    run(acts.never_call, "+442079460100", SHELL, NOON, "просил")
    tell_all(hooks)
    assert [
        ("call ended", 8101, "talked"), ("call ended", 8102, "busy"), ("never call", None, None),
    ] == [(one["kind"], one["task"], one.get("outcome")) for one in receiver.told]  # fmt: skip
    talked, _, never = receiver.told
    assert ("+442079468101", "Иван", 501) == (
        talked["number"], talked["client"], talked["operator"]
    )  # fmt: skip
    assert "+442079460100" == never["number"]
    assert all(receiver.signatures)
    ids = [one["id"] for one in receiver.told]
    assert ids == sorted(set(ids))


def test_a_task_that_is_given_up_is_told(hooks: Hooks, run: Run, receiver: Receiver) -> None:
    call(run, 8101, GONE)  # its only number is wrong
    tell_all(hooks)
    assert ["call ended", "task given up"] == [one["kind"] for one in receiver.told]
    assert 8101 == receiver.told[1]["task"] and receiver.told[1]["reason"]


def test_a_task_is_given_up_once_however_late_it_is_told(
    hooks: Hooks, run: Run, receiver: Receiver, now: Now
) -> None:
    """The receiver was away for all the calls of the task."""
    policy = EndPolicy(attempts=2)
    phone = evolve(PHONE, number="+442079460101", client="Иван", entity_id=8101)
    run(tasks.save_tasks, [tasks.Imported(portal_task(8101, NOON), (phone,))], NOON, asked=NOON)
    for hours in (0, 5):
        at = NOON + timedelta(hours=hours)
        attempt = dial(run, 8101, at=at)
        run(ledger.claim, attempt, at)
        run(attempt_end.record, attempt, BUSY, at, policy)
    tell_all(hooks)
    assert ["call ended", "call ended", "task given up"] == [one["kind"] for one in receiver.told]


def test_a_wrong_number_by_an_operator_s_word_gives_the_task_up(
    hooks: Hooks, run: Run, receiver: Receiver
) -> None:
    call(run, 8101, TALKED)
    tell_all(hooks)
    run(acts.dispose, OperatorId(501), Disposition.WRONG_NUMBER, SHELL, NOON, EndPolicy())
    tell_all(hooks)
    assert ["call ended", "task given up"] == [one["kind"] for one in receiver.told]


def test_an_operator_s_word_is_told(hooks: Hooks, run: Run, receiver: Receiver) -> None:
    call(run, 8101, TALKED)
    run(acts.dispose, OperatorId(501), Disposition.DO_NOT_CALL, SHELL, NOON, EndPolicy())
    tell_all(hooks)
    assert ["call ended", "never call"] == [one["kind"] for one in receiver.told]
    assert "+442079468101" == receiver.told[1]["number"]


def test_only_what_was_asked_for_is_told(hooks: Hooks, run: Run, receiver: Receiver) -> None:
    hooks.hooks = (hook_to(receiver, events=["never call"]),)
    call(run, 8101, TALKED)
    run(acts.never_call, "+442079460100", SHELL, NOON)
    tell_all(hooks)
    assert ["never call"] == [one["kind"] for one in receiver.told]


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_is_not_answered_is_told_again_later_and_nothing_overtakes_it(
    hooks: Hooks, run: Run, receiver: Receiver, now: Now, status: int
) -> None:
    call(run, 8101, TALKED)
    call(run, 8102, BUSY)
    receiver.statuses = [status, status]
    for wait in WAITS[:2]:
        tell_all(hooks)
        assert [] == receiver.told
        assert f"HTTP {status}" == run(hook_events.states)["warehouse"].error
        now.advance(seconds=wait - 1)
        tell_all(hooks)
        assert [] == receiver.told, "it waits"
        now.advance(seconds=1)
    tell_all(hooks)
    assert [8101, 8102] == [one["task"] for one in receiver.told]
    assert "" == run(hook_events.states)["warehouse"].error


def test_after_a_restart_it_goes_on_where_it_was(
    hooks: Hooks, config: Config, run: Run, receiver: Receiver, now: Now
) -> None:
    call(run, 8101, TALKED)
    tell_all(hooks)
    call(run, 8102, BUSY)
    again = Hooks(hooks.hooks, Beside(config.store.path), now)
    tell_all(again)
    tell_all(hooks)
    assert [8101, 8102] == [one["task"] for one in receiver.told]


def test_a_receiver_that_never_takes_it_does_not_hold_the_rest_for_ever(
    hooks: Hooks, run: Run, receiver: Receiver, now: Now
) -> None:
    call(run, 8101, TALKED)
    call(run, 8102, BUSY)
    receiver.statuses = [500] * TRIES
    for _ in range(TRIES):
        tell_all(hooks)
        now.advance(seconds=WAITS[-1])
    tell_all(hooks)
    assert [8102] == [one["task"] for one in receiver.told]
    assert 1 == run(hook_events.states)["warehouse"].dropped


def test_nobody_is_there(hooks: Hooks, run: Run, receiver: Receiver) -> None:
    hooks.hooks = (hook_to(receiver, url="http://127.0.0.1:1/x"),)
    call(run, 8101, TALKED)
    tell_all(hooks)
    assert "ConnectionError" == run(hook_events.states)["warehouse"].error


def test_a_running_board_tells(served: Served, run: Run, receiver: Receiver) -> None:
    """And says on its page how far it is."""
    served.stop()
    served.config = served.config.model_copy(update={"hooks": (hook_to(receiver),)})
    served.start()
    until = datetime.now(UTC) + timedelta(seconds=20)
    while "warehouse" not in run(hook_events.states):
        assert datetime.now(UTC) < until
    run(acts.never_call, "+442079460100", SHELL, datetime.now(UTC))
    assert receiver.something.wait(20)
    assert "never call" == receiver.told[0]["kind"]
    assert "warehouse" in served.visitor("viewer").get("/settings").text


@pytest.mark.parametrize(
    "wrong", [{"url": "ftp://x/"}, {"url": "http:///x"}, {"secret": "short"}, {"name": "a b"},
              {"events": ["anything"]}],
)  # fmt: skip
def test_hooks_that_cannot_be(receiver: Receiver, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        hook_to(receiver, **wrong)
