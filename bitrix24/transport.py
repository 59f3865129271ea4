"""
HTTP to the portal: ``requests`` on a few threads of its own, so that the reactor never waits.

One session per thread (sessions are not safe to share), a time limit on every request, no
redirects (a redirect would carry the secret elsewhere).
"""

import threading
from typing import Any

import requests
from attrs import define, field
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from bitrix24.errors import AnswerLost, PortalUnavailable
from bitrix24.wire import Answer, Request

#: Seconds to connect, and to wait for the answer. A box under load needs some for a batch.
CONNECT, READ = 5.0, 30.0
#: Requests under way at once. The cloud blocks an address that asks too fast.
THREADS = 3

#: Failures of TLS before anything was sent. Any other may have come after the request.
_HANDSHAKE = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL")


class _Pool(ThreadPool):
    """Threads that do not keep the process alive."""

    class threadFactory(threading.Thread):  # the name is ThreadPool's
        def __init__(self, **wishes: Any) -> None:
            super().__init__(daemon=True, **wishes)


@define(eq=False)
class RequestsTransport:
    """Send requests from a bounded pool. ``verify`` is True or the path of a CA file."""

    reactor: IReactorFromThreads
    verify: bool | str = True
    timeout: tuple[float, float] = (CONNECT, READ)
    threads: int = THREADS
    _pool: ThreadPool = field(init=False)
    _local: threading.local = field(factory=threading.local, init=False)

    def start(self) -> None:
        self._pool = _Pool(0, self.threads, name="bitrix24")
        self._pool.start()

    def stop(self) -> None:
        """
        Take no more requests. One under way is not waited for: a portal may take half a minute
        to answer, and whoever sent it knows it as unanswered.
        """
        threading.Thread(target=self._pool.stop, name="bitrix24 end", daemon=True).start()

    async def __call__(self, request: Request) -> Answer:
        """
        Send one request and return what came back, whatever its status.

        Raises:
            PortalUnavailable: not sent. AnswerLost: sent, and no answer.
        """
        return await deferToThreadPool(self.reactor, self._pool, self.post, request)

    def post(self, request: Request) -> Answer:
        """The same, in the thread that calls."""
        try:
            answer = self._exchange(request)
        # The texts of these hold the address, whose path is the secret: only their kind is told.
        except requests.exceptions.SSLError as error:
            if any(word in repr(error) for word in _HANDSHAKE):
                raise PortalUnavailable(_said(request, error)) from None
            raise AnswerLost(_said(request, error)) from None
        except (requests.ConnectTimeout, requests.exceptions.InvalidURL) as error:
            raise PortalUnavailable(_said(request, error)) from None
        except requests.ConnectionError as error:
            if "NewConnectionError" in repr(error) or "NameResolution" in repr(error):
                raise PortalUnavailable(_said(request, error)) from None
            raise AnswerLost(_said(request, error)) from None
        except requests.RequestException as error:
            raise AnswerLost(_said(request, error)) from None
        if answer.is_redirect:
            raise PortalUnavailable(f"{request.method}: redirected; check the portal's address")
        return Answer(answer.status_code, answer.content)

    def _exchange(self, request: Request) -> requests.Response:
        session = self._session()
        if request.params is None:
            return session.get(request.url, timeout=self.timeout, allow_redirects=False)
        headers = {"Content-Type": "application/json"}
        if request.token:
            headers["Authorization"] = f"Bearer {request.token}"
        return session.post(
            request.url,
            data=request.body(),
            headers=headers,
            timeout=self.timeout,
            allow_redirects=False,
        )

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.verify = self.verify
            session.trust_env = False  # a proxy of the environment must not see the secret
            self._local.session = session
        session = self._local.session
        assert isinstance(session, requests.Session)
        return session


def _said(request: Request, error: Exception) -> str:
    return f"{request.method}: {type(error).__name__}"
