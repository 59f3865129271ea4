"""``./install.sh production`` on made-up roots: what it plans, writes, keeps and puts back."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from autodial.config.load import load
from autodial.config.settings import Config
from deploy import files, production
from deploy.files import InstallError, write
from deploy.production import (
    BEGIN,
    END,
    Site,
    install,
    look,
    plan,
    restore,
    uninstall,
    what_is_left,
)
from dialplan import CONTEXTS, release, text

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


RELEASE = release(text(CONTEXTS))
#: What Asterisk 22 prints where it has all of it, and where it has none; both with exit code 0.
SUCCESS = {
    "core": "Asterisk 22.10.1",
    f"dialplan show {RELEASE}@autodial-release": f"  '{RELEASE}' =>  1. NoOp()   [x.conf:1]\n",
    "dialplan show globals": "   AD_SECRET=0123456789abcdef\n",
    "manager show user autodial": "                 username: autodial\n",
}
REFUSALS = {
    "core": "Asterisk 22.10.1",
    f"dialplan show {RELEASE}@autodial-release":
        f"There is no existence of {RELEASE}@autodial-release extension\n",
    "dialplan show globals": "   AD_AGI=agi://127.0.0.1:4573\n",
    "manager show user autodial": "There is no manager called autodial\n",
}  # fmt: skip


def of_asterisk(path: Path) -> None:
    """Root's tests need another user, who need not exist."""
    if os.geteuid() == 0:
        os.chown(path, 12_345, 12_346)


@pytest.fixture
def pbx(tmp_path: Path) -> Path:
    """A PBX as Debian installs it."""
    etc = tmp_path / "etc/asterisk"
    (etc / "manager.d").mkdir(parents=True)
    (tmp_path / "var/spool/asterisk/outgoing").mkdir(parents=True)
    of_asterisk(tmp_path / "var/spool/asterisk/outgoing")
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
        return SUCCESS.get(command[0].split(" ")[0], "") + SUCCESS.get(command[0], "")

    monkeypatch.setattr(production, "asterisk", answer)
    return asked


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text(errors="replace")
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


def test_secrets_survive_a_removal(pbx: Path, obedient: list[str]) -> None:
    """The configuration stays, and its passwords are in force again after the next installation."""
    done(pbx)
    uninstall(at(pbx), dry_run=False, purge=False)
    (pbx / "etc/asterisk/autodial-globals.conf").unlink()
    files, config = done(pbx), load(pbx / "etc/autodial24/autodial.toml")

    ami = config.asterisk.ami_secret.get_secret_value()
    assert f"secret = {ami}\n" in files["etc/asterisk/manager.d/autodial.conf"]
    secret = config.fastagi.secret.get_secret_value()
    assert f"AD_SECRET = {secret}\n" in files["etc/asterisk/autodial-globals.conf"]


def test_a_site_s_own_manager_files_are_kept(pbx: Path, obedient: list[str]) -> None:
    own = "[crm]\nsecret = x\n"
    path = pbx / "etc/asterisk/manager.d/autodial.conf"
    path.write_text(own)
    assert done(pbx)["etc/asterisk/manager.d/autodial.conf"].startswith(own)
    uninstall(at(pbx), dry_run=False, purge=True)

    assert own == path.read_text()


@pytest.mark.parametrize("name", ["manager.conf", "manager.d/other.conf"])
def test_our_user_made_by_hand_elsewhere_stays_and_is_used(
    pbx: Path, obedient: list[str], name: str
) -> None:
    path = pbx / "etc/asterisk" / name
    by_hand = f"{path.read_text() if path.exists() else ''}\n [autodial]\nSecret = byhand\n"
    path.write_text(by_hand)
    files = done(pbx)

    assert by_hand == files[f"etc/asterisk/{name}"]
    assert "etc/asterisk/manager.d/autodial.conf" not in files
    config = load(pbx / "etc/autodial24/autodial.toml")
    assert "byhand" == config.asterisk.ami_secret.get_secret_value()


@pytest.mark.parametrize(
    "text", [";--\n[autodial]\nsecret = no\n--;\n", "[autodial](!)\nsecret = no\n"]
)
def test_a_comment_or_a_template_is_no_user(pbx: Path, obedient: list[str], text: str) -> None:
    (pbx / "etc/asterisk/manager.d/old.conf").write_text(text)

    assert "\n[autodial]\n" in done(pbx)["etc/asterisk/manager.d/autodial.conf"]


def test_an_asterisk_without_a_manager_gets_one(pbx: Path, obedient: list[str]) -> None:
    """Nothing can be added to a section that no file has."""
    (pbx / "etc/asterisk/manager.conf").unlink()
    text = done(pbx)["etc/asterisk/manager.conf"]

    assert "[general]\nenabled = yes\nbindaddr = 127.0.0.1\n" in text


def test_files_with_secrets_are_closed(pbx: Path, obedient: list[str]) -> None:
    etc = pbx / "etc/asterisk"
    (etc / "manager.conf").write_text("[general]\nenabled = yes\n")
    (etc / "autodial-globals.conf").write_text("[globals]\n")
    for name in ("manager.conf", "autodial-globals.conf"):
        (etc / name).chmod(0o644)
    done(pbx)

    for name in ("manager.conf", "autodial-globals.conf"):
        assert 0o640 == stat.S_IMODE((etc / name).stat().st_mode)


@pytest.mark.parametrize(
    "line", ["  AD_SECRET = 0123456789abcdef01", "AD_SECRET=>0123456789abcdef01 ; ours"]
)
def test_a_secret_is_found_however_it_is_written(pbx: Path, obedient: list[str], line: str) -> None:
    (pbx / "etc/asterisk/autodial-globals.conf").write_text(f"[globals]\n{line}\n")
    files, config = done(pbx), load(pbx / "etc/autodial24/autodial.toml")

    assert "0123456789abcdef01" == config.fastagi.secret.get_secret_value()
    assert 1 == files["etc/asterisk/autodial-globals.conf"].count("AD_SECRET")


@pytest.mark.parametrize(
    "include",
    ['#include "/etc/asterisk/autodial.conf"', "#tryinclude <autodial.conf>",
     "#include 'autodial.conf'"],
)  # fmt: skip
def test_an_include_by_hand_is_recognised(pbx: Path, obedient: list[str], include: str) -> None:
    path = pbx / "etc/asterisk/extensions.conf"
    path.write_text(f"{EXTENSIONS}{include}\n")
    done(pbx)

    assert BEGIN not in path.read_text()


def test_our_block_stays_in_its_place(pbx: Path, obedient: list[str]) -> None:
    """What a site writes behind it stays behind it: a line there belongs to the section before."""
    path = pbx / "etc/asterisk/manager.conf"
    path.write_text("[general]\nenabled = yes\n")
    done(pbx)
    path.write_text(path.read_text() + "[admin]\nsecret = y\n")
    (pbx / "etc/autodial24/autodial.toml").write_text('[asterisk]\nami_secret = "another"\n')
    done(pbx)
    text = path.read_text()

    assert "secret = another" in text
    assert text.index(END) < text.index("[admin]")
    path.write_text(text.replace(END, ""))
    with pytest.raises(InstallError, match="is missing after"):
        plan(at(pbx), SOURCE)


def test_the_port_is_that_of_the_configuration(pbx: Path, obedient: list[str]) -> None:
    done(pbx)
    config = pbx / "etc/autodial24/autodial.toml"
    config.write_text(config.read_text().replace("[fastagi]", "[fastagi]\nport = 4600"))
    files = done(pbx)

    assert "ListenStream=127.0.0.1:4600\n" in files["etc/systemd/system/autodial24.socket"]


def test_a_dry_run_hides_all_secrets(
    pbx: Path,
    obedient: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "LONG", 10**6)
    done(pbx)
    config = pbx / "etc/autodial24/autodial.toml"
    config.write_text(config.read_text() + '\nclient_secret = "hidden1"\n;Secret = hidden2\n')
    capsys.readouterr()
    assert 0 == uninstall(at(pbx), dry_run=True, purge=True)
    shown = capsys.readouterr().out

    assert "hidden" not in shown and "client_secret" in shown
    assert [] == re.findall("[0-9a-f]{48,}", shown)


def test_a_removal_goes_on_without_asterisk(pbx: Path, obedient: list[str]) -> None:
    before = contents(pbx)
    done(pbx)
    (pbx / "var/spool/asterisk/outgoing").rmdir()
    assert 0 == uninstall(what_is_left(pbx), dry_run=False, purge=True)

    assert before == contents(pbx)


@pytest.mark.parametrize("version", ["Asterisk 16.28.0~dfsg-0", "Asterisk 22.0.0"])
def test_older_asterisk_has_filters_as_it_knows_them(
    pbx: Path, obedient: list[str], version: str
) -> None:
    manager = done(pbx, version)["etc/asterisk/manager.d/autodial.conf"]

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
    assert 0 == uninstall(at(pbx), dry_run=True, purge=True)
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


@pytest.mark.parametrize("refused", [one for one in SUCCESS if one != "core"])
def test_an_asterisk_that_does_not_take_it_has_everything_back(
    pbx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: str
) -> None:
    """Asterisk names what it refuses, and its exit code is 0."""
    answers = SUCCESS | {refused: REFUSALS[refused]}
    monkeypatch.setattr(
        production, "asterisk", lambda *words: answers.get(words[0], answers["core"])
    )
    before = contents(pbx)
    assert 1 == install(at(pbx), SOURCE, dry_run=False)

    assert before == contents(pbx)
    assert f"'asterisk -rx \"{refused}\"' does not show it" in capsys.readouterr().err


def test_what_is_interrupted_is_put_back(
    pbx: Path, monkeypatch: pytest.MonkeyPatch, obedient: list[str]
) -> None:
    before = contents(pbx)
    monkeypatch.setattr(production, "reload", lambda site: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):  # of the second reload, after all files are back
        install(at(pbx), SOURCE, dry_run=False)

    assert before == contents(pbx)


def test_what_cannot_be_put_back_is_named(
    pbx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(production, "asterisk", lambda *_: "")

    def fails(path: Path, file: files.File | None) -> None:
        if path.name == "extensions.conf" and file is not None and BEGIN not in file.text:
            raise OSError(28, "No space left on device")
        write(path, file)

    monkeypatch.setattr(production, "write", fails)
    assert 1 == install(at(pbx), SOURCE, dry_run=False)
    said = capsys.readouterr().err

    assert re.search(r"NOT put back: .*extensions\.conf: No space left on device", said)
    assert not (pbx / "etc/asterisk/autodial.conf").exists(), "all others are"


def test_an_upgrade_that_does_not_come_up_is_undone(pbx: Path, obedient: list[str]) -> None:
    """As ``install.sh`` does it: the files were installed, the new dialler does not answer."""
    before, kept = contents(pbx), pbx / "kept.json"
    assert 0 == install(at(pbx), SOURCE, dry_run=False, keep=kept)
    assert 0o600 == stat.S_IMODE(kept.stat().st_mode), "it holds secrets"
    assert 0 == restore(at(pbx), kept)
    kept.unlink()

    assert before == contents(pbx)


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
        (lambda root: os.chown(root / "var/spool/asterisk/outgoing", 0, 0), "Asterisk 22",
         "as Asterisk runs as root"),
        (lambda root: None, "Asterisk 13.38.3", "16.4 or later"),
        (lambda root: None, "Asterisk 16.2.1", "16.4 or later"),
        (lambda root: None, "", "no command 'asterisk' answers"),
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
    of_asterisk(pbx / "srv/spool/outgoing")
    sample = "[directories](!)\nastspooldir => /nowhere\n"  # a template: it says nothing
    own = "[directories]\nastspooldir => /srv/spool ; ours\n"
    (pbx / "etc/asterisk/asterisk.conf").write_bytes((sample + own + "; Г\n").encode("cp1251"))
    files = done(pbx)

    assert 'spool = "/srv/spool/outgoing"' in files["etc/autodial24/autodial.toml"]
    unit = files["etc/systemd/system/autodial24.service"]
    assert "ReadWritePaths=/var/lib/autodial24 /srv/spool/outgoing\n" in unit
