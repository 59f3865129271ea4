"""
An Asterisk without media, SIP and dialplan, as light as it can be: it takes call files from a
spool, puts the dialplan's questions to the FastAGI server, and answers on the manager interface.
Every client and every operator picks up. For measuring the dialler alone.
"""

import asyncio
import time
from hashlib import sha1
from pathlib import Path

from attrs import define, field

#: Seconds that a client and an operator ring, and that they talk.
RINGS, TALKS = 0.2, 0.5
#: Seconds between two looks into the spool.
LOOK = 0.005

_BLOCK = (
    "agi_network: yes\nagi_network_script: {script}\nagi_request: agi://127.0.0.1/{script}\n"
    "agi_channel: {channel}\nagi_language: ru\nagi_type: Local\nagi_uniqueid: 1795804927.50\n"
    "agi_version: 22.10.1\nagi_callerid: 442079460080\nagi_calleridname: unknown\n"
    "agi_callingpres: 0\nagi_callingani2: 0\nagi_callington: 0\nagi_callingtns: 0\n"
    "agi_dnid: unknown\nagi_rdnis: unknown\nagi_context: autodial-out\nagi_extension: s\n"
    "agi_priority: 16\nagi_enhanced: 0.0\nagi_accountcode: \nagi_threadid: 140180898764480\n"
)


@define(eq=False)
class LightAsterisk:
    """``moments`` are seconds that each question took, by script, as the dialplan waits."""

    spool: Path
    agi_port: int
    secret: str
    moments: dict[str, list[float]] = field(factory=dict, init=False)
    ended: int = field(default=0, init=False)  #: calls whose end was acknowledged
    refused: int = field(default=0, init=False)  #: claims not granted
    unanswered: int = field(default=0, init=False)  #: questions without an answer
    ami_port: int = field(default=0, init=False)
    _states: dict[str, str] = field(factory=dict, init=False)  #: of phones
    _over: set[str] = field(factory=set, init=False)  #: channels that are in their hangup handler
    _managers: list[asyncio.StreamWriter] = field(factory=list, init=False)
    _ended: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def start(self) -> None:
        server = await asyncio.start_server(self._manager, "127.0.0.1", 0)
        self.ami_port = server.sockets[0].getsockname()[1]

    async def dial(self, calls: int) -> None:
        """Take call files until so many calls have ended."""
        seen: set[str] = set()
        running: set[asyncio.Task[None]] = set()
        while self.ended + self.refused + self.unanswered < calls:
            for file in self.spool.iterdir():
                if file.suffix == ".call" and file.stem not in seen:
                    seen.add(file.stem)
                    call = asyncio.create_task(self._call(file.stem))
                    running.add(call)
                    call.add_done_callback(running.discard)
            await asyncio.sleep(LOOK)

    async def _call(self, attempt: str) -> None:
        leg = f"Local/task@autodial-out-{attempt};2"
        granted = await self._ask("claim", leg, attempt)
        if granted.get("AD_GO") != "1":
            self.refused += 1
            return
        await asyncio.sleep(RINGS)
        answered = int(time.time())
        ring = await self._ask("resolve", leg.replace(";2", ";1"), attempt, granted["AD_KEY"])
        extension = ring.get("AD_OPS", granted["AD_OPS"]).partition(":")[0]
        for state, seconds in (("RINGING", RINGS), ("INUSE", TALKS)):
            self._device(extension, state)
            await asyncio.sleep(seconds)
        self._over.add(leg)
        fields = ("dial", "ANSWER", "16", "SIP%20200%20OK", "talk", extension, answered)
        end = (*fields, answered, int(time.time()), granted["AD_TRUNKS"].partition(":")[0], 1)
        told = await self._ask("result", leg, attempt, *map(str, end))
        self._over.discard(leg)
        self._device(extension, "NOT_INUSE")
        if told.get("AD_ACK") == "1":
            self.ended += 1
        else:
            self.unanswered += 1

    async def _ask(self, script: str, channel: str, *arguments: str) -> dict[str, str]:
        """One session; the variables that were set."""
        begun = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.agi_port)
        block = _BLOCK.format(script=script, channel=channel)
        block += "".join(f"agi_arg_{n}: {value}\n" for n, value in enumerate(arguments, 1))
        writer.write(f"{block}\n".encode())
        given: dict[str, str] = {}
        while line := (await reader.readline()).decode():
            if line.startswith("GET FULL VARIABLE"):
                nonce = line.partition("SHA1(")[2].partition("$")[0]
                proof = sha1(f"{nonce}{self.secret}".encode(), usedforsecurity=False).hexdigest()
                writer.write(f"200 result=1 ({proof})\n".encode())
                continue
            writer.write(b"200 result=1\n")
            if line.startswith('EXEC "MSet"'):
                for pair in line.partition('MSet" "')[2].rstrip('"\n').split(","):
                    name, _, value = pair.partition("=")
                    given[name] = value.strip('"')
            # The last command's variables: the dialplan goes on.
            if given:
                break
        self.moments.setdefault(script, []).append(time.perf_counter() - begun)
        writer.write(b"HANGUP\n")
        writer.close()
        return given

    def _device(self, extension: str, state: str) -> None:
        self._states[extension] = state
        for manager in self._managers:
            manager.write(
                "Event: DeviceStateChange\r\nPrivilege: call,all\r\n"
                f"Device: PJSIP/{extension}\r\nState: {state}\r\n\r\n".encode()
            )

    async def _manager(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        try:
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.split(": ", 1) for line in block.splitlines() if line)
                writer.write(self._manager_answer(fields, writer).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            self._ended.set()

    async def stop(self) -> None:
        """Returns once the dialler, which has ended, is gone from the manager interface, too."""
        await self._ended.wait()

    def _manager_answer(self, fields: dict[str, str], writer: asyncio.StreamWriter) -> str:
        number = f"ActionID: {fields['ActionID']}\r\n"
        success = f"Response: Success\r\n{number}"
        match fields["Action"]:
            case "Challenge":
                return f"{success}Challenge: 123456789\r\n\r\n"
            case "Login":
                self._managers.append(writer)
                return f"{success}Message: Authentication accepted\r\n\r\n"
            case "DeviceStateList":
                rows = "".join(
                    f"Event: DeviceStateChange\r\n{number}Device: PJSIP/{device}\r\n"
                    f"State: {state}\r\n\r\n"
                    for device, state in self._states.items()
                )
                end = f"Event: DeviceStateListComplete\r\n{number}EventList: Complete\r\n"
                end += f"ListItems: {len(self._states)}\r\n\r\n"
                return f"{success}EventList: start\r\n\r\n{rows}{end}"
            case "CoreShowChannels":
                end = f"Event: CoreShowChannelsComplete\r\n{number}EventList: Complete\r\n"
                return f"{success}EventList: start\r\n\r\n{end}ListItems: 0\r\n\r\n"
            case "DBGetTree":
                return f"Response: Error\r\n{number}Message: Database entry not found\r\n\r\n"
            case _:
                return f"{success}Value: {self._value(fields)}\r\n\r\n"

    def _value(self, fields: dict[str, str]) -> str:
        variable = fields.get("Variable", "")
        if "Channel" in fields:
            return "dial" if fields["Channel"] in self._over else ""
        if variable == "AD_AGI":
            return f"agi://127.0.0.1:{self.agi_port}"
        if variable.startswith("DEVICE_STATE(PJSIP/"):
            return self._states.get(variable[19:-1], "NOT_INUSE")
        return "" if variable == "AD_VIA" else "1"
