"""``./install.sh production`` on made-up roots: what it plans, writes, keeps and puts back."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from autodial.config.load import load
from autodial.config.settings import Config
from deploy import production
from deploy.production import BEGIN, InstallError, Site, install, look, plan, uninstall

SOURCE = Path(__file__).parents[3]
DEBIAN_MANAGER = """[general]
enabled = yes
port = 5038
bindaddr = 127.0.0.1

#include "manager.d/*.conf"
"""
SAMPLE_MANAGER = "[general]\nenabled = no\nport = 5038\nbindaddr = 0.0.0.0\n"
EXTENSIONS = (
    "[general]\nstatic = yes\n\n[globals]\nSITE = 1\n\n[from-phones]\nexten => 1,1,NoOp()\n"
)


@pytest.fixture
def pbx(tmp_path: Path) -> Path:
    """A PBX as Debian installs it."""
    etc = tmp_path / "etc/asterisk"
    (etc / "manager.d").mkdir(parents=True)
    (tmp_path / "var/spool/asterisk/outgoing").mkdir(parents=True)
    (etc / "extensions.conf").write_text(EXTENSIONS)
    (etc / "extensions.conf").chmod(0o640)
    (etc / "manager.conf").write_text(DEBIAN_MANAGER)
    return tmp_path


@pytest.fixture
def obedient(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An Asterisk that shows whatever is asked for."""
    asked: list[str] = []

    def answer(*command: str) -> str:
        asked.append(command[0])
        return "autodial-out AD_AGI autodial Asterisk 22"

    monkeypatch.setattr(production, "asterisk", answer)
    return asked


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def at(root: Path, version: str = "Asterisk 22.10.1") -> Site:
    return look(root, version)


def done(root: Path, version: str = "Asterisk 22.10.1") -> dict[str, str]:
    assert 0 == install(at(root, version), SOURCE, dry_run=False)
    return contents(root)


def test_all_that_a_pbx_needs(pbx: Path, obedient: list[str]) -> None:
    files = done(pbx)

    assert files["etc/asterisk/extensions.conf"].startswith(EXTENSIONS)
    assert '#tryinclude "autodial.conf"' in files["etc/asterisk/extensions.conf"]
    assert files["etc/asterisk/autodial.conf"] == (SOURCE / "dialplan/autodial.conf").read_text()
    assert files["etc/asterisk/manager.conf"] == DEBIAN_MANAGER
    manager = files["etc/asterisk/manager.d/autodial.conf"]
    assert "[general](+)\nchannelvars = AD_ID\n" in manager
    assert "read = system,call,reporting\nwrite = reporting\n" in manager
    assert "name(DeviceStateChange),header(Device),method(starts_with)) = PJSIP/" in manager
    assert {"dialplan reload", "manager reload"} <= set(obedient)
    assert "ListenStream" in files["etc/systemd/system/autodial24.socket"]


def test_the_configuration_is_one_that_the_dialler_reads(pbx: Path, obedient: list[str]) -> None:
    files = done(pbx)
    path = pbx / "etc/autodial24/autodial.toml"
    config: Config = load(path)
    secret = config.fastagi.secret.get_secret_value()

    assert f"AD_SECRET = {secret}\n" in files["etc/asterisk/autodial-globals.conf"]
    ami = config.asterisk.ami_secret.get_secret_value()
    assert f"secret = {ami}\n" in files["etc/asterisk/manager.d/autodial.conf"]
    assert len({secret, ami}) == 2 and min(len(secret), len(ami)) >= 32
    assert "/var/spool/asterisk/outgoing" == str(config.asterisk.spool)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o640 == stat.S_IMODE((pbx / "etc/asterisk/autodial-globals.conf").stat().st_mode)
    assert 0o700 == stat.S_IMODE((pbx / "etc/autodial24").stat().st_mode)
    assert 0o640 == stat.S_IMODE((pbx / "etc/asterisk/extensions.conf").stat().st_mode), "as it was"


def test_a_second_run_changes_nothing(pbx: Path, obedient: list[str]) -> None:
    first = done(pbx)

    assert [] == plan(at(pbx), SOURCE)
    assert first == done(pbx)


def test_a_dry_run_shows_every_change_and_no_secret(
    pbx: Path, obedient: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(pbx)
    assert 0 == install(at(pbx), SOURCE, dry_run=True)
    shown = capsys.readouterr().out
    assert before == contents(pbx)
    files = done(pbx)

    for path in files.keys() - before.keys():
        assert f"+++ {pbx / path}" in shown
    assert '+#tryinclude "autodial.conf"' in shown
    for secret in re.findall(r"[0-9a-f]{48,}", "".join(files.values())):
        assert secret not in shown
    assert [] == re.findall(r"[0-9a-f]{48,}", shown)


def test_an_upgrade_keeps_what_is_the_site_s(pbx: Path, obedient: list[str]) -> None:
    done(pbx)
    globals_ = pbx / "etc/asterisk/autodial-globals.conf"
    config = pbx / "etc/autodial24/autodial.toml"
    globals_.write_text(globals_.read_text().replace("AD_WAITING = r", "AD_WAITING = m(site)"))
    config.write_text(config.read_text() + "\n# a person's own line\n")
    (pbx / "etc/asterisk/autodial.conf").write_text("[autodial-out]\n; of an older release\n")
    kept = globals_.read_text(), config.read_text()

    assert ["autodial.conf"] == [change.path.name for change in plan(at(pbx), SOURCE)]
    done(pbx)
    assert kept == (globals_.read_text(), config.read_text())


def test_what_was_installed_by_hand_is_found(pbx: Path, obedient: list[str]) -> None:
    """As the guide of earlier versions said: two includes, a manager user, globals."""
    etc = pbx / "etc/asterisk"
    includes = "#tryinclude autodial-globals.conf\n#tryinclude autodial.conf\n"
    (etc / "extensions.conf").write_text(EXTENSIONS + includes)
    (etc / "autodial-globals.conf").write_text("[globals]\nAD_SECRET = 0123456789abcdef0123\n")
    by_hand = "channelvars = X,AD_ID\n[autodial]\nsecret = byhand\n"
    (etc / "manager.conf").write_text("[general]\nenabled = yes\n" + by_hand)
    done(pbx)

    assert EXTENSIONS + includes == (etc / "extensions.conf").read_text()
    assert by_hand in (etc / "manager.conf").read_text()
    config = load(pbx / "etc/autodial24/autodial.toml")
    assert "0123456789abcdef0123" == config.fastagi.secret.get_secret_value()
    assert "byhand" == config.asterisk.ami_secret.get_secret_value()


@pytest.mark.parametrize(
    ("general", "expected"),
    [
        (
            "enabled = yes\nchannelvars = CALLID , AGENT ; ours\n",
            "channelvars = CALLID,AGENT,AD_ID",
        ),
        ("enabled = yes\nchannelvars => AD_ID\n", None),
        ("enabled = no\n", "enabled = yes\nbindaddr = 127.0.0.1\nchannelvars = AD_ID"),
    ],
)
def test_the_manager_s_general_section_is_completed(
    pbx: Path, obedient: list[str], general: str, expected: str | None
) -> None:
    (pbx / "etc/asterisk/manager.conf").write_text(f"[general]\n{general}")
    text = done(pbx)["etc/asterisk/manager.conf"]

    ours = text.partition(BEGIN)[2]
    assert (expected is None) == ("[general](+)" not in ours)
    assert expected is None or f"[general](+)\n{expected}\n" in ours


def test_older_asterisk_has_filters_as_it_knows_them(pbx: Path, obedient: list[str]) -> None:
    manager = done(pbx, "Asterisk 16.28.0~dfsg-0")["etc/asterisk/manager.d/autodial.conf"]

    assert "eventfilter = Event: DeviceStateChange\n" in manager
    assert "eventfilter = !Device: Local/\n" in manager
    assert "action(include)" not in manager


def test_freepbx_gets_our_lines_where_it_does_not_overwrite_them(
    pbx: Path, obedient: list[str]
) -> None:
    etc = pbx / "etc/asterisk"
    generated = "#include extensions_override_freepbx.conf\n#include extensions_custom.conf\n"
    (etc / "extensions.conf").write_text(generated)
    (etc / "extensions_additional.conf").write_text("[from-internal]\ninclude => outbound\n")
    (etc / "extensions_custom.conf").write_text("[site-own]\nexten => s,1,NoOp()\n")
    (etc / "manager.conf").write_text(
        "[general]\nenabled = yes\n#include manager_additional.conf\n#include manager_custom.conf\n"
    )
    files = done(pbx)

    assert generated == files["etc/asterisk/extensions.conf"]
    assert '#tryinclude "autodial.conf"' in files["etc/asterisk/extensions_custom.conf"]
    assert "[autodial]" in files["etc/asterisk/manager_custom.conf"]
    assert "\nAD_VIA = from-internal\n" in files["etc/asterisk/autodial-globals.conf"]


def test_removing_leaves_the_site_s_files_byte_for_byte(pbx: Path, obedient: list[str]) -> None:
    before = contents(pbx)
    done(pbx)
    assert 0 == uninstall(at(pbx), dry_run=True, purge=False)
    assert "autodial.conf" in " ".join(contents(pbx)), "a dry run"
    assert 0 == uninstall(at(pbx), dry_run=False, purge=False)
    left = contents(pbx)
    kept = {"etc/asterisk/autodial-globals.conf", "etc/autodial24/autodial.toml"}

    assert before == {path: text for path, text in left.items() if path not in kept}
    assert kept <= left.keys(), "the site's settings stay, for another time"
    assert 0 == uninstall(at(pbx), dry_run=False, purge=True)
    assert before == contents(pbx)


@pytest.mark.parametrize(
    "text",
    [
        b"[phones]\r\nexten => 1,1,NoOp()\r\n", b"[phones]\nexten => 1,1,NoOp()", b"", b"\n\n",
        "[phones]\n; комментарий\n".encode("cp1251"),
    ],
)  # fmt: skip
def test_odd_files_come_back_byte_for_byte(pbx: Path, obedient: list[str], text: bytes) -> None:
    path = pbx / "etc/asterisk/extensions.conf"
    path.write_bytes(text)
    for _ in range(2):
        assert 0 == install(at(pbx), SOURCE, dry_run=False)
    assert path.read_bytes().startswith(text)
    assert [] == plan(at(pbx), SOURCE)
    assert 0 == uninstall(at(pbx), dry_run=False, purge=True)

    assert text == path.read_bytes()


def test_a_link_of_asterisk_s_user_is_not_followed(pbx: Path, obedient: list[str]) -> None:
    secret = pbx / "shadow"
    secret.write_text("root:x\n")
    (pbx / "etc/asterisk/extensions.conf").unlink()
    (pbx / "etc/asterisk/extensions.conf").symlink_to(secret)

    with pytest.raises(InstallError, match=r"extensions\.conf is a link"):
        plan(at(pbx), SOURCE)


def test_an_asterisk_that_does_not_take_it_has_everything_back(
    pbx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(production, "asterisk", lambda *_: "Asterisk 22")
    before = contents(pbx)
    assert 1 == install(at(pbx), SOURCE, dry_run=False)

    assert before == contents(pbx)
    assert "does not show autodial-out" in capsys.readouterr().err


def test_an_asterisk_that_does_not_run_has_everything_back(
    pbx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(production, "asterisk", lambda *_: "")
    before = contents(pbx)

    assert 1 == install(at(pbx), SOURCE, dry_run=False)
    assert before == contents(pbx)
    assert "Asterisk does not run" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_everything_belongs_to_asterisk_s_user(pbx: Path, obedient: list[str]) -> None:
    os.chown(pbx / "var/spool/asterisk/outgoing", 12_345, 12_346)
    done(pbx)

    for name in (
        "etc/autodial24", "etc/autodial24/autodial.toml", "var/lib/autodial24",
        "etc/asterisk/autodial.conf", "etc/asterisk/autodial-globals.conf",
        "etc/asterisk/manager.d/autodial.conf",
    ):  # fmt: skip
        status = (pbx / name).stat()
        assert (12_345, 12_346) == (status.st_uid, status.st_gid), name
    assert "User=12345\n" in (pbx / "etc/systemd/system/autodial24.service").read_text()
    assert 0 == (pbx / "etc/systemd/system/autodial24.service").stat().st_uid


@pytest.mark.parametrize(
    ("harm", "version", "expected"),
    [
        (lambda root: (root / "etc/asterisk/extensions.conf").unlink(), "Asterisk 22",
         "is Asterisk installed"),
        (lambda root: (root / "var/spool/asterisk/outgoing").rmdir(), "Asterisk 22",
         "start Asterisk once"),
        (lambda root: None, "Asterisk 13.38.3", "16.4 or later"),
        (lambda root: None, "", "found: none"),
    ],
)  # fmt: skip
def test_what_cannot_be_installed_on_is_said(
    pbx: Path, harm: Callable[[Path], object], version: str, expected: str
) -> None:
    harm(pbx)
    with pytest.raises(InstallError, match=expected):
        look(pbx, version)


def test_a_spool_elsewhere_is_found(pbx: Path, obedient: list[str]) -> None:
    (pbx / "srv/spool/outgoing").mkdir(parents=True)
    (pbx / "etc/asterisk/asterisk.conf").write_text("[directories](!)\nastspooldir => /srv/spool\n")
    files = done(pbx)

    assert 'spool = "/srv/spool/outgoing"' in files["etc/autodial24/autodial.toml"]
    unit = files["etc/systemd/system/autodial24.service"]
    assert "ReadWritePaths=/var/lib/autodial24 /srv/spool/outgoing\n" in unit
