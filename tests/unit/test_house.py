"""Rules of the code: imports go one way, the rules do no I/O, the example configuration is true."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from autodial.config.load import REMOVED, RENAMED, load, parse
from autodial.config.place import Server
from autodial.config.settings import Config
from autodial.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "autodial/config/autodial.example.toml"
ADVANCED = ROOT / "autodial/config/advanced.toml"

#: Which of our packages may import which.
ALLOWED = {
    "fastagi_server": set[str](),
    "call_files": set[str](),
    "bitrix24": set[str](),
    "dialplan": set[str](),
    "autodial": {"fastagi_server", "call_files", "bitrix24", "dialplan"},
    "demo": {"autodial", "bitrix24", "call_files", "dialplan", "fastagi_server"},
}
#: The folders of the dialler: each may import only those before it. What stands beside them at the
#: top (errors, texts, findings …) imports none of them, and all may use it.
FOLDERS = (
    ("model",), ("rules",), ("config",), ("store",), ("engine",), ("pbx", "portal"), ("service",),
    ("simulation",), ("board",), ("cli",),
)  # fmt: skip
#: The rules do no input or output, but for tables that come with them, or with the system.
TABLES = {"regions.py", "time_zone_data.py", "time_zones.py"}
IO = {"twisted", "sqlalchemy", "requests", "socket", "os", "pathlib", "subprocess", "time"}


def imports(path: Path) -> set[str]:
    """The modules a file imports, dotted."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            if node.module == "autodial":
                modules |= {f"autodial.{name.name}" for name in node.names}
    return modules


def submodules(path: Path) -> set[str]:
    """The modules a file imports, those named behind ``from package import``, too."""
    modules = imports(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{name.name}" for name in node.names}
    return modules


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        used = {name.partition(".")[0] for name in imports(path)} & set(ALLOWED)
        allowed = ALLOWED[package] | {package}
        if path == ROOT / "autodial/cli/main.py":
            allowed = allowed | {"demo"}  # "autodial demo", read only if it is asked for

        assert used <= allowed, f"{path} imports {used - allowed}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for types alone and imports inside a function count, too."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for package in ALLOWED
        for path in (ROOT / package).rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py") and "migrations" not in path.parts
    }
    graph = {name: submodules(path) & set(paths) for name, path in paths.items()}

    assert len(graph) > 150
    TopologicalSorter(graph).prepare()  # or CycleError names the circle


LEVELS = {name: level for level, names in enumerate(FOLDERS) for name in names}
DIALLER = [path for path in (ROOT / "autodial").rglob("*.py") if "migrations" not in path.parts]


def folder(name: str) -> str:
    """Of a dotted module of the dialler; empty: it stands at the top."""
    part = name.split(".")[1] if "." in name else ""
    return part if part in LEVELS else ""


def test_what_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:autodial|bitrix24|dialplan|docs|tests)/[\w./-]+)`", text)
    assert len(named) > 20
    assert [] == [name for name in named if not (ROOT / name).exists()]
    tree = text.partition("```")[2].partition("```")[0]
    there = {path.stem for path in ROOT.rglob("*") if ".git" not in path.parts}
    assert set() == set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", tree)) - there


def test_every_folder_has_its_place() -> None:
    there = {path.name for path in (ROOT / "autodial").iterdir() if (path / "__init__.py").exists()}
    assert set(LEVELS) == there


@pytest.mark.parametrize("path", DIALLER, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_imports_only_those_before_it(path: Path) -> None:
    own = path.relative_to(ROOT / "autodial").parts[0]
    mine = LEVELS.get(own, -1)
    if path.name == "__main__.py":
        return  # the command's door
    for name in imports(path):
        if name.startswith("autodial") and folder(name) not in ("", own):
            assert LEVELS[folder(name)] < mine, f"{path} imports {name}"


@pytest.mark.parametrize(
    "path",
    [*(ROOT / "autodial/model").glob("*.py"), *(ROOT / "autodial/rules").glob("*.py")],
    ids=lambda path: path.name,
)
def test_the_rules_do_no_io(path: Path) -> None:
    used = {name.partition(".")[0] for name in imports(path)} & IO
    assert not used or path.name in TABLES


def test_the_example_configuration_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "autodial.toml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    path.chmod(0o600)

    assert load(path).tasks.tag == "autodial"


def test_what_the_example_comments_out_is_the_default() -> None:
    """Each commented key, switched on, changes only the expected values."""
    plain = parse(keys_of(EXAMPLE), "example")
    choices = (
        "group =",
        "caller_id =",
        "exclude =",
        "do_not_call =",
        "547 =",
        "tag = ",
        "[staff.",
        "field =",
        "value =",
        "folder =",
        "port = 8025",
        "published_port =",
        "port = 9467",
        "token =",
        "hand_back_to =",
        "zone_field =",
        "regions =",
        'saturday = "10',
        "holidays =",
        "parts =",
        "days_off_in =",
        "consent_field =",
        "per_hour =",
        "per_month =",
        "do_not_call_tag =",
        "do_not_call_field =",
        "[[purposes",
        "name =",
        "kind =",
        "call_id_field =",
        'line = "autodial-debt',
        'line_name = "ДОЛГ',
        "[[asterisk.phones",
        "extension =",
        "ascii = true",
        'display = "{tag} {',
        'alert = "<',
        "deputies_field =",
        "[[asterisk.trunks",
        "lines =",
        "calls_per_second = 0.5",
        "[[asterisk.caller_ids",
        "number =",
        "calls =",
        "per_day = 300",
        'application = "local',
        "[[board.roles",
        "role =",
        "users = []",
        "departments = []",
        "groups = []",
        "[[hooks",
        'name = "warehouse"',
        "url = ",
        'secret = "a-long',
        'events = ["call',
        "trunks =",
        "caller_ids =",
        'name = "pbx1"',
    )

    def switched_on(path: Path) -> dict[str, Any]:
        rows = path.read_text(encoding="utf-8").splitlines()
        return tomllib.loads(
            "\n".join(
                row[1:]
                if re.match(r"#[a-z_\[0-9]", row) and not row[1:].startswith(choices)
                else row
                for row in rows
            )
        )

    example, advanced = switched_on(EXAMPLE), switched_on(ADVANCED)
    whole = parse(
        {key: merged(example.get(key), advanced.get(key)) for key in {*example, *advanced}}, "both"
    )

    assert len(advanced) > 12
    assert plain.model_copy(update={"retry": {}}) == whole.model_copy(update={"retry": {}})
    assert plain.rules_for_retry == whole.rules_for_retry


def keys_of(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def merged(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        assert not set(one) & set(other), "a key is in both files"
        return one | other
    return one if other is None else other


def test_what_a_newcomer_copies_fits_two_screens() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 90


def test_every_key_is_shown_in_one_of_the_two_files() -> None:
    shown = EXAMPLE.read_text(encoding="utf-8") + ADVANCED.read_text(encoding="utf-8")
    keys = set(re.findall(r"^#?([a-z_0-9]+) = ", shown, re.MULTILINE))
    for name, section in Config.model_fields.items():
        fields = getattr(section.annotation, "model_fields", {})
        missing = (
            set(fields)
            - keys
            - {"trunks", "caller_ids", "phones", "deputies", "application", "roles"}
        )
        assert not missing, f"[{name}] {missing}"


@pytest.mark.parametrize("key", REMOVED)
def test_a_key_that_is_gone_is_refused_with_the_reason(key: str) -> None:
    section, _, name = key.partition(".")
    with pytest.raises(ConfigError, match=f"{key}: {REMOVED[key]}; remove the line"):
        parse({section: {name: True}}, "test")


@pytest.mark.parametrize("key", RENAMED)
def test_an_old_name_of_a_key_is_refused_with_the_new_one(key: str) -> None:
    section, _, name = key.partition(".")
    text = example_settings()
    text.setdefault(section, {})[name] = "1"
    with pytest.raises(ConfigError, match=f"{key}: is called {RENAMED[key]} now"):
        parse(text, "test")


def example_settings() -> dict[str, Any]:
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("pace", "max_call", 3, "pace.max_call: no such key; did you mean max_calls?"),
        ("pace", "calls_per_second", 0, "pace.calls_per_second"),
        ("hours", "zone", "Mars/Olympus", "no such time zone"),
        ("hours", "monday", "9 to 5", "hours are written"),
        ("hours", "monday", "09:00+03:00-20:00", "hours are written"),
        ("hours", "zone", "Europe", "no such time zone"),
        ("client", "ambiguous_zone", "Asia", "no such time zone"),
        ("portal", "poll", "999999999999d", "longer than a year"),
        ("phones", "region", "XX", "no numbering plan"),
        ("hours", "monday", "20:00-09:00", "end before they begin"),
        ("fastagi", "allow", ["pbx.local"], "not an address or network"),
        ("fastagi", "port", 99999, "fastagi.port"),
        ("staff", "deputies", {"ivan": [548]}, "staff.deputies"),
        ("portal", "webhook", "portal.example.com/rest/1/s3cret/", "an incoming webhook reads"),
        ("portal", "verify", "/nope/ca.pem", "portal.verify"),
        ("portal", "poll", "0s", "portal.poll"),
        ("portal", "application", {"address": "x"}, "portal.application.address"),
        ("staff", "group", 7, "set one of departments, group, or field"),
        ("staff", "field", "UF_X", "set one of departments, group, or field"),
        ("events", "port", 8025, "port needs token"),
        ("recording", "format", "ogg", "recording.format"),
        ("tasks", "when_talked", "defer", "tasks.when_talked"),
        ("phones", "countries", ["Russia"], "phones.countries"),
        ("asterisk", "ami_secret", "", "ami_port needs ami_secret"),
        ("asterisk", "trunks", [{"name": "x", "lines": 1}] * 2, "two trunks have one name"),
        ("portal", "poll", "often", "a time is written"),
        ("portal", "line_name", "It's", "portal.line_name"),
        ("retry", "bussy", ["1h"], "did you mean busy?"),
        ("phones", "region", "Russia", "phones.region"),
        ("asterisk", "trunks", [], "asterisk.trunks"),
        ("asterisk", "caller_ids", [{"number": "7495000"}], "is shown by no trunk"),
        ("asterisk", "trunks", [{"name": "x", "line": 1}], "did you mean lines?"),
        ("asterisk", "caller_id", "Иван", "asterisk.caller_id"),
        ("asterisk", "display", "{client}", "the call looks like any other"),
        ("asterisk", "display", "{tag} {name}", "{name} is not known; use client, tag, task"),
        ("asterisk", "display", "{tag", "asterisk.display"),
        ("asterisk", "display", "{tag:>999999999}", "only names stand in braces"),
        ("asterisk", "display", "{tag!r}", "only names stand in braces"),
        ("asterisk", "display", "{tag.__class__} {tag}", "is not known"),
        ("fastagi", "host", "localhost", "a numeric address"),
        ("fastagi", "secret", "short", "at least 16 letters and digits"),
        ("fastagi", "secret", "0123456789abcdef\n[globals]", "at least 16 letters and digits"),
        ("asterisk", "alert", "x\ny", "asterisk.alert"),
        ("portal", "line_name", "x</script>", "portal.line_name"),
        ("portal", "zone", "Mars/Olympus", "no such time zone"),
        ("portal", "executes_within", "5s", "portal.executes_within"),
        ("portal", "comments", "some", "portal.comments"),
        ("staff", "departments", [""], "staff.departments"),
        ("staff", "departments", [0], "staff.departments"),
        ("tasks", "group", -1, "tasks.group"),
        ("node", "name", "pbx1", "store.url and [node] name go together"),
        ("node", "name", "два слова", "node.name"),
        ("store", "url", "postgresql://u:s3cret@db/autodial", "go together"),
        ("store", "url", "mysql://u:s3cret@db/autodial", "must be postgresql+psycopg://"),
        ("store", "url", "postgresql://u:s3cret@db", "must be postgresql+psycopg://"),
    ],
)
def test_a_mistake_is_named_with_its_key(section: str, key: str, value: object, words: str) -> None:
    wrong = example_settings()
    wrong.setdefault(section, {})[key] = value

    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        parse(wrong, "autodial.toml")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("purpose", "words"),
    [
        ({"line": "autodial-1"}, "which renames it"),
        ({"line_name": "X"}, "set line, too"),
        ({"line": "autodial-debt", "line_name": "It's"}, "line_name"),
    ],
)
def test_a_line_of_a_purpose_is_its_own(purpose: dict[str, str], words: str) -> None:
    wrong = example_settings()
    wrong["portal"]["pool"] = 2
    wrong["purposes"] = [{"name": "debt", "tag": "x", **purpose}]
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse(wrong, "autodial.toml")


def test_a_node_must_see_its_phones() -> None:
    wrong = example_settings()
    wrong["store"], wrong["node"] = {"url": "postgresql://u@db/autodial"}, {"name": "pbx1"}
    assert parse(wrong, "autodial.toml").place == Server(
        "postgresql+psycopg://u@db/autodial", "pbx1"
    )
    del wrong["asterisk"]["ami_port"]
    with pytest.raises(ConfigError, match="ami_port must be set"):
        parse(wrong, "autodial.toml")


@pytest.mark.parametrize("section", ["portal", "tasks", "staff", "asterisk"])
def test_what_must_be_set_is_asked_for(section: str) -> None:
    wrong = example_settings()
    del wrong[section]

    with pytest.raises(ConfigError, match=f"{section}: must be set"):
        parse(wrong, "autodial.toml")


def test_a_portal_needs_a_webhook_or_an_application_and_not_both() -> None:
    wrong = example_settings()
    ours = {"address": "https://p.example.com", "client_id": "x", "client_secret": "y"}
    wrong["portal"]["application"] = ours
    with pytest.raises(ConfigError, match="set webhook, or"):
        parse(wrong, "autodial.toml")
    del wrong["portal"]["webhook"]
    assert parse(wrong, "autodial.toml").portal.application
    del wrong["portal"]["application"]
    with pytest.raises(ConfigError, match="set webhook, or"):
        parse(wrong, "autodial.toml")


def test_neither_tag_nor_group_would_mean_all_tasks() -> None:
    wrong = example_settings()
    wrong["tasks"] = {}

    with pytest.raises(ConfigError, match="set tag or group"):
        parse(wrong, "autodial.toml")


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """The file holds the webhook, whose path is a password."""
    path = tmp_path / "autodial.toml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    path.chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        load(path)


def test_secrets_are_in_no_text(tmp_path: Path) -> None:
    config: Config = parse(example_settings(), "x")

    for text in (repr(config), str(config)):
        assert "put-the-secret-here" not in text


def test_a_file_that_is_not_there_or_not_toml_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
    path = tmp_path / "autodial.toml"
    path.write_text("language = ")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"autodial\.toml"):
        load(path)


@pytest.mark.parametrize(
    ("purpose", "country", "waits"),
    [
        ({"kind": "advertising"}, "RU", True),
        ({"kind": "advertising"}, "GB", False),
        ({"kind": "debt"}, "RU", False),
        ({"kind": "debt", "confirm": True}, "GB", True),
    ],
)
def test_advertising_in_russia_waits_for_a_person(
    purpose: dict[str, Any], country: str, waits: bool
) -> None:
    config = example_settings() | {"purposes": [{"name": "x", "tag": "x", **purpose}]}
    config["calendar"] = {"country": country}
    parsed = parse(config, "autodial.toml")

    assert parsed.needs_confirmation(parsed.purposes[0]) is waits


def test_advertising_in_russia_cannot_be_switched_to_automatic() -> None:
    wrong = example_settings()
    wrong["purposes"] = [{"name": "ads", "tag": "x", "kind": "advertising", "confirm": False}]

    with pytest.raises(ConfigError, match=r"purposes\.ads: advertising may not be"):
        parse(wrong, "autodial.toml")
