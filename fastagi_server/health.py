"""
Health check of a FastAGI server, through the protocol that calls use.

The server runs ``ping``. A monitoring program or an administrator acts as Asterisk for a moment:
``python -m fastagi_server agi://127.0.0.1:4573/ping``.
"""

import re
import socket
import time

from fastagi_server.errors import AgiError
from fastagi_server.session import FAILURE, AgiSession
from fastagi_server.testing import environment
from fastagi_server.wire import set_variables

#: What ``ping`` sets on the channel, so that a dialplan can check as well.
PONG = "AGI_PONG"
_ADDRESS = re.compile(
    r"agi://(?P<host>\[[0-9a-fA-F:.]+\]|[^:/\[]+)(:(?P<port>[0-9]+))?(/(?P<script>.*))?"
)


class NotWell(AgiError):
    """The FastAGI server does not answer as it should."""


async def ping(call: AgiSession) -> None:
    """``AGI(agi://…/ping)``: sets AGI_PONG to 1."""
    await call.batch(set_variables({PONG: "1"}))


def check(address: str, timeout: float = 3.0) -> float:
    """
    Check ``agi://host[:port]/script``; returns the seconds that it took. Blocking.

    Raises:
        NotWell: no answer, the script failed, or it sent nothing; the text says which.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise NotWell(f"{address!r} is not an address as agi://127.0.0.1:4573/ping")
    host, port = match["host"].strip("[]"), int(match["port"] or 4573)
    script = match["script"] or ""
    begun = time.monotonic()
    received = data = b""
    try:
        with socket.create_connection((host, port), timeout) as peer:
            peer.sendall(environment(script))
            while (data := peer.recv(4096)) and data != FAILURE:
                received += data
                peer.sendall(b"200 result=0\n" * data.count(b"\n"))
                if time.monotonic() - begun > timeout:
                    raise TimeoutError
    except TimeoutError:
        raise NotWell(f"{address}: no answer within {timeout:g} s") from None
    except ConnectionResetError:
        raise NotWell(f"{address}: the session was cut off") from None
    except OSError as error:
        raise NotWell(f"{address}: {error.strerror or error}; is it running?") from error
    if data == FAILURE:
        raise NotWell(f"{address}: the script failed, or there is none of this name")
    if not received:
        raise NotWell(f"{address}: closed without a word: too many sessions, or we are not allowed")
    return time.monotonic() - begun
