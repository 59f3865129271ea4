"""
Web hooks: other programs are told of ended calls and the like, in order, each event until it is
answered. A hook may be told the same twice (an answer was lost): its ``id`` says so.
"""

import asyncio
import hmac
import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

import requests
from attrs import define, field

from autodial.config.sections import HookConfig
from autodial.errors import AutodialError
from autodial.store import hook_events
from autodial.store.database import Beside
from autodial.store.hook_events import HookEvent
from autodial.texts import escaped

_log = logging.getLogger(__name__)  # Twisted's has no reader in this process
#: Seconds between two looks for events, and for an answer.
EVERY, PATIENCE = 2.0, 10.0
#: Waits after a failure, in seconds; the last one repeats. After so many tries, a week or so, the
#: event is given up, and the next ones are told.
WAITS, TRIES = (5, 30, 120, 600, 3600), 170
#: The header with the signature: ``sha256=`` and the HMAC of the body by the hook's secret.
SIGNATURE = "X-Autodial-Signature"


def signature(secret: str, body: bytes) -> str:
    """What the receiver compares, in constant time."""
    return f"sha256={hmac.new(secret.encode(), body, sha256).hexdigest()}"


@define(eq=False)
class Hooks:
    """Tells one dialler's hooks, in threads."""

    hooks: tuple[HookConfig, ...]
    store: Beside
    now: Callable[[], datetime]
    _tasks: list["asyncio.Task[None]"] = field(factory=list, init=False)

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._tell(hook)) for hook in self.hooks]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell(self, hook: HookConfig) -> None:
        while True:
            try:
                while await asyncio.to_thread(self.step, hook):
                    pass
            except AutodialError as error:
                _log.warning("hook %s: %s", hook.name, escaped(str(error)))
            except Exception:
                _log.exception("hook %s", hook.name)
            await asyncio.sleep(EVERY)

    def step(self, hook: HookConfig) -> bool:
        """Tell the next event. False: there is none for now, or it failed."""
        now = self.now()
        state = self.store.read(hook_events.states).get(hook.name)
        if state is None:
            state = self.store.write(lambda db: hook_events.begin(db, hook.name))
        if state.not_before is not None and now < state.not_before:
            return False
        event, last = self.store.read(lambda db: hook_events.next_of(db, state.event))
        if event is not None and event.kind in hook.events:
            error = self._send(hook, event)
            if error:
                self._failed(hook, event, error, state.tries + 1, now)
                return False
        if last != state.event:
            self.store.write(lambda db: hook_events.was_told(db, hook.name, last))
        return last != state.event

    def _send(self, hook: HookConfig, event: HookEvent) -> str:
        """Why it was not taken; empty: it was."""
        body = json.dumps(
            {"kind": event.kind, **event.body}, ensure_ascii=False, sort_keys=True
        ).encode()
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(hook.secret.get_secret_value(), body),
        }
        try:
            with requests.post(
                hook.url, data=body, headers=headers, timeout=PATIENCE, allow_redirects=False,
                stream=True,  # what it answers is not read
            ) as answer:  # fmt: skip
                status = int(answer.status_code)
        except (requests.RequestException, ValueError) as error:
            return type(error).__name__
        return "" if 200 <= status < 300 else f"HTTP {status}"

    def _failed(
        self, hook: HookConfig, event: HookEvent, error: str, tries: int, now: datetime
    ) -> None:
        if tries >= TRIES:
            _log.error("hook %s: event %s is given up: %s", hook.name, event.id, error)
            self.store.write(
                lambda db: hook_events.was_refused(db, hook.name, error, None, event.id)
            )
            return
        wait = timedelta(seconds=WAITS[min(tries, len(WAITS)) - 1])
        _log.warning("hook %s: %s; again in %s", hook.name, error, wait)
        self.store.write(lambda db: hook_events.was_refused(db, hook.name, error, now + wait, None))
