"""The first page, live: read once a second for all who look, sent to whom it has changed for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from attrs import define, field
from twisted.logger import Logger

from autodial.errors import AutodialError

#: Seconds between two readings, and after which a silent connection gets a sign of life.
EVERY, SIGN = 1.0, 15.0
#: Most pages that are live at once.
MOST = 500


@define(eq=False)
class Live:
    """``read`` is called in a thread; ``render`` makes a fragment of what it gave, for one key."""

    log = Logger()

    read: Callable[[], Any]
    render: Callable[[Any, Any], str]
    watching: int = 0
    _latest: Any = None
    _changed: asyncio.Condition = field(factory=asyncio.Condition)
    _fragments: dict[Any, str] = field(factory=dict)
    _reading: "asyncio.Task[None] | None" = None

    async def fragments(self, key: Any) -> AsyncIterator[str]:
        """
        The fragment for a key, again whenever it differs; "" is a sign of life. Ends only with its
        reader.
        """
        self.watching += 1
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        last = None
        try:
            while True:
                fragment = self._fragment(key)
                if fragment is not None and fragment != last:
                    last = fragment
                    yield fragment
                try:
                    async with asyncio.timeout(SIGN):
                        async with self._changed:
                            await self._changed.wait()
                except TimeoutError:
                    yield ""
        finally:
            self.watching -= 1

    def _fragment(self, key: Any) -> str | None:
        if self._latest is None:
            return None
        if key not in self._fragments:
            self._fragments[key] = self.render(self._latest, key)
        return self._fragments[key]

    async def _read(self) -> None:
        while self.watching:
            # A store that cannot be read now is read again; the page shows that it is old.
            with suppress(AutodialError):
                self._latest = await asyncio.to_thread(self.read)
                self._fragments.clear()
                async with self._changed:
                    self._changed.notify_all()
            await asyncio.sleep(EVERY)
