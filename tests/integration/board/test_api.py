"""The API: what programs read and do by their tokens, and requests that nobody thought of."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import schemathesis
from attrs import define
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from autodial.board.site import Board
from autodial.model.act import Actor, Door
from autodial.model.ids import TaskId
from autodial.model.role import Role
from autodial.store import acts, audit, dispositions, in_force, planning
from bitrix24.simulator import SimulatedPortal, serve
from tests.integration.board.conftest import Served

Run = Callable[..., Any]
SHELL = Actor("root", Door.COMMAND)
READS = (
    "/now",
    "/tasks",
    "/tasks/9003",
    "/calls",
    "/report",
    "/work-times",
    "/do-not-call",
    "/log",
)


@define
class Program:
    """A client of the API."""

    address: str
    token: str

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return requests.request(
            method, f"{self.address}/api/v1{path}", headers=headers, timeout=10, **options
        )


@pytest.fixture
def program(served: Served, run: Run) -> Callable[[Role], Program]:
    def of(role: Role) -> Program:
        token = f"autodial_{role.value}"
        run(acts.save_token, role.value, role, token, SHELL, datetime.now(UTC))
        return Program(served.address, token)

    return of


Programs = Callable[[Role], Program]


@pytest.mark.parametrize("path", READS)
def test_what_is_shown_can_be_read(program: Programs, path: str) -> None:
    answer = program(Role.VIEWER).ask("GET", path)
    assert 200 == answer.status_code, answer.text
    assert answer.headers["content-type"] == "application/json"


def test_the_figures_are_those_of_the_pages(program: Programs) -> None:
    viewer = program(Role.VIEWER)
    now = viewer.ask("GET", "/now").json()
    assert {"Анна"} <= {one["name"] for one in now["operators"]}
    assert [9002] == [call["task"] for call in now["calls"]]
    total = viewer.ask("GET", "/report").json()[-1]
    assert (2, 1, 1) == (total["calls"], total["answered"], total["talked"])
    (call,) = viewer.ask("GET", "/calls", params={"number": "+44 20 7946 0001"}).json()
    assert ("talked", 9001) == (call["outcome"], call["task"])
    story = viewer.ask("GET", "/tasks/9000").json()
    assert "not due" == story["reason"] and any(rule["holds"] for rule in story["rules"])


@pytest.mark.parametrize("path", READS)
def test_without_a_token_there_is_nothing(served: Served, path: str) -> None:
    for token in ("", "wrong", "x" * 5000):
        answer = Program(served.address, token).ask("GET", path)
        assert 401 == answer.status_code and "9003" not in answer.text


def test_a_program_acts_by_its_role_and_it_is_logged(program: Programs, run: Run) -> None:
    manager, viewer = program(Role.MANAGER), program(Role.VIEWER)
    assert 403 == viewer.ask("POST", "/tasks/9003/skip", json={}).status_code
    assert {"done": True} == manager.ask("POST", "/tasks/9003/skip", json={"why": "x"}).json()
    assert {"done": False} == manager.ask("POST", "/tasks/9003/skip", json={}).json()
    assert "skipped" == run(planning.load_task, TaskId(9003)).closed_reason
    assert {"done": True} == manager.ask("POST", "/tasks/9003/unskip").json()
    assert {"done": True} == manager.ask("POST", "/tasks/9003/call-now").json()
    pause = {"why": "обед", "until": "2099-01-01T10:00:00+03:00"}
    assert {"done": True} == manager.ask("POST", "/operators/501/pause", json=pause).json()
    assert {501} == run(in_force.paused, datetime.now(UTC))
    assert {"done": True} == manager.ask("POST", "/operators/501/resume").json()
    assert 404 == manager.ask("POST", "/operators/999/pause", json={}).status_code
    number = {"number": "+44 20 7946 0003"}
    assert {"done": True} == manager.ask("POST", "/do-not-call", json=number).json()
    assert 1 == len(run(dispositions.do_not_call_lines))
    assert {"done": True} == manager.ask("DELETE", "/do-not-call/+442079460003").json()
    lines = run(audit.lines, datetime.now(UTC) - timedelta(hours=1))
    acted = [line.act for line in reversed(lines) if (line.who, line.door) == ("manager", "api")]
    assert ["skip", "unskip", "call now", "pause", "resume", "never call", "may call"] == acted


def test_a_token_that_was_replaced_or_removed_is_nobody_s(program: Programs, run: Run) -> None:
    viewer = program(Role.VIEWER)
    run(acts.save_token, "viewer", Role.VIEWER, "another", SHELL, datetime.now(UTC))
    assert 401 == viewer.ask("GET", "/now").status_code
    assert run(acts.remove_token, "viewer", SHELL, datetime.now(UTC))
    assert 401 == Program(viewer.address, "another").ask("GET", "/now").status_code
    assert not run(acts.remove_token, "viewer", SHELL, datetime.now(UTC))


def test_the_crm_is_told_by_this_way_too(served: Served, program: Programs) -> None:
    """Of the client of task 9003, who has this number."""
    portal = SimulatedPortal()
    portal.contacts[9003] = {"ID": 9003}
    with serve(portal) as webhook:
        served.change(webhook)
        number = {"number": "+44 20 7946 0003", "why": "просил"}
        answer = program(Role.MANAGER).ask("POST", "/do-not-call", json=number)
        assert {"done": True} == answer.json()
    (told,) = portal.timeline
    assert 9003 == told["OWNER"] and "просил" in told["COMMENT"]


def test_a_cookie_is_no_token(served: Served) -> None:
    """A page of another site cannot use a manager's login."""
    manager = served.visitor("manager")
    answer = manager.session.post(f"{served.address}/api/v1/tasks/9003/skip", json={}, timeout=10)
    assert 401 == answer.status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Length": "999999999"}, 413), ({"Content-Length": "9" * 5000}, 400),
     ({"Transfer-Encoding": "chunked"}, 411)],
)  # fmt: skip
def test_a_body_has_a_length_and_it_is_short(
    served: Served, headers: dict[str, str], status: int
) -> None:
    """Refused before it is read, and before the token is looked at."""
    asked = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as peer:
        peer.sendall(f"POST /api/v1/do-not-call HTTP/1.1\r\nHost: x\r\n{asked}\r\n".encode())
        answer = peer.recv(4000)
    assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer


def test_requests_that_nobody_thought_of(served: Served, program: Programs) -> None:
    """Each answer is one that the description has, and none is an error of ours."""
    manager = program(Role.MANAGER)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", Board(served.config).site())
    headers = {"Authorization": f"Bearer {manager.token}"}
    seen = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @given(operation.as_strategy())
        @settings(
            max_examples=25, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def one(case: schemathesis.Case[Any]) -> None:
            # (What a description cannot say, as the length of a span, is refused with 400.)
            case.call_and_validate(
                base_url=f"{served.address}/api", headers=headers,
                excluded_checks=[positive_data_acceptance],
            )  # fmt: skip

        one()
        seen.add((operation.method, operation.path))
    assert len(seen) >= 15
