"""
A SIP peer that sends what a test sets: reason phrases, headers and names that no Asterisk would
send. It plays a carrier or an operator's phone against the real PBX, over UDP on 127.0.0.1.

No media: an answered call is silent. Enough of RFC 3261 for one dialog per Call-ID.
"""

import re
import socket
import threading
import uuid
from collections.abc import Mapping, Sequence
from hashlib import md5
from types import TracebackType

from attrs import define, field, frozen

#: Longest datagram read.
DATAGRAM = 65_535


@frozen
class Message:
    """A request or a response, as received."""

    first: str
    headers: Mapping[str, str]  #: names in lower case; of several headers with one name, the first
    text: str

    @property
    def method(self) -> str:
        return self.first.partition(" ")[0]

    @property
    def user(self) -> str:
        """The callee: the user part of the request's address."""
        match = re.match(r"\S+ sips?:(.*)@", self.first)
        return match.group(1) if match else ""

    @property
    def status(self) -> int:
        """Of a response; 0: a request."""
        match = re.match(r"SIP/2\.0 (\d{3})", self.first)
        return int(match.group(1)) if match else 0


@frozen
class Says:
    """One response: its status line after the version, further headers, with a session or not."""

    line: str
    headers: tuple[str, ...] = ()
    session: bool = False


@define(eq=False)
class SipPeer:
    """Listens on a port of 127.0.0.1 while the block lasts; ``answers`` by the user called."""

    port: int
    pbx: int  #: port of the PBX
    answers: dict[str, Sequence[Says]] = field(factory=dict)
    received: list[Message] = field(factory=list, init=False)
    _socket: socket.socket = field(init=False)
    _thread: threading.Thread = field(init=False)
    _responses: dict[str, list[Message]] = field(factory=dict, init=False)
    _news: threading.Condition = field(factory=threading.Condition, init=False)

    def __enter__(self) -> "SipPeer":
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))  # ends the thread
        self._thread.join(5)
        self._socket.close()

    def register(self, user: str, password: str) -> int:
        """Register as a phone, with the PBX's challenge answered; returns the last status."""
        return self._ask("REGISTER", f"sip:127.0.0.1:{self.pbx}", user, user, password, ())

    def invite(
        self,
        callee: str,
        *,
        caller: str,
        user: str,
        password: str = "",
        headers: Sequence[str] = (),
    ) -> int:
        """
        Call ``callee``; the last status. ``caller`` is the From header as it is, ``user`` whose
        credentials answer a challenge. An answered call is ended by the PBX.
        """
        target = f"sip:{callee}@127.0.0.1:{self.pbx}"
        return self._ask("INVITE", target, caller, user, password, headers)

    def _ask(
        self,
        method: str,
        target: str,
        caller: str,
        user: str,
        password: str,
        headers: Sequence[str],
    ) -> int:
        call, tag = uuid.uuid4().hex, uuid.uuid4().hex[:8]
        address = caller if "<" in caller else f"<sip:{caller}@127.0.0.1:{self.pbx}>"
        own: Sequence[str] = headers
        for number in (1, 2):
            rows = [
                f"{method} {target} SIP/2.0",
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{uuid.uuid4().hex}",
                "Max-Forwards: 70",
                f"From: {address};tag={tag}",
                f"To: <sip:{user}@127.0.0.1>" if method == "REGISTER" else f"To: <{target}>",
                f"Call-ID: {call}",
                f"CSeq: {number} {method}",
                f"Contact: <sip:{user}@127.0.0.1:{self.port}>",
                *(["Expires: 600"] if method == "REGISTER" else []),
                *own,
            ]
            self._send(rows, self._session() if method == "INVITE" else "")
            last = self._final(call)
            if method == "INVITE" and last.status:
                self._acknowledge(rows, last)
            if last.status != 401 or number == 2:
                break
            asked = last.headers.get("www-authenticate", "")
            proof = _digest(asked, user, password, method, target)
            own = (*headers, f"Authorization: {proof}")
        return last.status

    def _acknowledge(self, rows: Sequence[str], last: Message) -> None:
        kept = [row for row in rows if re.match("Via|Max|From|Call-ID", row)]
        via = kept[0] if last.status >= 300 else re.sub("branch=.*", "branch=z9hG4bKack", kept[0])
        target = rows[0].split(" ", 1)[1]
        number = next(row for row in rows if row.startswith("CSeq")).split()[1]
        ack = [f"ACK {target}", via, *kept[1:], f"To: {last.headers['to']}", f"CSeq: {number} ACK"]
        self._send(ack)

    def _final(self, call: str) -> Message:
        """The call's next final response; raises TimeoutError."""
        with self._news:
            while True:
                waiting = self._responses.setdefault(call, [])
                while waiting:
                    response = waiting.pop(0)
                    if response.status >= 200:
                        return response
                if not self._news.wait(10):
                    raise TimeoutError("no final response from the PBX")

    def _session(self) -> str:
        rows = ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0")
        return "".join(f"{row}\r\n" for row in (*rows, "m=audio 39998 RTP/AVP 8"))

    def _send(self, rows: Sequence[str], body: str = "") -> None:
        data = body.encode()
        kind = ["Content-Type: application/sdp"] if body else []
        text = "\r\n".join([*rows, *kind, f"Content-Length: {len(data)}", "", ""])
        self._socket.sendto(text.encode("utf-8", "surrogateescape") + data, ("127.0.0.1", self.pbx))

    def _listen(self) -> None:
        while True:
            data = self._socket.recv(DATAGRAM)
            if not data:
                return
            message = _parsed(data)
            with self._news:
                if message.status:
                    self._responses.setdefault(message.headers["call-id"], []).append(message)
                else:
                    self.received.append(message)
                self._news.notify_all()
            if not message.status:
                self._answer(message)

    def _answer(self, request: Message) -> None:
        match request.method:
            case "INVITE":
                for says in self.answers.get(request.user, (Says("486 Busy Here"),)):
                    self._respond(request, says)
            case "CANCEL":
                self._respond(request, Says("200 OK"))
                invite = next(
                    m
                    for m in self.received
                    if m.method == "INVITE" and m.headers["call-id"] == request.headers["call-id"]
                )
                self._respond(invite, Says("487 Request Terminated"))
            case "ACK":
                pass
            case _:
                self._respond(request, Says("200 OK"))

    def _respond(self, request: Message, says: Says) -> None:
        rows = [
            row for row in request.text.split("\r\n") if re.match("(?i)via:|record-route:", row)
        ]
        self._send(
            [
                f"SIP/2.0 {says.line}",
                *rows,
                f"From: {request.headers['from']}",
                f"To: {request.headers['to']};tag=peer",
                f"Call-ID: {request.headers['call-id']}",
                f"CSeq: {request.headers['cseq']}",
                *(
                    []
                    if any(row.startswith("Contact:") for row in says.headers)
                    else [f"Contact: <sip:peer@127.0.0.1:{self.port}>"]
                ),
                *says.headers,
            ],
            self._session() if says.session else "",
        )


def _parsed(data: bytes) -> Message:
    text = data.decode("utf-8", "surrogateescape")
    first, *rows = text.partition("\r\n\r\n")[0].split("\r\n")
    headers: dict[str, str] = {}
    for row in rows:
        name, _, value = row.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return Message(first, headers, text)


def _digest(asked: str, user: str, password: str, method: str, target: str) -> str:
    """The answer to a challenge (RFC 2617, with qop=auth where it is offered)."""
    challenge = dict(re.findall(r'(\w+)="?([^",]*)"?', asked))
    realm, nonce = challenge["realm"], challenge["nonce"]

    def hashed(text: str) -> str:
        return md5(text.encode()).hexdigest()

    mine, theirs = hashed(f"{user}:{realm}:{password}"), hashed(f"{method}:{target}")
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": target}
    if "qop" in challenge:
        fields["cnonce"] = "c1"
        fields["response"] = hashed(f"{mine}:{nonce}:00000001:c1:auth:{theirs}")
        more = ", qop=auth, nc=00000001"
    else:
        fields["response"] = hashed(f"{mine}:{nonce}:{theirs}")
        more = ""
    opaque = f', opaque="{challenge["opaque"]}"' if "opaque" in challenge else ""
    return (
        "Digest "
        + ", ".join(f'{k}="{v}"' for k, v in fields.items())
        + ", algorithm=MD5"
        + more
        + opaque
    )
