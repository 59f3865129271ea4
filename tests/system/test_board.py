"""The board on a running exchange, in a real Chromium: what people see and what phones then do."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from autodial.model.outcome import Outcome
from bitrix24.simulator.seed import add_contact, add_task
from demo.rig import Rig
from tests.system import scene

PASSWORD = "correct horse battery"
#: Collects each state that the first page shows: of the tiles, and of the calls under way.
WATCH = """() => {
  window.seen = [];
  const note = () => {
    for (const one of document.querySelectorAll("#live .stage, #live li.tile p")) {
      const text = one.textContent.trim().replace(/:.*/s, "");
      if (!window.seen.includes(text)) window.seen.push(text);
    }
  };
  new MutationObserver(note).observe(document.getElementById("live"), {childList: true});
  note();
}"""


@pytest.fixture
def rig(house: Callable[..., Rig]) -> Rig:
    """One operator at work, who talks for long."""
    running = house(extensions=("101",))
    running.operator(501, "101")
    running.start_dialler()
    return running


@pytest.fixture
def manager(rig: Rig, browser: Browser) -> Page:
    """A manager at the first page."""
    scene.staff(rig, e101="long")
    rig.start_board(manager=PASSWORD)
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(f"{rig.board_page}/")
    page.get_by_label("Name").fill("manager")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{rig.board_page}/")
    return page


def test_a_call_is_seen_through_all_its_stages(rig: Rig, manager: Page) -> None:
    """Dialled, answered, talking with whom, over; nobody loads the page again."""
    expect(manager.locator("li.tile.state-free")).to_be_visible()
    manager.evaluate(WATCH)
    silent = rig.task("44", responsible=501, name="Ольга Ким")
    expect(manager.locator(".stage")).to_have_text("dialling", timeout=60_000)
    expect(manager.locator("li.tile")).to_contain_text("Ольга Ким")
    scene.wait_for_reports(rig, [silent])
    task = rig.task("00", responsible=501, name="Пётр Селезнёв")
    link = manager.locator(f'ul.calls a[href="/tasks/{task}"]')
    expect(link).to_have_text("Пётр Селезнёв", timeout=60_000)
    expect(manager.locator(".stage")).to_have_text("answered", timeout=60_000)
    expect(manager.locator("li.tile")).to_contain_text("Пётр Селезнёв")
    scene.wait_for_talk(rig, "101")
    rig.exchange.pbx.cli("channel request hangup all")
    expect(link).to_have_count(0, timeout=60_000)
    seen = manager.evaluate("window.seen")
    assert {"dialling", "answered", "free", "held for a call"} <= set(seen), seen
    scene.wait_for_reports(rig, [task])
    assert scene.outcome(rig, task) is Outcome.TALKED


def test_call_now_in_the_task_s_tab_makes_the_phone_ring(
    rig: Rig, manager: Page, browser: Browser
) -> None:
    """In the portal: the tab is there after an administrator's visit, and its button dials."""
    code = add_contact(rig.portal, "Ольга Ким", ("MOBILE", "+442079460007"))
    later = datetime.now(UTC) + timedelta(days=2)
    task = add_task(rig.portal, "Позвонить", code, responsible=501, deadline=later)
    rig.wait(lambda: scene.reasons(rig)["not due"] > 0, "the import")
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(rig.application_page)
    expect(page.frame_locator("iframe").get_by_role("heading", name="Now")).to_be_visible()
    page.goto(f"{rig.application_page}&task={task}")
    frame = page.frame_locator("iframe")
    expect(frame.locator(".reason")).to_contain_text("not due yet")
    frame.get_by_role("button", name="Call now").click()
    scene.wait_for_talk(rig, "101")
    rang = [one for one in rig.exchange.journal() if one.kind == "operator"]
    assert [str(task)] == [one.task for one in rang]
    told = scene.autodial(rig, "audit", str(task), "--json")
    assert '(portal:1)"' in told and '"call now"' in told


def test_a_pause_on_the_board_stops_the_dialling(rig: Rig, manager: Page) -> None:
    """Everybody is paused by a button: a due task waits, and says why; then it is dialled."""
    manager.get_by_label("Reason").fill("планёрка")
    manager.get_by_role("button", name="Pause everybody").click()
    expect(manager.get_by_text("everybody is paused: планёрка")).to_be_visible()
    task = rig.task("00", responsible=501)
    rig.wait(lambda: scene.reasons(rig)["paused"] > 0, "the reason")
    assert [] == scene.attempts(rig, task)
    manager.get_by_role("button", name="Resume everybody").click()
    scene.wait_for_talk(rig, "101")
