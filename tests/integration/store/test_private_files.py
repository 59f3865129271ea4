"""Our files are private whatever the umask, and no link leads to other files."""

import json
import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from autodial.cli.main import main
from autodial.cli.secret import share_secret
from autodial.config.load import load
from autodial.config.sections import RecordingConfig
from autodial.errors import ConfigError, StoreError
from autodial.portal.recordings import Recordings
from autodial.store.releases import migrate
from bitrix24 import Application, PortalDenied
from bitrix24.wire import Request
from tests.integration.conftest import NOON
from tests.unit.test_house import EXAMPLE

GLOBALS = Path(__file__).parents[3] / "dialplan/autodial-globals.conf"


@pytest.fixture(params=[0o000, 0o022], ids=["umask 0", "umask 022"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_store_is_its_owner_s(tmp_path: Path, umask: None) -> None:
    store = tmp_path / "var/autodial.sqlite"
    migrate(store)

    assert (0o600, 0o700) == (mode(store), mode(store.parent))


def test_an_old_store_and_its_copies_are_closed(tmp_path: Path) -> None:
    store = tmp_path / "autodial.sqlite"
    migrate(store)
    copy = tmp_path / "autodial.sqlite.2026-11-01"
    copy.write_text("names")
    for path in (store, copy):
        path.chmod(0o644)
    migrate(store)

    assert (0o600, 0o600) == (mode(store), mode(copy))


def test_a_copy_that_is_closed_already_is_nobody_s_business(tmp_path: Path) -> None:
    """
    A backup made by root lies beside the store. The dialler cannot open it, and starts all the
    same.
    """
    store = tmp_path / "autodial.sqlite"
    migrate(store)
    (tmp_path / "autodial.sqlite.bak").touch(mode=0o000)
    (tmp_path / "autodial.sqlite.link").symlink_to(tmp_path / "nowhere")
    migrate(store)

    assert 0o000 == mode(tmp_path / "autodial.sqlite.bak")


def test_a_store_that_is_a_link_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "shadow"
    target.write_text("root")
    target.chmod(0o644)
    (tmp_path / "autodial.sqlite").symlink_to(target)

    with pytest.raises(StoreError, match="and no link"):
        migrate(tmp_path / "autodial.sqlite")
    assert ("root", 0o644) == (target.read_text(), mode(target))


def application(tokens: Path) -> Application:
    return Application("https://portal.example.com", "local.1", "s3cret", tokens)


def token_of(ours: Application) -> str:
    request: Request = ours.request("profile", {})
    return request.token


def test_tokens_that_others_may_read_are_closed(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"access_token": "a", "refresh_token": "r"}))
    tokens.chmod(0o644)

    assert ("a", 0o600) == (token_of(application(tokens)), mode(tokens))


def test_new_tokens_are_private_and_no_link_is_followed(tmp_path: Path, umask: None) -> None:
    target = tmp_path / "passwd"
    target.write_text("root")
    tokens = tmp_path / "tokens.json"
    (tmp_path / "tokens.new").symlink_to(target)
    ours = application(tokens)
    ours._save("a", "r")

    assert ("root", 0o600, "a") == (target.read_text(), mode(tokens), token_of(ours))
    tokens.unlink()
    tokens.symlink_to(target)
    with pytest.raises(PortalDenied, match="NO_TOKENS"):
        token_of(application(tokens))


def test_a_lock_that_is_a_link_truncates_nothing(tmp_path: Path) -> None:
    target = tmp_path / "passwd"
    target.write_text("root")
    (tmp_path / "tokens.lock").symlink_to(target)

    with (
        pytest.raises(OSError, match="symbolic links"),
        application(tmp_path / "tokens.json")._alone(),
    ):
        pass
    assert "root" == target.read_text()


@pytest.mark.parametrize("lay", [os.mkfifo, None], ids=["a pipe", "a hard link"])
def test_a_lock_that_is_no_file_of_ours_is_refused(tmp_path: Path, lay: Any) -> None:
    """A pipe would block root for ever; through a hard link another file would change its owner."""
    target = tmp_path / "passwd"
    target.write_text("root")
    target.chmod(0o644)
    lock = tmp_path / "tokens.lock"
    lay(lock) if lay else lock.hardlink_to(target)

    with pytest.raises(OSError), application(tmp_path / "tokens.json")._alone():
        pass
    assert ("root", 0o644) == (target.read_text(), mode(target))


def test_a_recording_that_is_a_link_is_not_sent(tmp_path: Path) -> None:
    """
    Otherwise anybody with write access to the folder could send another file of this host to the
    portal.
    """
    secret = tmp_path / "autodial.toml"
    secret.write_text("webhook")
    link = tmp_path / "t1-1.wav"
    link.symlink_to(secret)
    folder = Recordings(RecordingConfig(folder=tmp_path))

    assert folder.find("t1-1", NOON, NOON).file is None
    with pytest.raises(OSError, match="symbolic links"):
        Request("x", "https://portal", {"FILE": link}).body()


def test_root_does_not_run_the_dialler_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    result = CliRunner().invoke(main, ["--config", str(tmp_path / "none.toml"), "run"])

    assert (1, True) == (result.exit_code, "runuser -u asterisk" in result.output)


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """The configuration and the globals as shipped."""
    config, dialplan = tmp_path / "autodial.toml", tmp_path / "autodial-globals.conf"
    for path, source in ((config, EXAMPLE), (dialplan, GLOBALS)):
        path.write_text(source.read_text())
        path.chmod(0o644)
    return config, dialplan


def shared(both: tuple[Path, Path]) -> tuple[str, str]:
    config, dialplan = both
    (row,) = [row for row in dialplan.read_text().splitlines() if row.startswith("AD_SECRET")]
    return tomllib.loads(config.read_text())["fastagi"]["secret"], row.partition(" = ")[2]


def test_the_secret_is_made_once_and_written_to_both(both: tuple[Path, Path], umask: None) -> None:
    command = ["--config", str(both[0]), "secret", "--globals", str(both[1])]
    first = CliRunner().invoke(main, command)
    ours, theirs = shared(both)
    again = CliRunner().invoke(main, command)

    assert (0, 64, ours) == (first.exit_code, len(ours), theirs)
    assert ours not in first.output + again.output
    assert (ours, theirs) == shared(both)
    assert (0o600, 0o640) == (mode(both[0]), mode(both[1]))
    assert load(both[0]).fastagi.secret.get_secret_value() == ours
    assert ours not in repr(load(both[0]))


def test_nothing_else_in_the_two_files_is_touched(both: tuple[Path, Path]) -> None:
    before = [path.read_text().splitlines() for path in both]
    share_secret(*both)
    after = [path.read_text().splitlines() for path in both]
    lines = [[row for row in new if row not in old] for old, new in zip(before, after, strict=True)]

    assert [1, 1] == [len(rows) for rows in lines]
    kept = [[row for row in new if row in old] for old, new in zip(before, after, strict=True)]
    assert before[0] == kept[0], "the comments, too"
    assert len(before[1]) == len(after[1])


@pytest.mark.parametrize("which", [0, 1])
def test_a_secret_that_one_of_them_has_is_kept(both: tuple[Path, Path], which: int) -> None:
    known = "0123456789abcdef-known"
    old, new = (
        ('#secret = ""', f'secret = "{known}"')
        if which == 0
        else ("AD_SECRET =", f"AD_SECRET = {known}")
    )
    both[which].write_text(both[which].read_text().replace(old, new))
    share_secret(*both)

    assert (known, known) == shared(both)
    assert share_secret(*both, new=True)
    assert known not in shared(both)


def test_a_configuration_without_the_section_gets_one(both: tuple[Path, Path]) -> None:
    both[0].write_text('[portal]\nwebhook = "x"\n')
    both[1].write_text("[globals]\nA = 1\n")
    share_secret(*both)
    ours, theirs = shared(both)

    assert ours == theirs
    assert "[globals]\nAD_SECRET = " in both[1].read_text()


@pytest.mark.parametrize("which", [0, 1])
def test_a_link_is_refused(both: tuple[Path, Path], which: int, tmp_path: Path) -> None:
    target = tmp_path / "target"
    both[which].rename(target)
    both[which].symlink_to(target)
    before = target.read_text()

    with pytest.raises(ConfigError, match="not a link"):
        share_secret(*both)
    assert before == target.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "[fastagi]",
        '[fastagi]\n  secret = ""\nport = 4573\n',
        "[fastagi]\n#secret = 1\n[pace]\n",
        "[fastagi]   # here\n",
        "a = 1\n[fastagi]\nport = 4573",
        "[ fastagi ]\nport = 1\n",
        "fastagi = {port = 1}\n",
        "fastagi.port = 1\n",
    ],
)
def test_any_writing_of_the_section_serves(both: tuple[Path, Path], text: str) -> None:
    both[0].write_text(text)
    before = tomllib.loads(text)
    share_secret(*both)
    after = tomllib.loads(both[0].read_text())

    assert shared(both)[0] == shared(both)[1] == after["fastagi"].pop("secret")
    before.get("fastagi", {}).pop("secret", None)
    assert before == after


@pytest.mark.parametrize("text", ["fastagi = 3\n", "["])
def test_what_it_cannot_place_is_left_as_it_is(both: tuple[Path, Path], text: str) -> None:
    both[0].write_text(text)
    dialplan = both[1].read_text()
    with pytest.raises(ConfigError):
        share_secret(*both)

    assert (text, dialplan) == (both[0].read_text(), both[1].read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_asterisk_can_read_the_globals_afterwards(both: tuple[Path, Path], tmp_path: Path) -> None:
    """The file is made by root. Its group is Asterisk's, known from the configured spool."""
    spool = tmp_path / "outgoing"
    spool.mkdir()
    os.chown(spool, 12345, 12346)
    both[0].write_text(f'[asterisk]\nspool = "{spool}"\n')
    share_secret(*both)
    info = both[1].stat()

    assert (12346, 0o640) == (info.st_gid, stat.S_IMODE(info.st_mode))


def test_files_that_share_a_secret_and_are_open_are_closed(both: tuple[Path, Path]) -> None:
    share_secret(*both)
    secret = shared(both)
    for path in both:
        path.chmod(0o644)
    share_secret(*both)

    assert (secret, 0o600, 0o640) == (shared(both), mode(both[0]), mode(both[1]))


def test_a_weak_secret_is_refused(both: tuple[Path, Path]) -> None:
    both[1].write_text(both[1].read_text().replace("AD_SECRET =", "AD_SECRET = 1234"))

    with pytest.raises(ConfigError, match="use --new"):
        share_secret(*both)
