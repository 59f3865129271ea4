"""The module that installs the highlight on the portal: its PHP with stubs of portal classes."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
MODULE = ROOT / "bitrix24_ui/autodial24.highlight"
HANDLER = r"main OnEpilog autodial24.highlight Autodial24\Highlight\Page onEpilog"
DEFAULTS = {
    "enabled": "Y", "lines": "autodial", "tag": "АВТОДОЗВОН", "color": "#6a1b9a", "sound": "",
    "link": "", "field": "UF_AUTODIAL_CALL",
}  # fmt: skip


#: The second step of the removal, without and with the settings kept.
REMOVE = {"step": "2", "sessid": "known"}
KEEP = {**REMOVE, "savedata": "Y"}


def php(root: Path, *steps: object) -> list[Any]:
    """The results of these steps in one run. A notice or warning of PHP is a failure."""
    running = ["php", str(ROOT / "tests/browser/portal.php"), str(MODULE), str(root)]
    done = subprocess.run(
        [*running, json.dumps(steps)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results: list[Any] = json.loads(done.stdout)
    return results


def test_it_installs_and_uninstalls_without_a_trace(tmp_path: Path) -> None:
    """One handler and one folder. After the removal neither is left, nor any settings."""
    (tmp_path / "bitrix/js/others").mkdir(parents=True)
    installed, there = php(tmp_path, ["install"])
    script = tmp_path / "bitrix/js/autodial24/highlight/highlight.js"

    assert installed is True
    assert there[:2] == [[HANDLER], ["autodial24.highlight"]]
    assert script.read_bytes() == (ROOT / "bitrix24_ui/highlight.js").read_bytes()
    saved = {"autodial24": DEFAULTS, "sessid": "known"}
    gone = php(tmp_path, ["install"], ["settings", saved], ["uninstall", REMOVE])[-1]
    assert gone[:3] == [[], [], []]
    assert not script.parent.parent.exists()
    assert (tmp_path / "bitrix/js/others").is_dir()


def test_an_update_keeps_the_settings(tmp_path: Path) -> None:
    """The removal asks first, as the portal's own modules do. A forged form removes nothing."""
    given = {"autodial24": {**DEFAULTS, "tag": "ОБЗВОН"}, "sessid": "known"}
    results = php(
        tmp_path, ["install"], ["settings", given], ["uninstall"],
        ["uninstall", {**KEEP, "sessid": "x"}], ["uninstall", KEEP], ["install"], ["page"],
    )  # fmt: skip
    _, _, _, asked, first, forged, second, gone, kept, *_, (strings, _) = results
    assert asked is False and 'name="savedata" value="Y" checked' in first[5]
    assert forged is False and first[1] == second[1] == ["autodial24.highlight"]
    assert gone is True and kept[:2] == [[], []]
    assert configuration(strings[0])["tag"] == "ОБЗВОН"


def test_a_new_script_is_loaded_after_an_update(tmp_path: Path) -> None:
    """The update copies only the module's files. Pages still load the old script."""
    php(tmp_path, ["install"])
    script = tmp_path / "bitrix/js/autodial24/highlight/highlight.js"
    script.write_text("// of the version before")
    ((_, scripts),) = php(tmp_path, ["page"])
    assert script.read_bytes() == (ROOT / "bitrix24_ui/highlight.js").read_bytes()
    assert scripts == ["/bitrix/js/autodial24/highlight/highlight.js"]


def test_on_a_portal_in_windows_1251_the_words_are_letters(tmp_path: Path) -> None:
    (strings, _), kept = php(tmp_path, ["charset", "windows-1251"], ["page"], ["latin"])
    assert configuration(strings[0])["tag"] == "АВТОДОЗВОН"
    assert kept == "Выделять звонки автодозвона"


def test_lines_with_words_and_colours_of_their_own(tmp_path: Path) -> None:
    lines = "autodial, autodial-debt = ДОЛГ #b71c1c, autodial-x=ОПРОС КЛИЕНТОВ"
    given = {"autodial24": {**DEFAULTS, "lines": lines}, "sessid": "known"}
    _, (strings, _) = php(tmp_path, ["settings", given], ["page"])
    assert configuration(strings[0])["lines"] == [
        "autodial",
        {"line": "autodial-debt", "tag": "ДОЛГ", "color": "#b71c1c"},
        {"line": "autodial-x", "tag": "ОПРОС КЛИЕНТОВ", "color": ""},
    ]


def test_only_an_administrator_installs_it(tmp_path: Path) -> None:
    installed, there = php(tmp_path, ["employee"], ["install"])
    assert (installed, there[0], list(tmp_path.iterdir())) == (False, [], [])


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "bitrix").write_text("a file where a folder should be")
    installed, there = php(tmp_path, ["install"])
    assert installed is False
    assert there[1] == []
    assert "/bitrix/js/autodial24/highlight" in there[3]
    assert "ERROR: " in there[5] and "/bitrix/js/autodial24/highlight" in there[5], (
        "the error is shown"
    )


def configuration(head: str) -> Any:
    match = re.fullmatch(
        r'<script data-skip-moving="true">window\.AUTODIAL_HIGHLIGHT=(.*);</script>', head
    )
    assert match is not None
    return json.loads(match[1])


def test_the_page_gets_configuration_and_script(tmp_path: Path) -> None:
    ((strings, scripts),) = php(tmp_path, ["employee"], ["page"])
    assert scripts == ["/bitrix/js/autodial24/highlight/highlight.js"]
    assert configuration(strings[0]) == {
        "enabled": True, "lines": ["autodial"], "tag": "АВТОДОЗВОН", "color": "#6a1b9a",
        "sound": "", "link": False, "field": "UF_AUTODIAL_CALL",
    }  # fmt: skip


@pytest.mark.parametrize(
    "steps", [[["visitor"], ["page"]], [["page", "another version of the portal"]]]
)
def test_a_page_never_fails_for_it(tmp_path: Path, steps: list[Any]) -> None:
    """Neither for visitors who are not logged in, nor on another version of the portal."""
    assert php(tmp_path, *steps) == [[[], []]]


def test_settings_are_saved_shown_and_used(tmp_path: Path) -> None:
    given = {**DEFAULTS, "tag": " ОБЗВОН ", "lines": "autodial, autodial-1", "link": "Y"}
    moved, shown, (strings, _) = php(
        tmp_path, ["settings", {"autodial24": given, "sessid": "known"}], ["settings"], ["page"]
    )
    assert moved.startswith("REDIRECT /bitrix/admin/settings.php?mid=autodial24.highlight")
    assert 'value="ОБЗВОН"' in shown
    assert 'name="autodial24[link]" value="Y" checked' in shown
    settings = configuration(strings[0])
    assert (settings["tag"], settings["lines"], settings["link"]) == (
        "ОБЗВОН",
        ["autodial", "autodial-1"],
        True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tag", "It's"), ("tag", "a\\b"), ("tag", "</script>"), ("tag", ""), ("tag", "a\nb"),
        ("color", "red"), ("color", "#6a1b9a;}"), ("lines", " , "),
        ("lines", "a, b=It's"), ("lines", "a=#fff"), ("lines", "=X"), ("lines", "a=X #ffff"),
        ("lines", "a; b"), ("lines", "a=X#b71c1c"), ("lines", "a=X, Y #b71c1c"), ("lines", "a b"),
        ("sound", "javascript:alert(1)"), ("sound", "/a.mp3\"><x"), ("field", "ID"),
    ],
)  # fmt: skip
def test_what_would_break_a_card_is_not_saved(tmp_path: Path, name: str, value: str) -> None:
    given = {"autodial24": {**DEFAULTS, name: value}, "sessid": "known"}
    message, (strings, _) = php(tmp_path, ["settings", given], ["page"])

    assert message.startswith("ERROR: ")
    assert "<x" not in message and "alert(1)</" not in message
    assert configuration(strings[0])["tag"] == "АВТОДОЗВОН", "the previous setting stays"


def test_a_form_of_somebody_else_changes_nothing(tmp_path: Path) -> None:
    forged = {"autodial24": {**DEFAULTS, "tag": "ЧУЖОЙ"}, "sessid": "x"}
    assert "ЧУЖОЙ" not in php(tmp_path, ["settings", forged])[0]
    assert php(tmp_path, ["employee"], ["settings", forged])[0] == ""


def test_switched_off_it_leaves_the_page_alone(tmp_path: Path) -> None:
    given = {"autodial24": {**DEFAULTS, "enabled": ""}, "sessid": "known"}
    assert php(tmp_path, ["settings", given], ["page"])[1] == [[], []]


def test_both_languages_say_the_same(tmp_path: Path) -> None:
    (messages,) = php(tmp_path, ["messages"])
    for file, words in messages["ru"].items():
        assert set(words) == set(messages["en"][file])
        assert all(words.values()) and all(messages["en"][file].values())


def test_the_php_is_as_old_as_the_oldest_portal() -> None:
    """PHP 7.1: no syntax or function of a later version."""
    later = (
        r"\bfn\s*\(", r"\?->", r"\?\?=", r"\bmatch\s*\(", r"\breadonly\b", r"\benum\b", r"#\[",
        r"(public|private|protected)\s+(static\s+)?\??[A-Za-z\\]+\s+\$", r"\bstr_contains\b",
        r"\bmixed\b", r"\bstatic\s+fn\b", r"<<<", r"\.\.\.",
    )  # fmt: skip
    for file in MODULE.rglob("*.php"):
        text = file.read_text(encoding="utf-8")
        assert [pattern for pattern in later if re.search(pattern, text)] == [], file


def test_the_documented_lines_of_init_php_are_php(tmp_path: Path) -> None:
    """The lines as both documents show them."""
    for name in ("desktop-highlighting.md", "ru/desktop-highlighting.md"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        (block,) = re.findall(r"```php\n(.*?)```", text, re.DOTALL)
        file = tmp_path / "init.php"
        file.write_text("<?php\n" + block, encoding="utf-8")
        subprocess.run(["php", "-l", file], check=True, capture_output=True)
        assert shutil.which("php")
