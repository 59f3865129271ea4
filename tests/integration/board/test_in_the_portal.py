"""The board in the portal's frame: who is let in, as what, and what a stranger's post gets."""

import json
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from attrs import define
from playwright.sync_api import Browser, FrameLocator, Page, expect

from autodial.board.access import COOKIE_INSIDE, TOKEN_TRIES
from autodial.board.portal_door import TASK_TAB, _wanted
from autodial.model.ids import TaskId
from autodial.store import audit, in_force, planning
from bitrix24.simulator import Fault, SimulatedPortal, serve
from bitrix24.simulator.placements import open_for
from bitrix24.simulator.seed import add_operator
from tests.integration.board.conftest import Served, Visitor

Run = Callable[..., Any]
MANAGER, VIEWER, NOBODY, ADMINISTRATOR = 601, 602, 603, 604
ROLES = (
    {"role": "manager", "departments": (77,)},
    {"role": "viewer", "groups": (129,)},
)  # fmt: skip


@define
class Inside:
    """A portal, and a board that is its application."""

    served: Served
    portal: SimulatedPortal
    webhook: str

    def post(self, fields: dict[str, Any], visitor: Visitor | None = None) -> requests.Response:
        session = (visitor or Visitor(self.served.address)).session
        return session.post(
            f"{self.served.address}/inside/?DOMAIN=portal&PROTOCOL=1&LANG=ru&APP_SID=1",
            data=fields, timeout=20, allow_redirects=False,
        )  # fmt: skip

    def visitor(self, user: int, placement: str = "DEFAULT", task: int | None = None) -> Visitor:
        """Somebody who has opened the application."""
        visitor = Visitor(f"{self.served.address}/inside")
        options = {"taskId": str(task)} if task else None
        answer = self.post(open_for(self.portal, user, placement, options), visitor)
        assert 303 == answer.status_code, answer.text
        return visitor


@pytest.fixture
def inside(served: Served) -> Iterator[Inside]:
    portal = SimulatedPortal()
    add_operator(portal, 501, "101")
    for number in (MANAGER, VIEWER, NOBODY, ADMINISTRATOR):
        add_operator(portal, number, "")
        portal.users[number] |= {"NAME": f"Имя {number}", "UF_DEPARTMENT": [1]}
    portal.users[MANAGER]["UF_DEPARTMENT"] = [77]
    portal.groups[129] = [VIEWER]
    portal.administrators.add(ADMINISTRATOR)
    with serve(portal) as webhook:
        served.change(webhook, address=served.address, application=portal.client_id, roles=ROLES)
        portal.application_address = f"{served.address}/inside/"
        yield Inside(served, portal, webhook)


@pytest.mark.parametrize(
    ("user", "role"),
    [(MANAGER, "manager"), (VIEWER, "viewer"), (ADMINISTRATOR, "administrator"), (501, "operator")],
)
def test_people_are_known_by_the_portal(inside: Inside, user: int, role: str) -> None:
    """By department, work group, the portal's rights, or as members of the staff."""
    text = inside.visitor(user).get("/tasks", headers={"Accept-Language": "en"}).text
    assert f"({role})" in text
    assert "Log out" not in text, "he came by the portal"


def test_a_task_s_tab_leads_to_its_story(inside: Inside) -> None:
    fields = open_for(inside.portal, MANAGER, TASK_TAB, {"taskId": "9003"})
    answer = inside.post(fields)
    assert "/inside/tasks/9003" == answer.headers["location"]
    manager = inside.visitor(MANAGER, TASK_TAB, 9003)
    assert 200 == manager.get("/tasks/9003").status_code
    assert "no call task" in manager.get("/tasks/4", headers={"Accept-Language": "en"}).text


def test_who_is_nobody_here_sees_nothing(inside: Inside) -> None:
    answer = inside.post(open_for(inside.portal, NOBODY))
    assert 403 == answer.status_code and "set-cookie" not in answer.headers
    without = Visitor(f"{inside.served.address}/inside").get("/tasks", allow_redirects=False)
    assert 403 == without.status_code and "9003" not in without.text
    assert "9003" not in inside.served.visitor().get("/tasks").text


def test_a_token_must_be_of_our_application_and_our_portal(inside: Inside) -> None:
    """Another application's, a made-up, an ended, or an unreadable one."""
    portal = inside.portal
    others = open_for(portal, ADMINISTRATOR, client_id="local.other")
    ended = open_for(portal, ADMINISTRATOR)
    portal.tokens[ended["AUTH_ID"]] = datetime.now(UTC) - timedelta(seconds=1)
    made_up = others | {"AUTH_ID": "0" * 32}
    # (Fewer than lock the address.)
    for fields in (others, ended, made_up, made_up | {"AUTH_ID": "я\r\nX: y"}):
        answer = inside.post(fields)
        assert 403 == answer.status_code, answer.text
        assert "set-cookie" not in answer.headers
    away = [request for request in portal.requests if request != "batch"]
    assert [] == away


def test_strangers_who_try_tokens_wait(inside: Inside) -> None:
    fields = open_for(inside.portal, MANAGER)
    for _ in range(TOKEN_TRIES):
        assert 403 == inside.post(fields | {"AUTH_ID": "0" * 32}).status_code
    assert 429 == inside.post(fields).status_code


@pytest.mark.parametrize(
    "body",
    [b"", b"AUTH_ID=", b"\xff\xfe", b"a=1&" * 100, b"AUTH_ID=" + b"x" * 9000, b"x" * 20_000],
)
def test_a_post_that_the_portal_never_sends(inside: Inside, body: bytes) -> None:
    answer = requests.post(
        f"{inside.served.address}/inside/", data=body, timeout=20, allow_redirects=False,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert answer.status_code in (400, 403, 413)


@pytest.mark.parametrize(
    "options", ["", "undefined", "[]", "null", '"x"', '{"taskId": {}}', '{"taskId": "9/../x"}',
                '{"taskId": "' + "9" * 40 + '"}', "{" * 5000],
)  # fmt: skip
def test_options_that_are_none_lead_to_the_first_page(options: str) -> None:
    assert "/" == _wanted({"PLACEMENT": TASK_TAB, "PLACEMENT_OPTIONS": options})


def test_a_portal_that_is_away_is_said(inside: Inside) -> None:
    fields = open_for(inside.portal, MANAGER)
    inside.portal.fail_next(Fault.HTML)
    assert 502 == inside.post(fields).status_code
    assert 303 == inside.post(fields).status_code


def test_acts_are_logged_with_the_portal_s_user(inside: Inside, run: Run) -> None:
    manager = inside.visitor(MANAGER)
    text = manager.get("/tasks").text
    proof = text.partition('name="proof" value="')[2].partition('"')[0]
    assert 303 == manager.post("/tasks/9003/skip", proof=proof, why="сам").status_code
    assert "skipped" == run(planning.load_task, TaskId(9003)).closed_reason
    (line,) = [
        line for line in run(audit.lines, datetime.now(UTC) - timedelta(hours=1))
        if line.act == "skip"
    ]  # fmt: skip
    assert (f"Имя {MANAGER} Лебедев (portal:{MANAGER})", "portal") == (line.who, line.door)


def test_an_operator_by_rule_who_is_not_of_the_staff_steers_nobody(
    inside: Inside, run: Run
) -> None:
    """Nobody's number is that of everybody."""
    inside.served.change(inside.webhook, roles=({"role": "operator", "users": (NOBODY,)},))
    him = inside.visitor(NOBODY)
    proof = him.get("/tasks").text.partition('name="proof" value="')[2].partition('"')[0]
    assert 403 == him.post("/operators/0/pause", proof=proof).status_code
    assert set() == run(in_force.paused, datetime.now(UTC))


def test_the_doors_do_not_mix(inside: Inside) -> None:
    """A session of the frame opens no page outside of it, and the other way round."""
    manager = inside.visitor(MANAGER)
    token = manager.session.cookies[COOKIE_INSIDE]
    outside = requests.get(
        f"{inside.served.address}/tasks", cookies={"autodial_board": token}, timeout=10,
        allow_redirects=False,
    )  # fmt: skip
    assert outside.status_code == 303, "its cookie is another door's"


def test_only_the_portal_may_frame_it(inside: Inside) -> None:
    manager = inside.visitor(MANAGER)
    policy = manager.get("/tasks").headers["content-security-policy"]
    portal = inside.webhook.partition("/rest/")[0]
    assert f"frame-ancestors 'self' {portal};" in policy
    assert (
        "frame-ancestors 'none'"
        in inside.served.visitor().get("/login").headers["content-security-policy"]
    )


def test_an_administrator_s_visit_makes_the_tab_and_takes_it_away(inside: Inside) -> None:
    handler = f"{inside.served.address}/inside/"
    inside.visitor(MANAGER)
    assert [] == inside.portal.placements, "not by others"
    for _ in range(2):
        inside.visitor(ADMINISTRATOR)
        ((place, bound, titles),) = inside.portal.placements
        assert (TASK_TAB, handler) == (place, bound)
        assert "Автодозвон" == titles["ru"]["TITLE"]
    inside.portal.placements[0] = (TASK_TAB, "https://old.example/inside/", {})
    inside.visitor(ADMINISTRATOR)
    assert [handler] == [bound for _, bound, _ in inside.portal.placements]
    inside.served.change(inside.webhook, task_tab=False)
    inside.visitor(ADMINISTRATOR)
    assert [] == inside.portal.placements


def test_without_an_application_there_is_no_such_door(served: Served) -> None:
    answer = requests.post(f"{served.address}/inside/", data={"AUTH_ID": "x"}, timeout=10)
    assert 404 == answer.status_code


@pytest.fixture
def encrypted(inside: Inside, tmp_path: Path) -> Iterator[str]:
    """
    Portal and board by TLS on hosts of two sites, as in a cloud: what a browser lets a frame of
    another site keep.
    """
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(files[0])
    certificate.private_key_pem.write_to_path(files[1])
    inside.served.stop()
    inside.served.tls = (str(files[0]), str(files[1]))
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with serve(inside.portal, host="localhost", tls=context) as webhook:
        inside.served.start()
        verified = inside.served.config.portal.model_copy(
            update={"verify": tmp_path / "authority.pem"}
        )
        inside.served.config = inside.served.config.model_copy(update={"portal": verified})
        inside.served.change(webhook, address=inside.served.address)
        inside.portal.application_address = f"{inside.served.address}/inside/"
        yield webhook.partition("/rest/")[0]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[[str], tuple[Page, FrameLocator]]]:
    """A page of the portal with the application in its frame."""
    context = browser.new_context(ignore_https_errors=True, locale="en-GB")

    def one(address: str) -> tuple[Page, FrameLocator]:
        page = context.new_page()
        page.goto(address)
        return page, page.frame_locator("iframe")

    yield one
    context.close()


Opened = Callable[[str], tuple[Page, FrameLocator]]


def test_in_a_browser_a_manager_acts_in_the_task_s_tab(
    encrypted: str, inside: Inside, opened: Opened, run: Run
) -> None:
    """The tab is bound by an administrator's visit; the frame grows with its page."""
    opened(f"{encrypted}/application?user={ADMINISTRATOR}")[1].get_by_role(
        "heading", name="Now"
    ).wait_for()
    assert [TASK_TAB] == [place for place, _, _ in inside.portal.placements]
    page, frame = opened(f"{encrypted}/application?user={MANAGER}&task=9003")
    expect(frame.get_by_role("heading", name="9003")).to_be_visible()
    expect(page.locator("iframe")).not_to_have_attribute("height", "400")
    frame.get_by_label("Reason").first.fill("сам позвоню")
    frame.get_by_role("button", name="Skip").click()
    expect(frame.get_by_role("button", name="Take back")).to_be_visible()
    assert "skipped" == run(planning.load_task, TaskId(9003)).closed_reason


def test_in_a_browser_the_first_page_is_live_in_the_frame(
    encrypted: str, inside: Inside, opened: Opened
) -> None:
    _, frame = opened(f"{encrypted}/application?user={MANAGER}")
    frame.get_by_role("button", name="Pause: Анна").click()
    expect(frame.get_by_role("button", name="Resume: Анна")).to_be_visible()


def test_in_a_browser_another_site_may_not_frame_it(
    encrypted: str, inside: Inside, opened: Opened
) -> None:
    """The same page under another name: the browser shows nothing."""
    other = encrypted.replace("localhost", "127.0.0.1")
    page, frame = opened(f"{other}/application?user={MANAGER}")
    page.wait_for_load_state("networkidle")
    assert 0 == frame.get_by_role("heading").count()


def test_options_are_json() -> None:
    options = json.dumps({"taskId": "9003"})
    assert "/tasks/9003" == _wanted({"PLACEMENT": TASK_TAB, "PLACEMENT_OPTIONS": options})
