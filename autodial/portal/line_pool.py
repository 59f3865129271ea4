"""The dialler's external lines in the portal: their names are what call cards show."""

from attrs import define, field

from autodial.config.settings import Config
from autodial.model.ids import AttemptId
from autodial.store import outbox
from autodial.store.database import Store
from autodial.store.outbox import Message
from bitrix24 import Portal


@define(eq=False)
class LinePool:
    """The common line of each purpose, and a pool of lines that are named after tasks."""

    config: Config
    portal: Portal
    store: Store
    #: Lines of the pool that the portal has.
    _there: set[str] = field(factory=set, init=False)
    #: Lines of the pool, and the call in progress that each is named for.
    _named: dict[str, AttemptId] = field(factory=dict, init=False)
    _ensured: set[str] = field(factory=set, init=False)
    #: The lines in use before this process started are loaded.
    _loaded: bool = field(default=False, init=False)

    def use(self, config: Config) -> None:
        """Take over a new configuration."""
        self.config = config
        self._ensured.clear()

    async def common(self, purpose: str = "") -> str:
        """Ensure the dialler's external line, once; its number. The card shows its name."""
        number, name = self.config.line(purpose)
        if number not in self._ensured:
            await self.portal.ensure_line(number, name)
            self._ensured.add(number)
        return number

    async def line_of(self, message: Message) -> str:
        """
        A line of the pool, named after the task: the card shows that name without any code on the
        portal. The portal reads the name when it shows the card, so a line serves one call at a
        time; when all are in use, the common line is used.
        """
        portal = self.config.portal
        common, common_name = self.config.line(message.purpose)
        if not self._loaded:
            await self._load()
        lines = [f"{portal.line}-{number}" for number in range(1, portal.pool + 1)]
        own = [line for line in lines if self._named.get(line) == message.attempt]
        free = [line for line in lines if line not in self._named]
        line = next(iter((*own, *free)), common)
        if line != common:
            # At once: another call looks for a line while the portal is asked.
            self._named[line] = message.attempt
            name = f"{common_name}: {message.title}"
            if line in self._there:
                await self.portal.name_line(line, name)
            else:
                await self.portal.ensure_line(line, name)
                self._there.add(line)
        return line

    async def _load(self) -> None:
        used = await self.store.run(outbox.lines_in_use)
        if not self._loaded:  # another call may have done it meanwhile
            common = self.config.portal.line
            self._named = {line: AttemptId(used[line]) for line in used if line != common}
            self._there |= self._named.keys()
            self._loaded = True

    def forget(self) -> None:
        """Another dialler has used the lines meanwhile."""
        self._loaded = False

    def release(self, attempt: AttemptId) -> None:
        """The call of this attempt is over: its line is free."""
        self._named = {line: named for line, named in self._named.items() if named != attempt}
