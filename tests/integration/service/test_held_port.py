"""The FastAGI port as a socket that systemd passes."""

import os
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from autodial.config.sections import FastAgiConfig
from autodial.errors import ConfigError
from autodial.service import app as service
from fastagi_server import BACKLOG, FastAgiServer, check, listen, ping

ensure = pytest_twisted.ensureDeferred


def settings(port: int) -> FastAgiConfig:
    return FastAgiConfig.model_validate({"port": port})


def hands_over(held: int) -> Callable[..., Any]:
    """What Twisted reads from systemd's environment."""
    return lambda reactor, description: SimpleNamespace(fileno=held)


@ensure
async def test_it_is_served_and_still_held_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as kept:
        port = kept.getsockname()[1]
        monkeypatch.setattr(service, "serverFromString", hands_over(os.dup(kept.fileno())))
        held = service.held_socket(reactor, settings(port))
        assert held is not None
        server = FastAgiServer({"ping": ping}, reactor)
        opened = listen(reactor, server, port, held=held)
        took = await deferToThread(check, f"agi://127.0.0.1:{port}/ping")
        await opened.stopListening()
        held.close()
        with pytest.raises(OSError, match="in use"), socket.socket() as impostor:
            impostor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            impostor.bind(("127.0.0.1", port))

    assert took


def test_another_address_than_the_configuration_s_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as kept:
        monkeypatch.setattr(service, "serverFromString", hands_over(os.dup(kept.fileno())))
        with pytest.raises(ConfigError, match="make ListenStream= of autodial24"):
            service.held_socket(reactor, settings(4573))


def test_without_systemd_there_is_none() -> None:
    assert service.held_socket(reactor, settings(4573)) is None
