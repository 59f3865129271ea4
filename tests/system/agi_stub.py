"""A FastAGI server that answers as a test sets it up, and records the requests."""

import re
import socket
import threading
from collections.abc import Mapping
from types import TracebackType

from attrs import define, field

from fastagi_server.wire import command


@define(eq=False)
class AgiStub:
    """Listens on 127.0.0.1 while the block lasts; ``answers`` are variables by script."""

    answers: dict[str, Mapping[str, str]] = field(factory=dict)
    asked: list[str] = field(factory=list, init=False)
    _listener: socket.socket = field(init=False)

    def __enter__(self) -> "AgiStub":
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(10)
                self._answer(peer)

    def _answer(self, peer: socket.socket) -> None:
        block = b""
        while not block.endswith(b"\n\n") and (data := peer.recv(4096)):
            block += data
        match = re.search(rb"^agi_network_script: (\S+)", block, re.MULTILINE)
        script = match[1].decode() if match else ""
        self.asked.append(script)
        for name, value in self.answers.get(script, {}).items():
            peer.sendall(command("SET VARIABLE", name, value))
            while not peer.recv(4096).startswith(b"200"):
                pass
