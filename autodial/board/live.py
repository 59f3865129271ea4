"""The first page, live: read once a second for all who look, sent to whom it has changed for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

from attrs import define, field

from autodial.errors import AutodialError

_log = logging.getLogger(__name__)  # Twisted's has no reader in this process

#: Seconds between two readings, and after which a silent connection gets a sign of life.
EVERY, SIGN = 1.0, 15.0
#: Most pages that are live at once.
MOST = 500


@define(eq=False)
class Live:
    """``read`` is called in a thread; ``render`` makes a fragment of what it gave, for one key."""

    read: Callable[[], Any]
    render: Callable[[Any, Any], str]
    watching: int = 0
    _latest: Any = None
    _changed: asyncio.Condition = field(factory=asyncio.Condition)
    _fragments: dict[Any, str] = field(factory=dict)
    _reading: "asyncio.Task[None] | None" = None
    _waking: "asyncio.Task[None] | None" = None

    async def fragments(self, key: Any) -> AsyncIterator[str]:
        """
        The fragment for a key, again whenever it differs; "" is a sign of life. Ends with its
        reader, or when the store cannot be read: a page must not look alive then.
        """
        self.watching += 1
        if self._reading is None or self._reading.done():
            self._latest = None
            self._reading = asyncio.create_task(self._read())
        last = None
        try:
            while not self._reading.done():
                fragment = self._fragment(key)
                if fragment is not None and fragment != last:
                    last = fragment
                    yield fragment
                try:
                    async with asyncio.timeout(SIGN), self._changed:
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
        """Until nobody looks, or the store cannot be read; who looks then begins anew."""
        try:
            while self.watching:
                begun = monotonic()
                self._latest = await asyncio.to_thread(self.read)
                self._fragments.clear()
                took = monotonic() - begun
                await self._wake()
                # (A reading that takes long is made more seldom: a third of the time at most.)
                await asyncio.sleep(max(EVERY, 2 * took))
        except AutodialError as error:
            _log.warning("the store cannot be read: %s", error)
        except Exception:
            _log.exception("the first page cannot be made")
        # (As a task: this one must be done when they look.)
        self._waking = asyncio.create_task(self._wake())

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
