"""Reads the settings again, on request, while the dialler runs."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from attrs import define, field
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from autodial.config import legal_notes
from autodial.config.reload import NOTHING, Settings, taken_over
from autodial.config.settings import Config
from autodial.errors import ConfigError, StoreError
from autodial.findings import Finding
from autodial.rules import time_zones
from autodial.store import flags
from autodial.store.database import Store


@define(eq=False)
class Reloading:
    """``use`` hands a new configuration to all parts; ``recount`` counts past calls by it."""

    log = Logger()

    config: Config
    settings: Settings | None  #: None: they cannot be read again
    store: Store
    now: Callable[[], datetime]
    use: Callable[[Config], None]
    recount: Callable[[], Awaitable[None]]
    _lock: DeferredLock = field(factory=DeferredLock, init=False)
    _logged_changed: bool = field(default=False, init=False)
    _noted: tuple[Finding, ...] = field(default=(), init=False)

    def _flag(self, name: str) -> str:
        return flags.of_node(name, self.config.node.name)

    async def check(self) -> None:
        """Reload on request; log an edited file that was not reloaded."""
        if self.settings is None:
            return
        request = await self.store.run(flags.told, self._flag(flags.RELOAD))
        if request is not None:
            await self.store.run(flags.clear, self._flag(flags.RELOAD))
            await self.reload(request[1])
        changed = self.settings.changed
        if changed is self._logged_changed:
            return
        self._logged_changed = changed
        if changed:
            self.log.warn(
                "{path} says something else than what was read: 'autodial reload' takes it over",
                path=self.settings.path,
            )
            await self.store.run(flags.mark, self.now(), self._flag(flags.CHANGED))
        else:
            await self.store.run(flags.clear, self._flag(flags.CHANGED))

    async def reload(self, asked: str = "") -> None:
        """
        Read the settings again; ``asked``: the requester's file, if known. Unusable settings change
        nothing, and settings that are used only at the start wait for a restart; the log and
        ``autodial reload`` report both.
        """
        if self.settings is None:
            return
        await self._lock.acquire()
        try:
            report = self._take_over(self.settings, asked)
            try:
                await self.recount()
                if not self._logged_changed:
                    await self.store.run(flags.clear, self._flag(flags.CHANGED))
            except StoreError as error:
                report += f"; the past calls are not recounted, reload once more: {error}"
            await self.store.run(flags.tell, self.now(), self._flag(flags.RELOADED), report)
        finally:
            self._lock.release()

    def _take_over(self, settings: Settings, asked: str) -> str:
        if asked and Path(asked) != settings.path.resolve():
            return f"{NOTHING}: this dialler runs by {settings.path.resolve()}"
        try:
            self.config, changed, waiting = taken_over(self.config, settings.load())
        except ConfigError as error:
            self.log.error("the settings are not read again: {error}", error=error)
            return f"{NOTHING}: {error}"
        self._logged_changed = False  # an edit from now on is logged anew
        self.use(self.config)
        report = f"taken over: {', '.join(changed) or 'nothing is new'}"
        if waiting:
            report += f"; waiting for a restart: {', '.join(waiting)}"
        self.log.info("the settings were read again; {what}", what=report)
        self.log_notes()
        return report

    def log_notes(self) -> None:
        """Log, once, the legal notes that no setting can express."""
        notes = legal_notes.notes(self.config, time_zones.DATA, self.now().date())
        for note in notes:
            if note not in self._noted:
                self.log.info("rules: {what}", what=note.sentence(self.config.language))
        self._noted = notes
