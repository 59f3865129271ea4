"""
``install.sh production`` and ``uninstall`` as a whole: first installation, upgrade, undo, removal.

In a root directory of its own, with programs in the place of ``asterisk``, ``systemctl`` and of a
release's virtual environment: each writes down how it was called, and does as the test wants.
"""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import define

from tests.integration.deploy.test_production import DEBIAN_MANAGER, EXTENSIONS, of_asterisk
from tests.integration.deploy.test_production import RELEASE as DIALPLAN

INSTALL = Path(__file__).parents[3] / "install.sh"

ASTERISK = f"""#!/bin/sh
case "$*" in
-V) echo "Asterisk 22.10.1" ;;
*"core show version"*) echo "Asterisk 22.10.1" ;;
*"dialplan show {DIALPLAN}@"*) echo "  '{DIALPLAN}' =>  1. NoOp()" ;;
*"dialplan show globals"*) echo "   AD_SECRET=x" ;;
*"manager show user"*) echo "     username: autodial" ;;
esac
"""
#: Running is a file; a release that is broken does not come up.
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>"$AUTODIAL24_ROOT/calls"
case "$1" in
is-active) [ -L "$AUTODIAL24_ROOT/running" ] ;;
stop | disable) rm -f "$AUTODIAL24_ROOT/running" ;;
start | restart)
    ln -sfn "$(readlink "$AUTODIAL24_ROOT/opt/autodial24/venv")" "$AUTODIAL24_ROOT/running"
    [ "$1" = start ] || [ ! -e "$AUTODIAL24_ROOT/migrates" ] ||
        touch "$AUTODIAL24_ROOT/var/lib/autodial24/autodial.sqlite.before-0009"
    ;;
esac
"""
#: ``python3 -m venv DIR`` makes a release; everything else is Python's.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    printf '#!/bin/sh\\n' >"$3/bin/pip"
    cat >"$3/bin/autodial" <<'END'
#!/bin/sh
echo "autodial $*" >>"$AUTODIAL24_ROOT/calls"
END
    cat >"$3/bin/python" <<'END'
#!/bin/sh
release=$(readlink "$AUTODIAL24_ROOT/running") || exit 1
[ ! -e "$AUTODIAL24_ROOT/opt/autodial24/$release/broken" ]
END
    [ ! -e "$AUTODIAL24_ROOT/next-is-broken" ] || touch "$3/broken"
    chmod +x "$3"/bin/*
    exit
fi
exec {python} "$@"
"""


@define
class Pbx:
    """The root directory, and the command in it."""

    root: Path
    source: Path

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.source / "install.sh"), *words],
            capture_output=True, text=True, timeout=100,
            env={"PATH": f"{self.root}/stubs:/usr/bin:/bin", "AUTODIAL24_ROOT": str(self.root),
                 "AUTODIAL24_CACHE": str(self.root / "cache")},
        )  # fmt: skip

    def installed(self) -> None:
        done = self.run("production")
        assert 0 == done.returncode, done.stderr + done.stdout

    def configured(self) -> None:
        """As after ``autodial init`` and ``systemctl start``."""
        path = self.root / "etc/autodial24/autodial.toml"
        path.write_text(path.read_text().replace("put-the-secret-here", "secret"))
        (self.root / "running").symlink_to(self.release)

    def upgraded(self, *, broken: bool = False) -> "subprocess.CompletedProcess[str]":
        """The next release, with another dialplan."""
        (self.source / "autodial/texts.py").write_text("# another release\n")
        with (self.source / "dialplan/autodial.conf").open("a") as stream:
            stream.write("; another release\n")
        if broken:
            (self.root / "next-is-broken").touch()
        return self.run("production")

    @property
    def release(self) -> str:
        return str((self.root / "opt/autodial24/venv").readlink())

    @property
    def releases(self) -> set[str]:
        return {path.name for path in (self.root / "opt/autodial24").glob("venv-*")}

    def calls(self) -> list[str]:
        path = self.root / "calls"
        said = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return said

    def files(self) -> dict[str, bytes]:
        etc = self.root / "etc"
        return {str(p): p.read_bytes() for p in etc.rglob("*") if p.is_file()}


@pytest.fixture
def pbx(tmp_path: Path) -> Pbx:
    root, source = tmp_path / "root", tmp_path / "source"
    etc = root / "etc/asterisk"
    (etc / "manager.d").mkdir(parents=True)
    (root / "var/spool/asterisk/outgoing").mkdir(parents=True)
    of_asterisk(root / "var/spool/asterisk/outgoing")
    (root / "run/systemd/system").mkdir(parents=True)
    (root / "usr/local/bin").mkdir(parents=True)
    (etc / "extensions.conf").write_text(EXTENSIONS)
    (etc / "manager.conf").write_text(DEBIAN_MANAGER)
    stubs = root / "stubs"
    stubs.mkdir()
    python = shutil.which("python3", path="/usr/bin:/bin") or shutil.which("python3")
    for name, text in (
        ("asterisk", ASTERISK), ("systemctl", SYSTEMCTL),
        ("python3", PYTHON.replace("{python}", str(python))),
    ):  # fmt: skip
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    for name in (
        "autodial",
        "bitrix24",
        "call_files",
        "dialplan",
        "demo",
        "fastagi_server",
        "deploy",
    ):
        shutil.copytree(INSTALL.parent / name, source / name)
    files = ("install.sh", "requirements.txt", "requirements-postgresql.txt", "pyproject.toml")
    for name in (*files, "README.md", "LICENSE"):
        shutil.copy(INSTALL.parent / name, source / name)
    return Pbx(root, source)


def test_the_first_time_nothing_is_started(pbx: Pbx) -> None:
    done = pbx.run("production")

    assert 0 == done.returncode, done.stderr
    assert "nobody is dialled. Next: autodial init" in done.stdout
    assert {pbx.release} == pbx.releases
    program = pbx.root / "usr/local/bin/autodial"
    assert program.resolve() == pbx.root / "opt/autodial24" / pbx.release / "bin/autodial"
    assert {"start", "restart"}.isdisjoint(call.split()[1] for call in pbx.calls())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ('url = "postgresql+psycopg://u@db/autodial"', True),
        ("  url='postgresql://u@db/autodial'", True),
        ('url = "https://reports.example/autodial"', False),
        ('#url = "postgresql+psycopg://u@db/autodial"', False),
    ],
)
def test_the_database_s_driver_is_installed_once_the_settings_name_one(
    pbx: Pbx, url: str, expected: bool
) -> None:
    pbx.installed()
    made = pbx.root / "opt/autodial24" / pbx.release / ".postgresql"
    assert not made.exists()
    with (pbx.root / "etc/autodial24/autodial.toml").open("a") as stream:
        stream.write(f"\n[store]\n{url}\n")
    pbx.installed()

    assert expected is made.exists()


def test_a_second_time_a_running_dialler_is_left_alone(pbx: Pbx) -> None:
    pbx.installed()
    pbx.configured()
    pbx.calls()
    before = pbx.files()
    pbx.installed()

    assert ["autodial doctor"] == [c for c in pbx.calls() if "is-active" not in c]
    assert before == pbx.files()


def test_an_upgrade_restarts_it_and_keeps_the_release_before(pbx: Pbx) -> None:
    pbx.installed()
    pbx.configured()
    old = pbx.release
    pbx.calls()
    done = pbx.upgraded()

    assert 0 == done.returncode, done.stderr + done.stdout
    assert {old, pbx.release} == pbx.releases and old != pbx.release
    assert pbx.release == str((pbx.root / "running").readlink()), "the new one runs"
    assert "systemctl restart autodial24.service" in pbx.calls()
    assert b"; another release" in pbx.files()[str(pbx.root / "etc/asterisk/autodial.conf")]
    assert not (pbx.root / "opt/autodial24/before-upgrade.json").exists(), "it held secrets"


def test_a_stopped_dialler_stays_stopped(pbx: Pbx) -> None:
    pbx.installed()
    pbx.configured()
    (pbx.root / "running").unlink()
    pbx.calls()
    assert 0 == pbx.upgraded().returncode

    assert {"start", "restart"}.isdisjoint(call.split()[1] for call in pbx.calls())


@pytest.fixture
def impatient(pbx: Pbx) -> Pbx:
    """Half a minute is long for a test."""
    script = pbx.source / "install.sh"
    script.write_text(script.read_text().replace("seq 30", "seq 1").replace("sleep 1\n", "\n"))
    return pbx


def test_an_upgrade_that_does_not_come_up_is_undone(impatient: Pbx) -> None:
    pbx = impatient
    pbx.installed()
    pbx.configured()
    before, old = pbx.files(), pbx.release
    pbx.calls()
    done = pbx.upgraded(broken=True)

    assert 1 == done.returncode
    assert "upgrade undone" in done.stderr
    assert old == pbx.release == str((pbx.root / "running").readlink()), "the old one runs"
    assert before == pbx.files()
    calls = pbx.calls()
    assert "systemctl reset-failed autodial24.service autodial24.socket" in calls
    assert not [call for call in calls if "restore" in call], "the store was not changed"


def test_a_store_that_was_migrated_is_put_back_with_it(impatient: Pbx) -> None:
    pbx = impatient
    pbx.installed()
    pbx.configured()
    store = pbx.root / "var/lib/autodial24/autodial.sqlite.before-0009"
    (pbx.root / "migrates").touch()  # the new release makes this copy at its start
    done = pbx.upgraded(broken=True)

    assert 1 == done.returncode
    assert f"autodial restore {store}" in pbx.calls()


def test_what_a_guide_had_made_by_hand_is_upgraded(impatient: Pbx) -> None:
    pbx = impatient
    by_hand = pbx.root / "opt/autodial24/venv/bin"
    by_hand.mkdir(parents=True)
    (by_hand / "autodial").write_text("#!/bin/sh\n")
    pbx.installed()

    assert pbx.release != "venv-by-hand"
    assert "venv-by-hand" in pbx.releases, "the release before"


def test_asterisk_refuses_and_nothing_is_changed(pbx: Pbx) -> None:
    before = pbx.files()
    (pbx.root / "stubs/asterisk").write_text(ASTERISK.replace("username: autodial", "There is no"))
    done = pbx.run("production")

    assert 1 == done.returncode
    assert "All files are as they were before" in done.stderr
    assert before == pbx.files()
    assert not (pbx.root / "usr/local/bin/autodial").exists()


@pytest.mark.parametrize("words", [("--dry-run", "--purge"), ("--purge", "--dry-run")])
def test_a_dry_run_of_a_removal_removes_nothing(pbx: Pbx, words: tuple[str, str]) -> None:
    pbx.installed()
    before = pbx.files()
    pbx.calls()

    assert 0 == pbx.run("uninstall", *words).returncode
    assert before == pbx.files() and pbx.releases
    assert [] == pbx.calls()


def test_a_dry_run_says_what_becomes_of_the_program(pbx: Pbx) -> None:
    assert "would be installed." in pbx.run("production", "--dry-run").stdout
    pbx.installed()
    assert "left as it is." in pbx.run("production", "--dry-run").stdout


def test_a_running_dialler_is_not_removed_from_under_itself(pbx: Pbx) -> None:
    """Without systemd nobody has stopped it."""
    pbx.installed()
    lock = pbx.root / "var/lib/autodial24/autodial.sqlite.lock"
    lock.write_text("process 4711: a dialler works on it\n")
    before = pbx.files()
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = pbx.run("uninstall", "--purge")

        assert 1 == done.returncode
        assert "process 4711" in done.stderr
    assert before == pbx.files() and pbx.releases


@pytest.mark.parametrize("purge", [False, True])
def test_a_removal(pbx: Pbx, purge: bool) -> None:
    before = pbx.files()
    pbx.installed()
    other = pbx.root / "opt/autodial24/checkout"
    other.mkdir()
    assert 0 == pbx.run("uninstall", *(["--purge"] if purge else [])).returncode

    left = set(pbx.files()) - set(before)
    kept = {"etc/autodial24/autodial.toml", "etc/asterisk/autodial-globals.conf"}
    assert left == (set() if purge else {str(pbx.root / name) for name in kept})
    assert set() == pbx.releases
    assert other.exists(), "not ours"
    assert (pbx.root / "var/lib/autodial24").exists() != purge


@pytest.mark.parametrize(
    "words",
    [("production", "--dry"), ("production", "--dry-run", "x"), ("uninstall", "all"), ("x",)],
)
def test_a_word_that_is_none_of_ours_does_nothing(pbx: Pbx, words: tuple[str, ...]) -> None:
    before = pbx.files()
    done = pbx.run(*words)

    assert 1 == done.returncode and "usage:" in done.stderr
    assert before == pbx.files()


def test_the_program_can_be_read_by_its_user_whatever_root_s_umask(pbx: Pbx) -> None:
    shutil.move(pbx.source / "install.sh", pbx.source / "real.sh")
    real = (pbx.source / "real.sh").read_text()
    (pbx.source / "install.sh").write_text("#!/usr/bin/env bash\numask 077\n" + real)
    (pbx.source / "install.sh").chmod(0o755)
    pbx.installed()

    place = pbx.root / "opt/autodial24" / pbx.release
    assert 0o755 == place.stat().st_mode & 0o777


@pytest.mark.parametrize("words", [("production",), ("production", "--dry-run"), ("uninstall",)])
def test_a_python_too_old_is_said_with_what_to_install(pbx: Pbx, words: tuple[str, ...]) -> None:
    """Ubuntu 22.04 has 3.10."""
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        stub = pbx.root / "stubs" / name
        stub.write_text('#!/bin/sh\n[ "$1" != --version ] || exec echo Python 3.10.12\nexit 1\n')
        stub.chmod(0o755)
    before = pbx.files()
    done = pbx.run(*words)

    assert 1 == done.returncode
    assert "this is Python 3.10.12" in done.stderr
    assert "apt-get install python3.11 python3.11-venv" in done.stderr
    assert "not found" not in done.stderr
    assert before == pbx.files()


def test_an_asterisk_that_does_not_run_is_said_before_anything_is_built(pbx: Pbx) -> None:
    stub = pbx.root / "stubs/asterisk"
    stub.write_text('#!/bin/sh\n[ "$1" != -V ] || exec echo Asterisk 22.10.1\nexit 1\n')
    done = pbx.run("production")

    assert 1 == done.returncode
    assert "Asterisk does not run: start it" in done.stderr
    assert not (pbx.root / "opt/autodial24").exists()
