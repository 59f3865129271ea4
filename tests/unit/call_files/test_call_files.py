"""Call files: what the format cannot carry is refused; a submitted file is complete and private."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_files import CallFile, CallFileError, Spool, SpoolError
from call_files.spool import PROBE


def call_file(**changes: object) -> CallFile:
    values: dict[str, object] = {
        "name": "t8017-3",
        "channel": "Local/442079460000@autodial-out/n",
        "context": "autodial-answered",
        "wait": 45,
        "caller_id": "74950000000",
        "variables": {"__AD_ID": "t8017-3"},
    }
    return CallFile(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def outgoing(tmp_path: Path) -> Path:
    path = tmp_path / "outgoing"
    path.mkdir()
    return path


def test_it_reads_as_asterisk_wants_it() -> None:
    assert call_file().render() == (
        "Channel: Local/442079460000@autodial-out/n\n"
        "CallerID: <74950000000>\n"
        "WaitTime: 45\n"
        "MaxRetries: 0\n"
        "RetryTime: 86400\n"
        "Context: autodial-answered\n"
        "Extension: s\n"
        "Priority: 1\n"
        "Setvar: __AD_ID=t8017-3\n"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../etc/passwd"},
        {"name": "имя"},
        {"name": ""},
        {"channel": "442079460000"},
        {"channel": "Local/1@x\nApplication: System\nData: id"},
        {"context": "a;b"},
        {"context": "a #b"},
        {"wait": 0},
        {"caller_id": "Иван <1>"},
        {"variables": {"A": "x\nApplication: System"}},
        {"variables": {"A": "trailing "}},
        {"variables": {"A": "x" * 1100}},
        {"variables": {"A B": "x"}},
        {"variables": {"A": "half; a value"}},
    ],
)
def test_what_the_format_cannot_carry_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(CallFileError):
        call_file(**changes).render()


@given(st.text(max_size=60))
def test_no_value_can_add_a_line(value: str) -> None:
    """Any text is refused, or is exactly one line of the file."""
    try:
        text = call_file(variables={"A": value}).render()
    except CallFileError:
        return

    assert text.count("\n") == 9
    assert f"Setvar: A={value}" == text.split("\n")[8]


def test_a_file_appears_whole_under_its_name(outgoing: Path) -> None:
    spool = Spool(outgoing)
    spool.prepare()
    path = spool.submit(call_file())

    assert call_file().render() == path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert frozenset({"t8017-3"}) == spool.waiting()
    assert list(spool.staging.iterdir()) == []


def test_a_name_is_used_once(outgoing: Path) -> None:
    spool = Spool(outgoing)
    spool.prepare()
    spool.submit(call_file())

    with pytest.raises(SpoolError, match="already in the spool"):
        spool.submit(call_file())


def test_withdrawing(outgoing: Path) -> None:
    spool = Spool(outgoing)
    spool.prepare()
    spool.submit(call_file())

    assert [spool.withdraw("t8017-3"), spool.withdraw("t8017-3")] == [True, False]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_belongs_to_asterisk_s_user(outgoing: Path) -> None:
    """Asterisk could not delete a file of another user, and would dial it again and again."""
    os.chown(outgoing, 12345, 12346)
    spool = Spool(outgoing)
    spool.prepare()
    info = spool.submit(call_file()).stat()

    assert (info.st_uid, info.st_gid) == (12345, 12346)


def test_a_missing_directory_says_what_to_do(outgoing: Path) -> None:
    with pytest.raises(SpoolError, match=r"set \[asterisk\] spool"):
        Spool(outgoing / "nowhere").prepare()


def test_a_directory_that_asterisk_does_not_watch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="'outgoing'"):
        Spool(tmp_path).prepare()
    assert [] == list(tmp_path.iterdir())


def test_two_file_systems_are_a_configuration_error(
    outgoing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file moved between two file systems can be dialled before it is complete."""
    spool = Spool(outgoing)
    spool.staging.mkdir()
    there, real = spool.staging.stat().st_ino, os.fstat

    def elsewhere(file: int) -> os.stat_result:
        info = real(file)
        if info.st_ino != there:
            return info
        return os.stat_result((*info[:2], info.st_dev + 1, *info[3:10]))

    monkeypatch.setattr(os, "fstat", elsewhere)
    with pytest.raises(SpoolError, match="another file system"):
        spool.prepare()


def test_a_link_in_the_staging_place_is_refused(outgoing: Path, tmp_path: Path) -> None:
    """Root would write to the target of the link, and change its owner."""
    target = tmp_path / "etc"
    target.mkdir(mode=0o755)
    (target / "shadow").write_text("root")
    spool = Spool(outgoing)
    spool.staging.symlink_to(target)

    with pytest.raises(SpoolError, match="a link or a file that somebody put there"):
        spool.prepare()
    assert [("shadow", "root")] == [(path.name, path.read_text()) for path in target.iterdir()]
    assert 0o755 == target.stat().st_mode & 0o777


def test_a_link_laid_later_is_refused_too(outgoing: Path, tmp_path: Path) -> None:
    spool = Spool(outgoing)
    spool.prepare()
    spool.staging.rmdir()
    spool.staging.symlink_to(tmp_path)

    with pytest.raises(SpoolError, match="a link"):
        spool.submit(call_file())
    assert ["outgoing"] == [path.name for path in tmp_path.iterdir()]


def test_a_draft_that_somebody_made_is_not_written(outgoing: Path, tmp_path: Path) -> None:
    """It may be a link, or a file that another process has open."""
    target = tmp_path / "shadow"
    target.write_text("root")
    spool = Spool(outgoing)
    spool.prepare()
    for lay in (Path.symlink_to, Path.hardlink_to):
        draft = spool.staging / "t8017-3.call"
        lay(draft, target)
        owner = target.stat().st_uid
        with pytest.raises(SpoolError, match="File exists"):
            spool.submit(call_file())
        assert ("root", owner) == (target.read_text(), target.stat().st_uid)
        draft.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_staging_place_of_somebody_else_is_refused(outgoing: Path) -> None:
    spool = Spool(outgoing)
    spool.staging.mkdir()
    os.chown(spool.staging, 4242, 4242)

    with pytest.raises(SpoolError, match="belongs to user 4242"):
        spool.prepare()


def test_a_spool_that_went_away_is_an_error_of_the_spool(outgoing: Path) -> None:
    """The dispatcher then withdraws the attempt."""
    spool = Spool(outgoing)
    spool.prepare()
    spool.staging.rmdir()
    outgoing.rmdir()

    with pytest.raises(SpoolError, match="No such file"):
        spool.submit(call_file())


def test_a_full_disk_does_not_use_the_name_up(
    outgoing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(outgoing)
    spool.prepare()
    with monkeypatch.context() as full:
        full.setattr(os, "rename", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space")))
        with pytest.raises(SpoolError, match="No space"):
            spool.submit(call_file())

    assert [] == list(spool.staging.iterdir())
    assert spool.submit(call_file()).exists()


def test_only_files_of_ours_are_withdrawn(outgoing: Path, tmp_path: Path) -> None:
    (tmp_path / "x.call").write_text("")

    assert Spool(outgoing).withdraw("../x") is False
    assert (tmp_path / "x.call").exists()


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_a_file_is_its_owner_s_whatever_the_umask(outgoing: Path, mask: int) -> None:
    spool, before = Spool(outgoing), os.umask(mask)
    try:
        spool.prepare()
        path = spool.submit(call_file())
    finally:
        os.umask(before)

    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, spool.staging.stat().st_mode & 0o777)


def test_drafts_of_a_crash_are_cleared(outgoing: Path) -> None:
    spool = Spool(outgoing)
    spool.prepare()
    (spool.staging / "t1-1.call").write_text("half")
    spool.prepare()

    assert list(spool.staging.iterdir()) == []
    assert frozenset() == spool.waiting()


def test_a_probe_says_whether_a_call_could_be_handed_over_and_leaves_nothing(
    outgoing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(outgoing)
    spool.prepare()
    spool.probe()
    assert [spool.staging] == list(outgoing.iterdir())
    assert [] == list(spool.staging.iterdir())

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(SpoolError, match="No space left"):
            spool.probe()
    assert [] == list(spool.staging.iterdir())
    outgoing.rename(outgoing.with_name("away"))
    with pytest.raises(SpoolError, match="No such file"):
        spool.probe()


def test_a_probe_that_was_killed_does_not_stand_in_the_way(outgoing: Path) -> None:
    spool = Spool(outgoing)
    spool.prepare()
    (outgoing / PROBE).mkdir()
    spool.probe()
    (outgoing / PROBE).mkdir()
    spool.prepare()

    assert not (outgoing / PROBE).exists()
