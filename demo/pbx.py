"""
A PBX for trying out the dialler: a real Asterisk, and a second one that simulates trunks and
phones.

Both run below one directory that is removed when they stop; nothing is mounted or installed on the
machine, and both end with the process that started them. All ports are on 127.0.0.1.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import define, field, frozen

#: Root file system made by install.sh, if the distribution has no Asterisk.
ROOTFS = Path(os.environ.get("AUTODIAL24_CACHE", "/var/cache/autodial24")) / "rootfs"
#: Seconds an Asterisk may take to start on a busy machine.
BOOT = 90.0

_HERE = Path(__file__).parent
_PRODUCT = _HERE.parent / "dialplan"


class ExchangeError(Exception):
    """The demo's Asterisk cannot be run here; the text says what to do."""


def asterisk_root() -> Path:
    """
    The root directory whose /usr/sbin/asterisk is used: this machine's, or the cached one.

    Raises:
        ExchangeError: there is none, or we may not use it.
    """
    if os.geteuid() != 0:
        raise ExchangeError("the demo exchange runs Asterisk under its own user: run as root")
    for root in (Path("/"), ROOTFS):
        if (root / "usr/sbin/asterisk").exists():
            return root
    raise ExchangeError(f"no Asterisk on this machine and none in {ROOTFS}: run ./install.sh")


@frozen
class Entry:
    """One line of the far end's journal: an INVITE it received, or a client's end."""

    kind: str  #: operator, client or client-end
    number: str
    at: int  #: seconds since the epoch
    task: str  #: X-Autodial-Task (operator), or the trunk's number (client)
    attempt: str  #: X-Autodial-Attempt
    shown_number: str
    shown_name: str
    channel: str


@define
class Asterisk:
    """One Asterisk with its own directory, run as the user ``asterisk``."""

    root: Path
    directory: Path  #: as Asterisk sees it, inside ``root``
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def outside(self) -> Path:
        """The same directory, as this process sees it."""
        return self.root / self.directory.relative_to("/")

    def write(self, files: Mapping[str, str]) -> None:
        """Make the directories and write ``etc/``; everything belongs to Asterisk's user."""
        for part in ("etc", "lib", "spool/outgoing", "spool/tmp", "run", "log", "spool/recording"):
            (self.outside / part).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = self.outside / "etc" / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
        owner = _asterisk_ids(self.root)
        for path in (self.outside, *self.outside.rglob("*")):
            os.chown(path, *owner)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        inside = [
            "env",
            f"--chdir={self.directory}",
            "setpriv",
            "--reuid=asterisk",
            "--regid=asterisk",
            "--clear-groups",
        ]
        inside += ["--pdeathsig=KILL", "/usr/sbin/asterisk", "-f", "-C", self._configuration]
        log = (self.outside / "console").open("ab")
        with log:
            self.process = subprocess.Popen(
                ["chroot", str(self.root), *inside],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            )
        until = time.monotonic() + BOOT
        while "fully booted" not in self.cli("core waitfullybooted", check=False):
            if self.process.poll() is not None or time.monotonic() > until:
                output = (self.outside / "console").read_text(errors="replace")[-2000:]
                raise ExchangeError(f"Asterisk did not start:\n{output}")
            time.sleep(0.1)

    def cli(self, command: str, *, check: bool = True) -> str:
        """Run one CLI command and return what it prints."""
        done = subprocess.run(
            [
                *("chroot", str(self.root), "/usr/sbin/asterisk"),
                *("-C", self._configuration, "-rx", command),
            ],
            capture_output=True,
            timeout=60,
            cwd="/",
        )
        if check and done.returncode:
            raise ExchangeError(f"asterisk -rx {command!r}: {done.stderr.decode()}")
        return done.stdout.decode("utf-8", "replace")

    def stop(self) -> None:
        """Shut it down: calls are hung up, and their hangup handlers run."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def kill(self) -> None:
        """Kill it, as in a power failure."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def _configuration(self) -> str:
        return str(self.directory / "etc/asterisk.conf")


@define
class Exchange:
    """The PBX with the dialler's contexts, and the far end: two trunks, several phones."""

    pbx: Asterisk
    far: Asterisk
    ports: dict[str, int]
    ami_secret: str
    agi_secret: str  #: AD_SECRET of the dialplan
    phone_secret: str  #: the password of each phone's registration
    extensions: tuple[str, ...]

    @property
    def recordings(self) -> Path:
        return self.pbx.outside / "spool/recording"

    @property
    def spool(self) -> Path:
        return self.pbx.outside / "spool/outgoing"

    def start(self) -> None:
        self.pbx.start()
        self.far.start()
        for extension in self.extensions:
            self.register(extension)  # by itself it would wait for up to ten seconds
        self.wait_for_phones()

    def wait_for_phones(self) -> None:
        """Wait until every phone has registered and both trunks answer."""
        wanted = len(self.extensions)
        until = time.monotonic() + BOOT
        while True:
            contacts = self.pbx.cli("pjsip show contacts")
            alive = contacts.count(" Avail ")  # only the two trunks are qualified
            phones = sum(f"  {extension}/sip:" in contacts for extension in self.extensions)
            if alive == 2 and phones == wanted:
                return
            if time.monotonic() > until:
                raise ExchangeError(f"the phones did not register:\n{contacts}")
            for trunk in ("carrier1", "carrier2"):
                # Asked before the far end was up, it would be asked again much later only.
                self.pbx.cli(f"pjsip qualify {trunk}")
            time.sleep(0.2)

    def set_fate(self, extension: str, fate: str) -> None:
        """Set how an operator's phone reacts: talks, slow, long, misses, busy, rejects."""
        self.far.cli(f"database put fate {extension} {fate}")

    def unregister(self, extension: str) -> None:
        self.far.cli(f"pjsip send unregister phone-{extension}")

    def register(self, extension: str) -> None:
        self.far.cli(f"pjsip send register phone-{extension}")

    def journal(self) -> list[Entry]:
        """The calls that reached the far end, in order."""
        path = self.far.outside / "journal"
        if not path.exists():
            return []
        rows = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        return [_entry(row) for row in rows if row.count("|") >= 7]

    def channels(self) -> int:
        """The number of channels on the PBX."""
        return int(self.pbx.cli("core show channels count").split()[0])

    def stop(self) -> None:
        self.pbx.stop()
        self.far.stop()


def _entry(row: str) -> Entry:
    kind, number, at, task, attempt, shown_number, rest = row.split("|", 6)
    shown_name, _, channel = rest.rpartition("|")
    return Entry(kind, number, int(at), task, attempt, shown_number, shown_name, channel)


@contextmanager
def exchange(  # noqa: PLR0913  # the parts of an exchange, by name
    *,
    extensions: tuple[str, ...],
    agi_port: int,
    operator_rings: float = 1,
    operator_talks: float = 2,
    impatience: float = 0.5,
    longest_call: int = 600,
    record: bool = False,
    headers: bool = True,
    live_dangerously: str = "no",
    keep_logs: Path | None = None,
) -> Iterator[Exchange]:
    """
    Start the two Asterisks and remove them afterwards, even after an error.

    ``operator_rings`` and ``operator_talks`` are seconds of a phone whose fate is "talks";
    ``impatience``: seconds until the client hangs up who does so while the operator's phone rings;
    ``live_dangerously`` is Asterisk's own option ("yes": functions with side effects may also be
    called from outside the dialplan).
    """
    root = asterisk_root()
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix=f"autodial24-{os.getpid()}-", dir=_temporary(root)))
        base.chmod(0o755)
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        names = ("SIP_PORT", "FAR_PORT_1", "FAR_PORT_2", "PHONE_PORT", "DEAD_PORT", "AMI_PORT")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        values = {
            **{name: str(port) for name, port in ports.items()},
            "AGI_PORT": str(agi_port),
            "AD_MAX": str(longest_call),
            "MODULES": str(_inside(root, _modules(root))),
            "DATA": "/usr/share/asterisk",
            "AMI_SECRET": os.urandom(12).hex(),
            "AGI_SECRET": os.urandom(32).hex(),
            "PHONE_SECRET": os.urandom(12).hex(),
            "LIVE_DANGEROUSLY": live_dangerously,
            "OPERATOR_RINGS": f"{operator_rings:g}",
            "OPERATOR_TALKS": f"{operator_talks:g}",
            "IMPATIENCE": f"{impatience:g}",
        }
        values["PHONES"] = "\n".join(_phone(extension) for extension in extensions)
        values["REGISTRATIONS"] = "\n".join(
            _registration(extension, values) for extension in extensions
        )
        inside = _inside(root, base)
        pbx = Asterisk(root, inside / "pbx")
        far = Asterisk(root, inside / "far")
        values["HEADERS"] = "1" if headers else ""
        values["RECORD"] = str(pbx.directory / "spool/recording") if record else ""
        pbx.write(_files("pbx", {**values, "DIR": str(pbx.directory), **_rtp(0)}))
        far.write(_files("far", {**values, "DIR": str(far.directory), **_rtp(1)}))
        if keep_logs is not None:
            stack.callback(_save_logs, (pbx, far), keep_logs)
        running = Exchange(
            pbx,
            far,
            ports,
            values["AMI_SECRET"],
            values["AGI_SECRET"],
            values["PHONE_SECRET"],
            extensions,
        )
        stack.callback(running.stop)
        running.start()
        yield running


#: Below those that the system gives to outgoing connections, and below those for voice (``_rtp``):
#: either could take a port before it is used.
_PORTS = range(10_000, 20_000)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now, for both UDP and TCP."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = random.choice(_PORTS)
            tcp = stack.enter_context(socket.socket())
            udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
        return ports


def _files(role: str, values: Mapping[str, str]) -> dict[str, str]:
    sources = {path.name.removeprefix("common-"): path for path in _HERE.glob("common-*.conf")}
    sources |= {path.name: path for path in (_HERE / role).glob("*.conf")}
    if role == "pbx":
        sources |= {path.name: path for path in _PRODUCT.glob("autodial*.conf")}
    texts = {}
    for name, path in sources.items():
        text = path.read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        if placeholder := re.search("@[A-Z_]+@", text):
            raise ExchangeError(f"{path}: no value for {placeholder.group()}")
        texts[name] = text
    return texts


def _phone(extension: str) -> str:
    return (
        f"[{extension}](phone)\naors = {extension}\nauth = {extension}\n"
        f'callerid = "Operator {extension}" <{extension}>\n'
        f"[{extension}](phone-auth)\nusername = {extension}\n[{extension}](phone-aor)\n"
    )


def _registration(extension: str, values: Mapping[str, str]) -> str:
    return (
        f"[phone-{extension}](registration)\n"
        f"client_uri = sip:{extension}@127.0.0.1:{values['SIP_PORT']}\n"
        f"contact_user = {extension}\noutbound_auth = phone-{extension}\n"
        f"[phone-{extension}]\ntype = auth\nauth_type = userpass\n"
        f"username = {extension}\npassword = {values['PHONE_SECRET']}\n"
    )


def _rtp(role: int) -> dict[str, str]:
    first = 20000 + role * 12000 + (os.getpid() % 50) * 200
    return {"RTP_FIRST": str(first), "RTP_LAST": str(first + 1998)}


def _modules(root: Path) -> Path:
    # Since Asterisk 16 Debian has them below the architecture's directory.
    places = ("usr/lib/*/asterisk/modules", "usr/lib/asterisk/modules")
    folders = [path for place in places for path in root.glob(place)]
    if not folders:
        raise ExchangeError(f"no Asterisk modules below {root}")
    return folders[0]


def _temporary(root: Path) -> Path:
    place = root / "var/tmp"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _inside(root: Path, path: Path) -> Path:
    return Path("/") / path.relative_to(root)


def _asterisk_ids(root: Path) -> tuple[int, int]:
    for row in (root / "etc/passwd").read_text().splitlines():
        name, _, uid, gid, *_ = row.split(":")
        if name == "asterisk":
            return int(uid), int(gid)
    raise ExchangeError(f"no user 'asterisk' in {root}/etc/passwd")


def _save_logs(machines: tuple[Asterisk, ...], target: Path) -> None:
    for machine in machines:
        place = target / machine.directory.name
        place.mkdir(parents=True, exist_ok=True)
        for name in ("log/full", "console", "journal"):
            if (machine.outside / name).exists():
                shutil.copy(machine.outside / name, place / Path(name).name)
