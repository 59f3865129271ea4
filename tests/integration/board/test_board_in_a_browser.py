"""The board in a real Chromium: live, by keyboard, for everybody's eyes."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from autodial.model.ids import OperatorId
from autodial.store import accounts, in_force, pauses
from tests.integration.board.conftest import Enter, Served

Run = Callable[..., Any]
#: The folder for pictures of the pages, for the documents.
PICTURES = os.environ.get("AUTODIAL24_PICTURES")
PAGES = {"now": "/", "tasks": "/tasks", "task": "/tasks/9000", "calls": "/calls", "day": "/day",
         "month": "/month", "operator": "/operators/501", "never": "/never",
         "settings": "/settings", "log": "/log"}  # fmt: skip


def test_what_changes_is_seen_without_loading_the_page_again(
    enter: Enter, served: Served, run: Run
) -> None:
    """Somebody else pauses Anna: the tile shows it, and the focus stays where it was."""
    page = enter("manager")
    tile = page.locator("li.tile", has_text="Анна")
    expect(tile).to_contain_text("held for a call")
    other = page.get_by_role("button", name="Pause everybody")
    other.focus()
    run(pauses.pause, OperatorId(501), datetime.now(UTC))
    expect(tile).to_contain_text("paused")
    expect(page.get_by_role("button", name="Resume: Анна")).to_be_visible()
    expect(other).to_be_focused()


def test_what_is_being_written_is_not_lost_when_the_page_changes(
    enter: Enter, served: Served, run: Run
) -> None:
    """The reason of a pause is outside the part that is replaced."""
    page = enter("manager")
    page.get_by_label("Reason").fill("обед")
    run(pauses.pause, OperatorId(502), datetime.now(UTC))
    expect(page.locator("li.tile.state-paused")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value("обед")
    page.get_by_role("button", name="Pause: Анна").click()
    expect(page.get_by_role("button", name="Resume: Анна")).to_be_visible()
    pause = run(pauses.of, OperatorId(501))
    assert pause is not None and "обед" == pause.why


def test_enter_in_the_reason_does_nothing(enter: Enter, served: Served, run: Run) -> None:
    """It neither logs out nor pauses anybody: each button is pressed by itself."""
    page = enter("manager")
    page.get_by_label("Reason").fill("обед")
    page.keyboard.press("Enter")
    page.reload()
    expect(page.get_by_role("button", name="Pause everybody")).to_be_visible()
    assert set() == run(in_force.paused, datetime.now(UTC))


def test_two_managers_at_once(enter: Enter, served: Served, run: Run) -> None:
    """What one does by a button, the other sees; both may press the same."""
    one, two = enter("manager"), enter("administrator")
    one.get_by_role("button", name="Pause: Анна").click()
    expect(two.get_by_role("button", name="Resume: Анна")).to_be_visible()
    two.get_by_role("button", name="Resume: Анна").click()
    expect(one.get_by_role("button", name="Pause: Анна")).to_be_visible()
    assert set() == run(in_force.paused, datetime.now(UTC))


def test_a_lost_connection_is_said_and_found_again(enter: Enter, served: Served, run: Run) -> None:
    """The board is restarted: the page says that it is old, and goes on by itself."""
    page = enter("viewer")
    lost = page.locator("#lost")
    expect(lost).to_be_hidden()
    served.stop()
    expect(lost).to_be_visible()
    expect(lost).to_contain_text("what you see is of")
    run(pauses.pause, OperatorId(501), datetime.now(UTC))
    served.start()
    expect(lost).to_be_hidden(timeout=20_000)
    expect(page.locator("li.tile", has_text="Анна")).to_contain_text("paused")


def test_a_store_that_cannot_be_read_does_not_look_alive(
    enter: Enter, served: Served, run: Run
) -> None:
    page = enter("viewer")
    lost = page.locator("#lost")
    path = served.config.store.path
    moved = path.with_suffix(".away")
    path.rename(moved)
    expect(lost).to_be_visible()
    moved.rename(path)
    run(pauses.pause, OperatorId(501), datetime.now(UTC))
    expect(lost).to_be_hidden(timeout=20_000)
    expect(page.locator("li.tile", has_text="Анна")).to_contain_text("paused")


def test_a_session_that_ends_leads_to_the_login(enter: Enter, served: Served, run: Run) -> None:
    """Also on a wall screen that nobody touches."""
    page = enter("viewer")
    run(accounts.remove, "viewer")
    served.stop()
    served.start()
    expect(page.get_by_label("Password")).to_be_visible(timeout=20_000)


def test_a_hostile_name_is_text_also_when_it_comes_live(enter: Enter, run: Run) -> None:
    page = enter("viewer")
    run(pauses.pause, OperatorId(502), datetime.now(UTC))
    tile = page.locator("li.tile.state-paused")
    expect(tile).to_contain_text("<img src=x onerror=")
    assert 0 == page.locator("img").count()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(enter: Enter, served: Served, name: str, scheme: Any) -> None:
    """axe finds nothing against WCAG 2.2 AA, on a phone's width, in both colour schemes."""
    page = enter("administrator", color_scheme=scheme, viewport={"width": 400, "height": 800})
    page.goto(served.address + PAGES[name])
    page.wait_for_load_state()
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": rules}})
    assert 0 == found.violations_count, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "sideways"
    if PICTURES and scheme == "light":
        page.set_viewport_size({"width": 1100, "height": 760})
        page.screenshot(path=Path(PICTURES) / f"board-{name}.png")


def test_by_keyboard_alone(enter: Enter, served: Served, run: Run) -> None:
    """The first key leads past the navigation; a button is pressed by Enter."""
    page = enter("manager")
    page.goto(served.address + "/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Pause everybody")
    for _ in range(10):  # past the reason and the time
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume everybody")).to_be_visible()
    assert 0 in run(in_force.paused, datetime.now(UTC))
