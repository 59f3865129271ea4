"""
The upper limit for Python: the same sessions on a bare epoll loop, without timeouts, limits, error
handling or coroutines; texts are concatenated directly. For comparison only, not a server.

    python bench/fastagi/bare.py PORT
"""

import select
import socket
import sys
from collections.abc import Generator

from peers import variables

MARK = 400


class Session:
    __slots__ = ("block", "connection", "script")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.block = b""
        self.script: Generator[bytes, bytes, None] | None = None


def script(block: bytes) -> Generator[bytes, bytes, None]:
    name = block[(start := block.find(b"script: ") + 8) : block.find(b"\n", start)]
    if name == b"autodial":
        reply = yield b'GET FULL VARIABLE "${AUTODIAL_TASK}"\n'
        for key, value in variables(
            reply[reply.find(b"(") + 1 : reply.rfind(b")")].decode()
        ).items():
            yield f'SET VARIABLE {key} "{value}"\n'.encode()
        yield b"NOOP\n"
    else:
        task = block[(start := block.find(b"arg_1: ") + 7) : block.find(b"\n", start)].decode()
        pairs = ",".join([f"{key}={value}" for key, value in variables(task).items()])
        yield f'EXEC MSet "{pairs}"\n'.encode()


def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MARK)
    listener.listen(4096)
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    sessions: dict[int, Session] = {}
    print("listening", flush=True)
    while True:
        for number, _ in epoll.poll():
            session = sessions.get(number)
            if session is None:
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    continue
                connection.setblocking(False)
                sessions[connection.fileno()] = Session(connection)
                epoll.register(connection, select.EPOLLIN)
                continue
            data = session.connection.recv(4096)
            try:
                if not data:
                    raise StopIteration
                if session.script is None:
                    if not session.block:
                        session.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
                    session.block += data
                    if session.block.endswith(b"\n\n"):
                        session.script = script(session.block)
                        session.connection.send(next(session.script))
                else:
                    session.connection.send(session.script.send(data))
            except StopIteration:
                del sessions[number]
                session.connection.close()


if __name__ == "__main__":
    main()
