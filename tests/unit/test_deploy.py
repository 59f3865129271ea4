"""The units for systemd: what the dialler may do on its host, rated by systemd-analyze."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
#: The highest exposure allowed, in tenths of 10: systemd calls less than 2.0 "OK".
EXPOSURE = 20


class _Unit(configparser.ConfigParser):
    """A unit file: a key may come several times, and keeps its letters."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, interpolation=None, comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[method-assign, assignment]
        self.read_string((DEPLOY / name).read_text())


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine"
)
@pytest.mark.parametrize("name", ["autodial24.service", "autodial24-board.service"])
def test_the_service_is_confined(name: str) -> None:
    done = subprocess.run(
        [
            "systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}",
            "--no-pager", str(DEPLOY / name),
        ],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is older than 250 and cannot judge a file")

    assert 0 == done.returncode, done.stdout[-400:] + done.stderr


@pytest.mark.parametrize("unit", ["autodial24.service", "autodial24-board.service"])
def test_the_service_says_what_it_gives_up(unit: str) -> None:
    """This is checked without systemd-analyze, too."""
    service = _Unit(unit)["Service"]

    assert ("0077", "") == (service["UMask"], service["CapabilityBoundingSet"])
    for name in (
        "PrivateDevices", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs",
        "ProtectControlGroups", "ProtectClock", "RestrictNamespaces", "RestrictSUIDSGID",
        "LockPersonality", "NoNewPrivileges",
    ):  # fmt: skip
        assert "yes" == service[name], name
    assert "invisible" == service["ProtectProc"]


def test_the_socket_is_what_the_dialler_looks_for() -> None:
    held = _Unit("autodial24.socket")["Socket"]

    assert ("fastagi", "127.0.0.1:4573") == (held["FileDescriptorName"], held["ListenStream"])
    assert "autodial24.socket" == _Unit("autodial24.service")["Unit"]["Requires"]
