"""
Other FastAGI servers under the same load, where they support it.

    python bench/fastagi/peers.py panoramisk PORT
    python bench/fastagi/peers.py pyst2 PORT

pyst2's server does not import on Python 3, and its AGI class sets a signal handler, writes text to
a byte stream and each line to stderr; here it runs in threads with workarounds for these.
"""

import asyncio
import io
import signal
import socketserver
import sys
from typing import Any


def variables(task: str) -> dict[str, str]:
    """What each server sets on the channel for a task; the load generator checks it."""
    return {
        "AUTODIAL_DIAL": f"PJSIP/{100 + int(task) % 50}",
        "CALLERID(name)": f"AUTODIAL {task}",
        "AUTODIAL_TIMEOUT": "25",
        "AUTODIAL_TITLE": f"Call back: task {task}",
    }


def panoramisk(port: int) -> None:
    """Its own application on asyncio."""
    from panoramisk.fast_agi import Application

    async def standard(request: Any) -> None:
        reply = await request.send_command('GET FULL VARIABLE "${AUTODIAL_TASK}"')
        for name, value in variables(reply["result"][1]).items():
            await request.send_command(f'SET VARIABLE {name} "{value}"')
        await request.send_command("NOOP")

    async def serve() -> None:
        application = Application(loop=asyncio.get_running_loop())
        application.add_route("autodial", standard)
        listening = await asyncio.start_server(application.handler, "127.0.0.1", port, backlog=4096)
        print("listening", flush=True)
        await listening.serve_forever()

    asyncio.run(serve())


class _Silent(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


def pyst2(port: int) -> None:
    """A thread for each session."""
    signal.signal = lambda *_: None  # type: ignore[assignment]  # it sets one in each thread
    from asterisk.agi import AGI

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            output = io.TextIOWrapper(self.wfile, write_through=True)
            agi = AGI(self.rfile, output, _Silent())
            for name, value in variables(agi.get_full_variable("${AUTODIAL_TASK}")).items():
                agi.set_variable(name, value)
            agi.noop()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 4096

    server = Server(("127.0.0.1", port), Session)
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    {"panoramisk": panoramisk, "pyst2": pyst2}[sys.argv[1]](int(sys.argv[2]))
