"""
Authentication at the portal: an incoming webhook, or a local application (OAuth 2.0).

A webhook's secret is in its path. An application's access token lives an hour; its refresh token
changes with every use, so it is saved to disk before the new access token is used.
"""

import fcntl
import json
import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from errno import EPERM
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from attrs import define, field, frozen
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from bitrix24.errors import PortalDenied, PortalUnavailable
from bitrix24.wire import Answer, Params, Request, Row

_log = Logger()

Send = Callable[[Request], Awaitable[Answer]]


class Access(Protocol):
    """Makes authenticated requests."""

    def request(self, method: str, params: Params, *, rest3: bool = False) -> Request: ...

    async def renew(self, send: Send, used: str) -> bool:
        """The token ``used`` has expired: get a new one; False if that is impossible."""
        ...


def header_token(text: str) -> str:
    """A token that is valid in a header; ValueError otherwise."""
    if not re.fullmatch(r"[\x21-\x7e]{0,4096}", text):
        raise ValueError("not a token")
    return text


def _private(path: Path, flags: int) -> int:
    """
    Open a file that only its owner can read; it is created if missing, and links are not followed.
    If root creates it, it belongs to the directory's owner: the dialler runs as another user.
    """
    quietly = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(path, flags | os.O_CREAT | quietly, 0o600)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(file)
        raise OSError(EPERM, "a link or a pipe is in its place: remove it", str(path))
    os.fchmod(file, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)
    return file


def without_slash(text: str) -> str:
    return text.rstrip("/")


@frozen
class Webhook:
    """An incoming webhook: ``https://portal.example.com/rest/1/secret``."""

    address: str = field(repr=False, converter=without_slash)

    def request(self, method: str, params: Params, *, rest3: bool = False) -> Request:
        address = self.address
        if rest3:  # /rest/1/secret -> /rest/api/1/secret
            root, user, secret = address.rsplit("/", 2)
            address = f"{root}/api/{user}/{secret}"
        return Request(method, f"{address}/{method}", params)

    async def renew(self, send: Send, used: str) -> bool:
        return False


@define(eq=False)
class Application:
    """
    A local application of the portal. ``tokens`` is our file with the tokens, mode 0600;
    several processes may share it.
    """

    address: str = field(converter=without_slash)  #: https://portal.example.com
    client_id: str
    client_secret: str = field(repr=False)
    tokens: Path
    #: By the licence's region: oauth.bitrix24.tech for ru, kz, by …, otherwise oauth.bitrix.info.
    server: str = "https://oauth.bitrix24.tech"
    _access: str = field(default="", init=False, repr=False)
    _lock: DeferredLock = field(factory=DeferredLock, init=False)

    def request(self, method: str, params: Params, *, rest3: bool = False) -> Request:
        root = f"{self.address}/rest/api" if rest3 else f"{self.address}/rest"
        return Request(method, f"{root}/{method}", params, self._access or self._load()[0])

    async def renew(self, send: Send, used: str) -> bool:
        """Refresh once, even if several requests fail with the expired token at the same time."""
        await self._lock.acquire()
        try:
            current, refresh = self._load()
            if current not in (used, ""):
                self._access = current  # another request or process was faster
                return True
            with self._alone():
                await self._ask(send, {"grant_type": "refresh_token", "refresh_token": refresh})
            return True
        finally:
            self._lock.release()

    async def exchange(self, send: Send, code: str) -> None:
        """Get the first tokens for a code of the portal's authorisation page (valid for 30 s)."""
        with self._alone():
            await self._ask(send, {"grant_type": "authorization_code", "code": code})

    async def _ask(self, send: Send, grant: dict[str, str]) -> None:
        credentials = {"client_id": self.client_id, "client_secret": self.client_secret}
        url = f"{self.server.rstrip('/')}/oauth/token/?{urlencode(grant | credentials)}"
        answer = await send(Request("oauth.token", url, None))
        try:
            row = Row("oauth.token", answer.json())
        except ValueError:
            raise PortalUnavailable(f"oauth.token: HTTP {answer.status}, not JSON") from None
        if row.get("error"):
            raise PortalDenied(row.words("error"), row.words("error_description"))
        try:
            self._save(
                header_token(row.text("access_token")), header_token(row.text("refresh_token"))
            )
        except ValueError:
            raise PortalUnavailable("oauth.token: the answer holds no token") from None

    def _load(self) -> tuple[str, str]:
        try:
            quietly = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(self.tokens, os.O_RDONLY | quietly)
            with os.fdopen(file) as stream:
                if os.fstat(file).st_mode & 0o077:
                    _log.warn("{path} was open to others, and is not any more", path=self.tokens)
                    os.fchmod(file, 0o600)
                stored = json.load(stream)
            return header_token(stored.get("access_token", "") or ""), header_token(
                stored["refresh_token"]
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PortalDenied(
                "NO_TOKENS", f"{self.tokens}: {type(error).__name__}; run: autodial authorize"
            ) from None

    def _save(self, access: str, refresh: str) -> None:
        """Saved before use: losing a refresh token that was used locks us out."""
        draft = self.tokens.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(_private(draft, os.O_WRONLY | os.O_EXCL), "w") as stream:
            json.dump({"access_token": access, "refresh_token": refresh}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self.tokens)
        self._access = access

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two processes that refresh at once would invalidate each other's tokens."""
        with os.fdopen(_private(self.tokens.with_suffix(".lock"), os.O_WRONLY), "w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise PortalUnavailable("another process is refreshing the tokens") from None
            yield
