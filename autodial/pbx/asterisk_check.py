"""
What ``autodial doctor`` asks Asterisk's manager besides ``dialplan_check``: the spool, the rights
of our user, the dialplan's release, the trunks, the operators' phones, the clock.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from autodial.config.settings import Config
from autodial.errors import PbxError
from autodial.findings import Finding
from autodial.model.ids import internal_number
from autodial.pbx.ami import VARIABLE, Ami, MoreKept
from autodial.pbx.dialplan_check import findings as dialplan_findings
from dialplan import CONTEXTS, release, text

#: Difference of two clocks that is worth a word, and that makes deadlines wrong.
SECONDS, MINUTES = timedelta(seconds=30), timedelta(minutes=5)
#: Actions that the manager's user should not have: with them its secret would be worth a theft.
TOO_MUCH = ("Originate", "Command", "UpdateConfig", "Redirect", "Setvar", "DBPut")


async def thorough(
    ami: Ami, config: Config, extensions: Sequence[str], now: Callable[[], datetime]
) -> tuple[Finding, ...]:
    """
    All that is wrong, serious findings first. ``extensions``: internal numbers of the staff.

    Raises:
        NotConnected. PbxError: the manager's user lacks a right.
    """
    problems = list(await dialplan_findings(ami, config))
    if not any(finding.key == "dialplan.contexts" for finding in problems):
        problems += await _release(ami)
    problems += await _spool(ami, config)
    problems += await _clock(ami, now)
    problems += await _rights(ami)
    problems += await _trunks(ami, config)
    problems += await _phones(ami, extensions)
    return tuple(sorted(problems, key=lambda finding: not finding.serious))


async def _release(ami: Ami) -> list[Finding]:
    """Is the dialplan that Asterisk has loaded the one of this program?"""
    ours = release(text(CONTEXTS))
    if await ami.value(f"DIALPLAN_EXISTS(autodial-release,{ours},1)") == "0":
        return [Finding("dialplan.release", ours, False)]
    return []


async def _spool(ami: Ami, config: Config) -> list[Finding]:
    """(Where Asterisk has a root of its own, its name for the directory is another.)"""
    theirs = Path(await ami.value("ASTSPOOLDIR") or "/nowhere") / "outgoing"
    ours = config.asterisk.spool
    if theirs.is_dir() and ours.resolve() != theirs.resolve():
        return [Finding("asterisk.spool", f"{theirs} / {ours}", True)]
    return []


async def _clock(ami: Ami, now: Callable[[], datetime]) -> list[Finding]:
    epoch = await ami.value("EPOCH")
    if not epoch.isdigit():
        return []
    here = now()
    problems = clock("Asterisk", datetime.fromtimestamp(int(epoch), UTC), here)
    zone, ours = await ami.value("STRFTIME(,,%z)"), f"{here.astimezone():%z}"
    if zone and zone != ours:
        problems.append(Finding("host.zone", f"{ours} / {zone}", False))
    return problems


def clock(whose: str, theirs: datetime, ours: datetime) -> list[Finding]:
    """Another machine's clock, beside ours."""
    ahead = theirs - ours
    if abs(ahead) < SECONDS:
        return []
    detail = f"{whose}: {ahead.total_seconds():+.0f} s"
    return [Finding("host.clock", detail, abs(ahead) >= MINUTES)]


async def _rights(ami: Ami) -> list[Finding]:
    """Without ``channelvars`` a live call is not told from one that is lost."""
    problems = []
    try:
        await ami.channels()
    except PbxError as error:
        if "channelvars" not in str(error):
            raise
        problems.append(Finding("asterisk.channelvars", VARIABLE, True))
    with suppress(MoreKept):
        await ami.kept_reports()  # the reconciler lives on it
    allowed = await ami.allowed()
    unneeded = [name for name in TOO_MUCH if name in allowed]
    if unneeded:
        problems.append(Finding("asterisk.rights", ", ".join(unneeded), False))
    return problems


async def _trunks(ami: Ami, config: Config) -> list[Finding]:
    """Known trunks that cannot be reached now (only with ``qualify_frequency`` is that known)."""
    if await ami.value("AD_VIA"):
        return []
    away = [
        trunk.name
        for trunk in config.asterisk.trunks
        if await ami.value(f"DEVICE_STATE(PJSIP/{trunk.name})") == "UNAVAILABLE"
    ]
    return [Finding("asterisk.trunks", ", ".join(away), False)] if away else []


async def _phones(ami: Ami, extensions: Sequence[str]) -> list[Finding]:
    """Internal numbers without an endpoint of that name."""
    unknown = [
        number
        for number in extensions
        if internal_number(number)
        and await ami.value(f"DEVICE_STATE(PJSIP/{number})") in ("INVALID", "UNKNOWN")
    ]
    return [Finding("asterisk.phones", ", ".join(unknown), False)] if unknown else []
