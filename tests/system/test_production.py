"""``./install.sh production`` on a real Asterisk: Debian's files, plain ones, FreePBX's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autodial.config.load import load
from demo.rig import Rig
from deploy import production
from deploy.production import install, look, plan, uninstall

SOURCE = Path(__file__).parents[2]
MANAGER = "[general]\nenabled = yes\nport = {port}\nbindaddr = 127.0.0.1\n"
INCLUDED = MANAGER + '\n#include "manager.d/*.conf"\n'
FREEPBX = (
    "#include extensions_override_freepbx.conf\n#include extensions_additional.conf\n"
    "#include extensions_custom.conf\n"
)


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    return house(extensions=("101",))


def site(rig: Rig, tmp_path: Path, files: dict[str, str]) -> Path:
    """A root whose Asterisk is the rig's, with these files of its own and none of ours."""
    pbx = rig.exchange.pbx
    etc = pbx.outside / "etc"
    pbx.stop()
    for ours in (*etc.glob("autodial*.conf"), *etc.glob("manager.d/*"), *etc.glob("*_custom.conf"),
                 *etc.glob("*_additional.conf"), etc / "demo-globals.conf"):  # fmt: skip
        ours.unlink(missing_ok=True)
    (etc / "manager.d").mkdir(exist_ok=True)
    (etc / "manager.d").chmod(0o755)
    for name, text in files.items():
        (etc / name).write_text(text.replace("{port}", str(rig.exchange.ports["AMI_PORT"])))
        (etc / name).chmod(0o644)
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/asterisk").symlink_to(etc)
    spool = root / str(pbx.directory / "spool/outgoing").lstrip("/")
    spool.parent.mkdir(parents=True)
    spool.symlink_to(rig.exchange.spool)
    pbx.start()
    return root


@pytest.mark.parametrize(
    "files",
    [
        {"extensions.conf": "[globals]\nSITE = 1\n[phones]\nexten => 1,1,NoOp()\n",
         "manager.conf": INCLUDED},
        {"extensions.conf": "[phones]\r\nexten => 1,1,NoOp()", "manager.conf": MANAGER},
        {"extensions.conf": FREEPBX, "manager.conf": MANAGER + "#include manager_custom.conf\n",
         "manager_custom.conf": "", "extensions_override_freepbx.conf": "",
         "extensions_additional.conf": "[from-internal]\nexten => _X.,1,Hangup()\n",
         "extensions_custom.conf": "[site-own]\nexten => s,1,NoOp()\n"},
    ],
    ids=["debian", "plain", "freepbx"],
)  # fmt: skip
def test_asterisk_has_all_of_it_and_then_nothing(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    root, pbx = site(rig, tmp_path, files), rig.exchange.pbx
    etc = pbx.outside / "etc"
    before = {path.name: path.read_bytes() for path in etc.iterdir() if path.is_file()}
    monkeypatch.setattr(production, "asterisk", lambda *words: pbx.cli(words[0], check=False))
    here = look(root, pbx.cli("core show version"))
    assert 0 == install(here, SOURCE, dry_run=False)
    assert [] == plan(here, SOURCE)

    config = load(root / "etc/autodial24/autodial.toml")
    variables = pbx.cli("dialplan show globals")
    assert f"AD_SECRET={config.fastagi.secret.get_secret_value()}" in variables
    assert ("AD_VIA=from-internal" in variables) == ("extensions_custom.conf" in files)
    assert "phones" in pbx.cli("dialplan show phones") or "extensions_custom.conf" in files
    shown = pbx.cli("manager show user autodial")
    assert "system,call,reporting" in shown
    assert config.asterisk.ami_port == rig.exchange.ports["AMI_PORT"]

    assert 0 == uninstall(here, dry_run=False, purge=True)
    assert before == {path.name: path.read_bytes() for path in etc.iterdir() if path.is_file()}
    assert "There is no existence of 'autodial-out'" in pbx.cli(
        "dialplan show autodial-out", check=False
    )
