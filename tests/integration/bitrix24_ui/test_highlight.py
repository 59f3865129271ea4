"""
The highlight of autodial calls in a real Chromium, on a page that imitates the portal's card of
three generations (tests/browser/portal.js), and its pure functions under node.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "bitrix24_ui/highlight.js"
TAG = "АВТОДОЗВОН"
GENERATIONS = ("old", "new", "desktop")
#: The folder for screenshots for the documents.
PICTURES = os.environ.get("AUTODIAL24_PICTURES")
TITLE = "(3) Лента новостей"
OURS, OTHER = f"call('autodial', '{TAG}')", "call('reg151083', '74950000000')"
#: What is visible of a card: place and style of each element and pseudo-element.
SEEN = """() => [...document.querySelectorAll('.popup-window, .popup-window *,'
  + '.im-desktop-popup *, .im-phone-call-panel-mini, .im-phone-call-panel-mini *')].map(node => {
    const box = node.getBoundingClientRect()
    const styles = ['', ':before', ':after'].map(part => {
      const style = getComputedStyle(node, part)
      return [...style].map(name => style.getPropertyValue(name)).join(';')
    })
    return [node.className, node.textContent, box.x, box.y, box.width, box.height, ...styles]
  })"""
BUTTONS = """() => [...document.querySelectorAll('.im-phone-call-btn, .im-phone-btn-arrow')].map(
  node => node.getBoundingClientRect().toJSON())"""
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page over HTTP on loopback, since pages from files share no storage."""
    place = tmp_path_factory.mktemp("site")
    for name in ("portal.js", "portal.html"):
        shutil.copy(ROOT / "tests/browser" / name, place)
    shutil.copy(SCRIPT, place)
    (place / "frame.html").write_text('<iframe src="portal.html?generation=new"></iframe>')

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    fresh = browser.new_context(viewport={"width": 640, "height": 480})
    yield fresh
    fresh.close()


@pytest.fixture
def open_page(context: BrowserContext, site: str) -> Iterator[Open]:
    """Open tabs of the portal. At the end, no page may have thrown an error."""
    errors: list[str] = []

    def one(generation: str = "new", **config: Any) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        asked = {"generation": generation, "config": json.dumps(config)}
        page.goto(f"{site}/portal.html?{urlencode(asked)}")
        return page

    yield one
    assert errors == []


def show(page: Page, call: str, layout: str = "simple", command: str = "showExternalCall") -> None:
    """Let a call come in, and show its card with the title."""
    page.evaluate(f"pull({command!r}, window.last = {call}, {layout!r})")
    page.wait_for_function(
        "(document.querySelector('.im-phone-call-title-text, .im-phone-calling-text') || {})"
        ".textContent"
    )


def painted(page: Page) -> bool:
    """Is the card on the screen highlighted? Checked when all pending work is done."""
    page.evaluate("() => new Promise(done => setTimeout(done, 60))")
    return bool(page.evaluate("document.querySelectorAll('.autodial-call').length === 1"))


def shot(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png")


def shown_word(page: Page) -> str:
    """The text of the pseudo-element."""
    text: str = page.evaluate("""() => {
      const node = document.querySelector('[class*=im-phone-call-panel-mini].autodial-call,'
        + '.im-phone-call-title-text,'
        + '.im-phone-calling-text')
      return [getComputedStyle(node, ':before').content, node.dataset.autodial].join(' ')
    }""")
    return text


@pytest.mark.parametrize("layout", ["simple", "crm"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_our_call_is_seen_and_says_the_word(open_page: Open, generation: str, layout: str) -> None:
    page, plain = open_page(generation), open_page(generation, enabled=False)
    show(plain, OURS, layout)
    show(page, OURS, layout)

    assert painted(page)
    assert TAG in shown_word(page)
    assert page.evaluate(BUTTONS) == plain.evaluate(BUTTONS), "no button has moved"
    header = ".im-phone-call-header-container, .im-phone-calling-section"
    color = f"getComputedStyle(document.querySelector('{header}')).backgroundColor"
    assert page.evaluate(color) == "rgb(106, 27, 154)" != plain.evaluate(color)
    assert generation == "desktop" or page.title() == f"(3) ☎ {TAG} — Лента новостей"
    shot(page, f"{generation}-{layout}")
    page.evaluate("window.card.close()")
    assert not painted(page)
    assert page.title() == TITLE
    assert page.evaluate("window.intervals") == 0, "no timer remains"


@pytest.mark.parametrize("layout", ["simple", "crm"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_ordinary_call_is_left_alone_to_the_last_colour(
    open_page: Open, generation: str, layout: str
) -> None:
    page, plain = open_page(generation), open_page(generation, enabled=False)
    for one in (page, plain):
        show(one, OURS, layout)  # remains of an earlier call of ours must not show
        painted(one)
        one.evaluate("window.card.close()")
        show(one, OTHER, layout)

    assert not painted(page)
    assert page.evaluate(SEEN) == plain.evaluate(SEEN)
    assert (page.title(), page.evaluate("window.intervals")) == (TITLE, 0)
    shot(page, f"{generation}-{layout}-ordinary")


@pytest.mark.parametrize("generation", ["old", "new"])
def test_an_ordinary_card_on_the_screen_stays_so_when_our_call_comes(
    open_page: Open, generation: str
) -> None:
    """Our call then gets no card, not even later."""
    page = open_page(generation)
    show(page, OTHER, "crm")
    before = page.evaluate(SEEN)
    page.evaluate(f"pull('showExternalCall', {OURS}, 'crm')")

    assert not painted(page)
    assert page.evaluate(SEEN) == before
    page.evaluate("window.card.close()")
    show(page, OURS)
    assert painted(page)
    page.evaluate("window.card.close()")
    show(page, OTHER)
    assert not painted(page)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_it_survives_each_redraw(open_page: Open, generation: str) -> None:
    """The root is replaced when the client's data arrive, and the title is written again."""
    page = open_page(generation)
    show(page, OURS)
    for layout in ("crm", "simple", "crm"):
        page.evaluate(f"card.draw('{layout}', card.title)")
        assert painted(page)
        page.evaluate("card.setTitle('Разговор')")
        page.evaluate("card.setTitle(card.title)")
        assert painted(page)
        assert TAG in shown_word(page)


@pytest.mark.parametrize(
    "panel", ["im-phone-call-panel-mini", "im-phone-call-panel-mini-container"]
)
def test_folded_and_unfolded(open_page: Open, panel: str) -> None:
    """The panel has no title. The script remembers the call and shows the word beside it."""
    page = open_page("new")
    page.evaluate(f"window.panelName = '{panel}'")
    show(page, OURS, "crm")
    assert painted(page)
    page.evaluate("card.fold()")
    assert painted(page)
    assert TAG in shown_word(page)
    assert (
        page.evaluate(f"getComputedStyle(document.querySelector('.{panel}')).overflow") == "visible"
    )
    shot(page, "new-folded")
    page.evaluate("card.unfold()")
    assert painted(page)
    page.evaluate("card.fold()")
    page.evaluate("card.close()")
    show(page, OTHER, "crm")
    page.evaluate("card.fold()")
    assert not painted(page)


def test_a_card_that_was_folded_on_the_page_before(open_page: Open) -> None:
    """The portal restores the panel from its storage, without data on whose call it is."""
    page = open_page("new")
    for name, ours in ((TAG, True), ("74950000000", False)):
        kept = json.dumps({"callId": f"x{ours}", "callView": {"companyPhoneNumber": name}})
        page.evaluate(
            f"BX.localStorage = {{get: key => key === 'vox-folded-call-card' ? {kept} : null}}"
        )
        page.evaluate("window.panel = document.body.appendChild(document.createElement('div'))")
        page.evaluate(
            "panel.className = 'im-phone-call-panel-mini'; panel.innerHTML = '<b>00:07</b>'"
        )
        assert painted(page) is ours
        page.evaluate("panel.remove()")
        assert not painted(page)


@pytest.mark.parametrize("tag", ["", "  ", "АВТО  ОБЗВОН", "АВТО\tОБЗВОН"])
@pytest.mark.parametrize("title", ["", TITLE])
def test_no_tag_and_no_title_sets_the_page_running_in_circles(
    open_page: Open, tag: str, title: str
) -> None:
    """A browser returns a title with single blanks, so it can differ from what was written."""
    page = open_page("old", tag=tag)
    page.evaluate(f"document.title = '{title}'")
    show(page, OURS)
    assert painted(page)
    page.evaluate("card.close()")
    assert not painted(page)
    assert page.title() == title


@pytest.mark.parametrize(
    ("generation", "call"),
    [
        ("old", f"call('autodial', '{TAG}', {{withoutName: true}})"),  # no line in the title
        ("new", f"call('autodial', '{TAG}', {{portalCall: true}})"),  # the client is an employee
        ("new", "call('autodial', 'Обзвон')"),  # another name, the right line
        ("new", f"call('autodial-7', '{TAG}: договор 17')"),  # a line of a pool
        ("desktop", "call('autodial', 'Автодозвон')"),
    ],
)
def test_by_what_it_is_recognised(open_page: Open, generation: str, call: str) -> None:
    page = open_page(generation)
    show(page, call)
    assert painted(page)


def test_the_sip_connector_s_line_is_known_by_its_title(open_page: Open) -> None:
    page = open_page("new")
    ringing = f"call('reg7', '{TAG}', {{phoneNumber: '79990001122'}})"
    show(page, ringing, command="invite")
    assert painted(page)


def test_the_app_s_window_knows_a_call_that_its_main_window_heard_of(open_page: Open) -> None:
    """In the oldest app the call window knows only the call's id."""
    main, window = open_page("old"), open_page("desktop")
    main.evaluate(f"pull('showExternalCall', window.last = {OURS})")
    number = main.evaluate("window.last.callId")
    show(window, f"call(undefined, undefined, {{callId: '{number}'}})")
    assert painted(window)


def test_a_call_is_announced_by_one_sound_over_all_tabs(open_page: Open) -> None:
    tabs = [open_page("old", sound="/beep.mp3") for _ in range(3)]
    for tab in tabs:
        show(tab, f"call('autodial', '{TAG}', {{callId: 'externalCall.one'}})")
    for tab in tabs:
        assert painted(tab)
    tabs[0].wait_for_function("localStorage.getItem('heard')")
    tabs[0].wait_for_timeout(400)

    assert tabs[0].evaluate("localStorage.getItem('heard')") == "/beep.mp3 "


LOOKUP = """BX.rest = {callMethod: (method, asked, done) => {
  window.asked = [method, asked]
  setTimeout(() => done({error: () => null, data: () => ({tasks: TASKS})}), DELAY)
}}"""


def looked_up(page: Page, tasks: str, delay: int) -> str:
    page.evaluate(LOOKUP.replace("TASKS", tasks).replace("DELAY", str(delay)))
    show(page, OURS, "crm")
    painted(page)
    text: str = page.evaluate(
        "[...document.querySelectorAll('.autodial-call-link')]"
        ".map(link => link.href + ' ' + link.textContent).join('|')"
    )
    return text


def test_the_task_is_linked_and_its_title_is_text(open_page: Open) -> None:
    """A title is shown as text, whatever characters it has."""
    page = open_page("new", link=True)
    title = "<img src=x onerror=alert(1)> Перезвонить"
    text = looked_up(page, json.dumps([{"id": "8017", "title": title}]), 0)
    shot(page, "new-crm-link")

    assert text.endswith(f"/company/personal/user/1/tasks/task/view/8017/ Задача 8017: {title}")
    assert page.evaluate("document.images.length") == 0
    method, asked = page.evaluate("window.asked")
    assert method == "tasks.task.list"
    assert asked["filter"] == {"UF_AUTODIAL_CALL": page.evaluate("window.last.callId")}
    page.evaluate("card.draw('crm', card.title)")
    page.wait_for_function("document.querySelectorAll('.autodial-call-link').length === 1")


@pytest.mark.parametrize("tasks", ["[]", "null", "[{}]", "'x'", "[{id: -1}]", "[{id: 'x'}]"])
def test_no_task_is_no_link(open_page: Open, tasks: str) -> None:
    assert looked_up(open_page("new", link=True), tasks, 0) == ""


def test_a_slow_lookup_is_given_up(open_page: Open) -> None:
    page = open_page("new", link=True)
    page.clock.install()
    page.evaluate(LOOKUP.replace("TASKS", "[{id: 1, title: 'x'}]").replace("DELAY", "9000"))
    page.evaluate(f"pull('showExternalCall', {OURS}, 'crm')")
    page.clock.run_for(20_000)

    assert page.evaluate("document.querySelectorAll('.autodial-call').length") == 1
    assert page.evaluate("document.querySelectorAll('.autodial-call-link').length") == 0


def test_the_messenger_rewrites_the_tab_s_title_and_the_mark_comes_back(open_page: Open) -> None:
    page = open_page("old")
    show(page, OURS)
    assert painted(page)
    page.evaluate("document.title = '(4) Лента новостей'")
    page.wait_for_function(f"document.title === '(4) ☎ {TAG} — Лента новостей'")
    page.evaluate("card.close()")
    painted(page)

    assert page.title() == "(4) Лента новостей"


#: What the messenger does for each message: it looks for its counter at the beginning only.
MESSENGER = """count => {
  const bare = document.title.replace(/^\\(\\d+\\+?\\) /, '')
  document.title = count ? '(' + count + ') ' + bare : bare
}"""


@pytest.mark.parametrize("generation", ["old", "new"])
def test_messages_during_the_call_leave_no_trace_in_the_title(
    open_page: Open, generation: str
) -> None:
    page = open_page(generation)
    show(page, OURS)
    for count in (4, 5, 0, 12):
        page.evaluate(MESSENGER, count)
        assert painted(page)
    assert page.title() == f"(12) ☎ {TAG} — Лента новостей"
    page.evaluate("card.close()")
    painted(page)
    assert page.title() == "(12) Лента новостей"
    assert page.evaluate("intervals") == 0


def test_a_slider_brings_no_mark_back_when_the_call_is_over(open_page: Open) -> None:
    """The slider stores the title when it opens, and restores it when it closes."""
    page = open_page("new")
    show(page, OURS)
    assert painted(page)
    page.evaluate("window.kept = document.title; document.title = 'Задача 8017'")
    assert painted(page)
    assert page.title() == f"☎ {TAG} — Задача 8017"
    page.evaluate("card.close()")
    painted(page)
    assert page.title() == "Задача 8017"
    for _ in range(2):
        page.evaluate("document.title = window.kept")
        painted(page)
        assert page.title() == TITLE
    page.evaluate(MESSENGER, 9)
    painted(page)
    assert page.title() == "(9) Лента новостей"


@pytest.mark.parametrize("own", [f"{TAG} — ДОЛГ", "а\u0001б", f"ДОЛГ — {TAG}"])
def test_words_that_begin_as_others_do_not_run_in_circles(open_page: Open, own: str) -> None:
    page = open_page("new", lines=["autodial", {"line": "autodial-debt", "tag": own}])
    page.evaluate("""() => {
      window.writes = 0
      new MutationObserver(() => window.writes++).observe(
        document.querySelector('title'), {childList: true})
    }""")
    show(page, "call('autodial-debt', 'x')")
    assert painted(page)
    for count in (4, 5):
        page.evaluate(MESSENGER, count)
        painted(page)
    assert page.evaluate("window.writes") < 12
    page.evaluate("card.close()")
    painted(page)
    assert page.title() == "(5) Лента новостей"


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    "call",
    [
        "call('reg1', '74950000000', {portalCall: true})",  # the title is a colleague's name
        "call('reg1', 'ООО Долгострой')",
        "call('reg1', 'Отдел ДОЛГ')",  # another line, whatever its name
    ],
)
def test_a_word_within_another_is_not_the_word(open_page: Open, generation: str, call: str) -> None:
    page = open_page(generation, lines=[{"line": "autodial-debt", "tag": "ДОЛГОВ"}, "autodial"])
    page.evaluate("window.colleague = 'Звонок от Долговой Анны'")
    show(page, call)
    page.evaluate("window.card.portal && card.setTitle(window.colleague)")
    assert not painted(page)
    assert page.title() == TITLE


def test_a_title_that_others_have_marked_is_theirs(open_page: Open) -> None:
    """No call of ours was on this page: nothing is removed from its title."""
    page = open_page("new")
    page.evaluate(f"document.title = '☎ {TAG} — заметка'")
    show(page, OTHER)
    painted(page)
    page.evaluate("card.close()")
    painted(page)
    assert page.title() == f"☎ {TAG} — заметка"


LINES = [
    "autodial",
    {"line": "autodial-debt", "tag": "ДОЛГ", "color": "#b71c1c"},
    {"line": "autodial-x", "tag": "ДОЛГИ СТАРЫЕ"},
]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    ("call", "expected", "color"),
    [
        ("call('autodial', 'x')", TAG, "rgb(106, 27, 154)"),
        ("call('autodial-debt', 'x')", "ДОЛГ", "rgb(183, 28, 28)"),
        ("call('autodial-7', 'ДОЛГ: договор 17')", "ДОЛГ", "rgb(183, 28, 28)"),
        ("call('autodial-8', 'ДОЛГИ СТАРЫЕ: договор 17')", "ДОЛГИ СТАРЫЕ", "rgb(106, 27, 154)"),
    ],
)
def test_a_line_has_a_word_and_a_colour_of_its_own(
    open_page: Open, generation: str, call: str, expected: str, color: str
) -> None:
    page = open_page(generation, lines=LINES)
    show(page, call, "crm")
    assert painted(page)
    assert expected == shown_word(page).split('" ')[1] or expected in shown_word(page)
    header = "getComputedStyle(document.querySelector('.im-phone-call-header-container'))"
    assert color == page.evaluate(f"{header}.backgroundColor")
    shot(page, f"{generation}-debt") if expected == "ДОЛГ" else None
    page.evaluate("card.close()")
    show(page, OURS, "crm")
    assert painted(page)
    assert page.evaluate(f"{header}.backgroundColor") == "rgb(106, 27, 154)"


def test_the_other_window_knows_a_look_of_its_own(open_page: Open) -> None:
    main, window = open_page("old", lines=LINES), open_page("desktop", lines=LINES)
    main.evaluate("pull('showExternalCall', window.last = call('autodial-debt', 'x'))")
    number = main.evaluate("window.last.callId")
    show(window, f"call(undefined, undefined, {{callId: '{number}'}})")
    assert painted(window)
    assert "ДОЛГ" in shown_word(window)


@pytest.mark.parametrize("layout", ["simple", "crm"])
def test_a_folded_panel_names_the_client(open_page: Open, layout: str) -> None:
    """By the name on the card, or the name that came with the call."""
    page = open_page("new")
    name = "</b><img src=x onerror=alert(1)>Иван"
    fields = json.dumps({"CRM": {"FOUND": "Y", "CONTACT": {"NAME": name}}})
    show(page, f"call('autodial', '{TAG}', {fields})", layout)
    assert painted(page)
    page.evaluate("card.fold()")
    assert painted(page)
    assert (name if layout == "simple" else "Пётр Петров") in page.evaluate(
        "document.querySelector('.autodial-call').dataset.autodial"
    )
    assert page.evaluate("document.images.length") == 0
    box = """() => {
      const panel = document.querySelector('.im-phone-call-panel-mini')
      return [panel.scrollWidth <= panel.clientWidth, panel.offsetHeight]
    }"""
    assert page.evaluate(box)[1] == 48
    shot(page, f"folded-{layout}")


@pytest.mark.parametrize("layout", ["simple", "crm"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_title_of_the_task_on_a_line_of_a_pool_can_be_read(
    open_page: Open, generation: str, layout: str
) -> None:
    """At the end of the card's title it would be cut off, so it is shown below."""
    page = open_page(generation)
    before = f"call('autodial-1', '{TAG}')"
    show(page, before, layout)
    painted(page)
    buttons = page.evaluate(BUTTONS)
    page.evaluate("card.close()")
    title = "Перезвонить по договору 17 до конца недели"
    show(page, f"call('autodial-1', '{TAG}: {title}')", layout)
    assert painted(page)
    assert page.evaluate(BUTTONS) == buttons
    shot(page, f"{generation}-pool-{layout}")
    if layout == "simple":  # this layout has room for the whole title
        shown = "document.querySelector('.im-phone-calling-text')"
        assert page.evaluate(f"{shown}.scrollHeight <= {shown}.clientHeight")
        assert page.evaluate("document.querySelectorAll('.autodial-call-link').length") == 0
        return
    line = "document.querySelector('.autodial-call-link')"
    assert page.evaluate(f"{line}.textContent") == title
    assert page.evaluate(f"{line}.scrollWidth <= {line}.clientWidth"), "it is not cut off"


@pytest.mark.parametrize("first", ["[]", "null"])
def test_the_task_is_asked_for_again_while_the_card_is_up(open_page: Open, first: str) -> None:
    """The dialler writes the call into its task a moment after the card appears."""
    page = open_page("new", link=True)
    page.evaluate("""first => {
      window.asks = 0
      BX.rest = {callMethod: (method, asked, done) => {
        const tasks = window.asks++ < 2 ? first : [{id: 8017, title: 'x'}]
        setTimeout(() => done({error: () => null, data: () => ({tasks: tasks})}), 0)
      }}
    }""", json.loads(first))  # fmt: skip
    show(page, OURS, "crm")
    page.wait_for_selector("a.autodial-call-link", timeout=9000)
    assert page.evaluate("window.asks") == 3


def test_the_task_is_not_asked_for_when_the_card_has_gone(open_page: Open) -> None:
    page = open_page("new", link=True)
    page.clock.install()
    page.evaluate(LOOKUP.replace("TASKS", "[]").replace("DELAY", "0") + "; window.asks = 0")
    page.evaluate(
        "(rest => BX.rest = {callMethod: (...all) => { asks++; rest.callMethod(...all) }})(BX.rest)"
    )
    page.evaluate(f"pull('showExternalCall', {OURS}, 'crm')")
    page.clock.run_for(500)
    page.evaluate("card.close()")
    page.clock.run_for(30_000)
    assert page.evaluate("window.asks") == 1


@pytest.mark.parametrize("layout", ["simple", "crm"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_link_adds_no_height_when_the_title_is_written_anew(
    open_page: Open, generation: str, layout: str
) -> None:
    page = open_page(generation, link=True)
    tasks = json.dumps([{"id": 8017, "title": "Перезвонить " * 12}])
    page.evaluate(LOOKUP.replace("TASKS", tasks).replace("DELAY", "0"))
    show(page, OURS, layout)
    assert painted(page)
    page.wait_for_selector("a.autodial-call-link")
    buttons = page.evaluate(BUTTONS)
    height = (
        "document.querySelector('.im-phone-call-header, .im-phone-calling-section').offsetHeight"
    )
    before = page.evaluate(height)
    for title in ("Разговор", "Звонок"):
        page.evaluate(f"card.setTitle('{title} ' + card.title)")
        painted(page)
    page.evaluate("card.setTitle(card.title)")
    painted(page)
    assert page.evaluate(height) == before
    assert page.evaluate(BUTTONS) == buttons


def test_a_folded_panel_is_dressed_once(open_page: Open) -> None:
    """Other changes on the page do not repeat the work."""
    page = open_page("new")
    show(page, OURS, "crm")
    painted(page)
    page.evaluate("card.fold()")
    painted(page)
    page.evaluate("""() => {
      window.changes = 0
      new MutationObserver(all => window.changes += all.length).observe(
        document.querySelector('.im-phone-call-panel-mini'), {attributes: true})
    }""")
    for n in range(5):
        page.evaluate(f"document.querySelector('p').textContent = 'слово {n}'")
        painted(page)
    assert page.evaluate("window.changes") == 0


def test_a_link_takes_the_place_of_the_title(open_page: Open) -> None:
    page = open_page("new", link=True)
    show(page, f"call('autodial-1', '{TAG}: договор 17')", "crm")
    painted(page)
    assert page.evaluate("document.querySelector('.autodial-call-link').nodeName") == "SPAN"
    ready = LOOKUP.replace("TASKS", "[{id: 8017, title: 'договор 17'}]").replace("DELAY", "0")
    page.evaluate(ready)  # only now is BX.rest loaded
    page.wait_for_selector("a.autodial-call-link")
    assert page.evaluate("document.querySelectorAll('.autodial-call-link').length") == 1


@pytest.mark.parametrize(
    ("language", "expected"),
    [("ru", "Задача"), ("kz", "Задача"), ("uz", "Задача"), ("en", "Task"), ("de", "Task"),
     ("ua", "Task")],
)  # fmt: skip
def test_portals_in_other_languages(open_page: Open, language: str, expected: str) -> None:
    page = open_page("new", link=True)
    page.evaluate(f"BX.message = name => name === 'LANGUAGE_ID' ? '{language}' : 1")
    assert f" {expected} 8017: x" in looked_up(page, '[{"id": "8017", "title": "x"}]', 0)


def test_the_script_is_ascii() -> None:
    """A portal in windows-1251 would serve other characters in the wrong encoding."""
    assert SCRIPT.read_bytes().isascii()


@pytest.mark.parametrize("generation", ["old", "new"])
def test_nothing_is_thrown_into_the_portal(open_page: Open, generation: str) -> None:
    """Malformed events do no harm. Errors of other subscribers are not counted."""
    page = open_page(generation)
    for odd in (
        "null",
        "undefined",
        "{}",
        "{callId: {}}",
        "7",
        "[]",
        "{callId: 'x', lineNumber: {}}",
    ):
        page.evaluate(f"emit('onPullEvent-voximplant', 'showExternalCall', {odd}, null)")
        page.evaluate(f"emit('BackgroundCallCard::initialized', {odd})")
        page.evaluate(f"pullers.forEach(work => work({{command: 'invite', params: {odd}}}))")
        page.evaluate(f"pullers.forEach(work => work({odd}))")
    page.evaluate("Object.defineProperty(window, 'PCW', {get() { throw new Error('x') }})")
    page.evaluate("localStorage.setItem('autodial-highlight-calls', '{\"a\":')")
    page.evaluate(f"pull('showExternalCall', {OURS})")
    page.evaluate("emit('CallCard::AfterClose')")

    assert page.evaluate("window.thrown") is None


def test_a_throwing_subscriber_before_ours_leaves_the_card_recognised(open_page: Open) -> None:
    page = open_page("new")
    page.evaluate("pullers.unshift(() => { throw new Error('of others') })")
    show(page, OURS)
    assert painted(page)


def test_without_the_portal_s_library_the_card_s_own_words_decide(open_page: Open) -> None:
    page = open_page("none")
    page.evaluate(f"""document.body.insertAdjacentHTML('beforeend',
      '<div class="im-phone-call-wrapper"><div class="im-phone-calling-section">'
      + '<div class="im-phone-calling-text">Звонок, поступил на номер {TAG}</div></div></div>')""")
    assert painted(page)


def test_in_a_slider_s_frame_it_does_nothing(context: BrowserContext, site: str) -> None:
    page = context.new_page()
    page.goto(f"{site}/frame.html")
    frame = page.frames[1]
    frame.wait_for_load_state()
    frame.evaluate(f"pull('showExternalCall', {OURS})")
    page.wait_for_timeout(200)

    assert frame.evaluate("document.querySelectorAll('.autodial-call').length") == 0


def node(program: str) -> Any:
    """Run a program under the node of the browser's driver."""
    running = [str(compute_driver_executable()[0]), "-e", program]
    done = subprocess.run(running, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def pure(call: str) -> Any:
    return node(
        f"const h = require({str(SCRIPT.resolve())!r}); console.log(JSON.stringify({call}))"
    )


@pytest.mark.parametrize("color", ["#6a1b9a", "#ffd600", "#b71c1c", "#2e7d32", "#777777", "#fff"])
def test_what_is_on_the_colour_can_be_read(color: str) -> None:
    """WCAG AA: 4.5 to 1, for text of any size."""
    assert pure(f"h.contrast({color!r}, h.textOn({color!r}))") >= 4.5
    assert pure("h.contrast('#000000', '#ffffff')") == 21


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("h.settings(null).tag", TAG),
        ("h.settings({color: 'red; } body {'}).color", "#6a1b9a"),
        ("h.settings({lines: 'a', tag: ' x '}).lines", [{"line": "a", "look": 0}]),
        ("h.settings({lines: [{line: 'a', tag: 7, color: 'red'}, null]}).looks.length", 1),
        ("h.lookOf('autodial', '', h.settings({}))", 0),
        ("h.lookOf('', '', h.settings({lines: ['']}))", -1),
        ("h.lookOf(undefined, 'Линия Автодозвон 2', h.settings({}))", 0),
        ("h.lookOf('', 'anything', h.settings({tag: ' '}))", -1),
        ("h.lookOf('', 'ДОЛГ: повторный автодозвон', h.settings({lines: [{tag: 'ДОЛГ'}]}))", 1),
        ("h.lookOf('a-1', 'ДОЛГ: x', h.settings({lines: ['a-1', {line: 'd', tag: 'ДОЛГ'}]}))", 1),
        ("h.lookOf('d', 'АВТОДОЗВОН', h.settings({lines: [{line: 'd', tag: 'ДОЛГ'}]}))", 1),
        ("h.lookOf('', 'ООО Долгострой', h.settings({tag: 'ДОЛГ'}))", -1),
        ("h.lookOf('', 'Мой долг!', h.settings({tag: 'ДОЛГ'}))", 0),
        ("h.clientOf({phoneNumber: '79990001122'}, 'showExternalCall')", "+79990001122"),
        ("h.clientOf({phoneNumber: '0000000000'}, 'showExternalCall')", "0000000000"),
        ("h.clientOf({phoneNumber: '101'}, 'showExternalCall')", "101"),
        ("h.behindTag('Звонок, поступил на номер Автодозвон: договор: 17', 'АВТОДОЗВОН')",
         "договор: 17"),
        ("h.settings({tag: ' АВТО \\n ОБЗВОН '}).tag", "АВТО ОБЗВОН"),
        ("h.lookOf('AutoDial', '', h.settings({}))", 0),
        ("h.unmarked('☎ T —', h.settings({tag: 'T'}))", ""),
        ("h.unmarked('(5) ☎ T — (4) ☎ T — a', h.settings({tag: 'T'}))", "(5) (4) a"),
        ("h.marked('(5) a', 'T', h.settings({tag: 'T'}))", "(5) ☎ T — a"),
        ("h.recalled('{\"a\": [5, \"X\"], \"b\": 5}', 'a', h.settings({lines: [{tag: 'X'}]}))", 1),
        ("h.announced('hideExternalCall', {callId: 'x'}, h.settings({}))", None),
        ("h.announced('showExternalCall', {callId: 7, lineNumber: 'y'}, h.settings({}))",
         {"id": "7", "look": -1, "client": ""}),
        ("(c => h.unmarked(h.marked(h.marked('a', 'T', c), 'T', c), c))(h.settings({tag: 'T'}))",
         "a"),
        ("h.remembered('{\"old\": 1, \"new\": 99}', 'x', 6 * 3600 * 1000 + 50)",
         '{"new":99,"x":21600050}'),
        ("h.remembered('not json', '', 5)", "{}"),
        ("h.taskOf({tasks: [{id: '5', title: 'a'}]}, '7').href",
         "/company/personal/user/7/tasks/task/view/5/"),
        ("h.taskOf({tasks: [{ID: '5', TITLE: 'a'}]}, '7\"><b').href",
         "/company/personal/user/7/tasks/task/view/5/"),
    ],
)  # fmt: skip
def test_pure_functions(call: str, expected: object) -> None:
    assert pure(call) == expected


def test_the_script_is_es5() -> None:
    """The app of 2017 has an old Chromium: no arrows, templates, let, classes or promises."""
    text = SCRIPT.read_text(encoding="utf-8")
    later = (
        "=>",
        "`",
        "let ",
        "const ",
        "class ",
        "async ",
        "fetch(",
        "Promise",
        "...",
        "?.",
        "??",
    )
    code = "\n".join(row for row in text.splitlines() if not row.strip().startswith(("/*", "*")))
    assert [syntax for syntax in later if syntax in code] == []
