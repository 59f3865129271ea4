"""
Asterisk's manager interface, as far as the dialler needs it: to look, never to act.

One connection: device states as they change, the live channels with their attempts, and the
reports that the dialplan kept in AstDB while we were away. The manager user needs no right to
originate, command or change anything.
"""

import itertools
from collections.abc import Callable, Mapping

from attrs import define, field
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from autodial.errors import PbxError

#: Seconds to wait for the end of a list.
PATIENCE = 10.0
#: The dialplan's family in AstDB, and the variable that names a channel's attempt.
FAMILY, VARIABLE = "autodial", "AD_ID"

Message = Mapping[str, str]


class NotConnected(Exception):
    """Asterisk's manager interface is out of reach just now."""


@define(eq=False)
class Ami:
    """What others see: questions, and callbacks for what Asterisk tells by itself."""

    clock: IReactorTime
    user: str
    secret: str = field(repr=False)
    on_device: Callable[[str, str], None]
    on_up: Callable[[], None]
    on_down: Callable[[], None]
    _link: "AmiLink | None" = field(default=None, init=False)
    refused: bool = field(default=False, init=False)  #: the last login was

    @property
    def connected(self) -> bool:
        return self._link is not None

    async def channels(self) -> set[str]:
        """The attempts that have a live channel."""
        rows = await self._list({"Action": "CoreShowChannels"}, "CoreShowChannelsComplete")
        alive: set[str] = set()
        for row in rows:
            named = row.get("ChanVariable", "").split("\n")
            found = [text.partition("=")[2] for text in named if text.startswith(f"{VARIABLE}=")]
            if not found and "@autodial-" in row.get("Channel", ""):
                # Taking this for "no channel" would end talks that are under way.
                raise PbxError(f"channels do not name their attempt: set channelvars = {VARIABLE}")
            alive |= set(found)
        return alive

    async def kept_reports(self) -> dict[str, str]:
        """Reports in AstDB by attempt: those that were not acknowledged."""
        rows = await self._list(
            {"Action": "DBGetTree", "Family": FAMILY}, "DBGetTreeComplete", empty="not found"
        )
        return {row["Key"].rpartition("/")[2]: row.get("Val", "") for row in rows if "Key" in row}

    async def _list(self, action: Message, complete: str, empty: str = "") -> list[Message]:
        if self._link is None:
            raise NotConnected
        return await self._link.ask(action, complete, empty)

    def factory(self) -> Factory:
        """For a ClientService, which reconnects for ever."""
        return Factory.forProtocol(lambda: AmiLink(self))

    def linked(self, link: "AmiLink") -> None:
        self._link = link
        self.refused = False
        self.on_up()

    def unlinked(self, link: "AmiLink") -> None:
        if self._link is link:
            self._link = None
            self.on_down()


@define
class _Question:
    complete: str
    empty: str
    answer: "Deferred[list[Message]]"
    rows: list[Message] = field(factory=list)


class AmiLink(LineReceiver):
    """One connection: logs in, then answers questions and passes events on."""

    log = Logger()
    transport: ITCPTransport
    delimiter = b"\r\n"
    MAX_LENGTH = 65_536

    def __init__(self, ami: Ami) -> None:
        self._ami = ami
        self._message: dict[str, str] = {}
        self._questions: dict[str, _Question] = {}
        self._ids = itertools.count(1)
        self._login = ""

    def connectionMade(self) -> None:
        self._login = self._send(
            {"Action": "Login", "Username": self._ami.user, "Secret": self._ami.secret}
        )

    def _send(self, action: Message) -> str:
        number = str(next(self._ids))
        rows = {**action, "ActionID": number}
        self.transport.write("".join(f"{k}: {v}\r\n" for k, v in rows.items()).encode() + b"\r\n")
        return number

    async def ask(self, action: Message, complete: str, empty: str) -> list[Message]:
        """Send an action that answers with a list; all its rows."""
        answer: Deferred[list[Message]] = Deferred()
        self._questions[self._send(action)] = _Question(complete, empty, answer)
        answer.addTimeout(PATIENCE, self._ami.clock, self._no_answer)
        return await answer

    def _no_answer(self, _: object, seconds: float) -> Failure:
        """A link that is open and silent is worth nothing: drop it, and a new one is made."""
        self.log.warn("Asterisk's manager was silent for {seconds} s", seconds=seconds)
        self.transport.abortConnection()
        return Failure(NotConnected())

    def lineReceived(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        if text:
            key, colon, value = text.partition(": ")
            if colon:  # the banner has none
                # A key can come several times (ChanVariable): one line each.
                earlier = f"{self._message[key]}\n" if key in self._message else ""
                self._message[key] = earlier + value
            return
        message, self._message = self._message, {}
        if message:
            self._received(message)

    def _received(self, message: Message) -> None:
        number = message.get("ActionID", "")
        if number == self._login and "Response" in message:
            self._logged_in(message)
        elif "Response" in message and number in self._questions:
            self._answered(number, message)
        elif number in self._questions:
            self._row(number, message)
        match message.get("Event"):
            case "DeviceStateChange":
                technology, _, extension = message.get("Device", "").partition("/")
                if technology == "PJSIP":
                    self._ami.on_device(extension, message.get("State", "UNKNOWN"))
            case "Shutdown":
                self.transport.loseConnection()

    def _logged_in(self, message: Message) -> None:
        if message["Response"] != "Success":
            if not self._ami.refused:  # it is tried for ever, and said once
                self.log.error("{error}", error=PbxError(message.get("Message", "login refused")))
            self._ami.refused = True
            self.transport.loseConnection()
            return
        self._ami.linked(self)
        self._send({"Action": "DeviceStateList"})

    def _answered(self, number: str, message: Message) -> None:
        """A refusal ends the question; ``empty`` is the refusal that means "no rows"."""
        if message["Response"] == "Success":
            return
        question = self._questions.pop(number)
        said = message.get("Message", "")
        if question.empty and question.empty in said:
            question.answer.callback([])
        else:
            question.answer.errback(Failure(PbxError(said)))

    def _row(self, number: str, message: Message) -> None:
        question = self._questions[number]
        if message.get("Event") != question.complete:
            question.rows.append(message)
            return
        del self._questions[number]
        if not question.answer.called:
            question.answer.callback(question.rows)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._ami.unlinked(self)
        questions, self._questions = self._questions, {}
        for question in questions.values():
            if not question.answer.called:
                question.answer.errback(Failure(NotConnected()))


def client_service(endpoint: IStreamClientEndpoint, ami: Ami, clock: IReactorTime) -> ClientService:
    """Connect, and reconnect for ever; says so at the first failure, not at each."""

    def pause(failures: int) -> float:
        if failures == 1:
            AmiLink.log.warn(
                "Asterisk's manager cannot be reached: nobody is dialled until it can;"
                " see [asterisk] ami_host, ami_port"
            )
        return 10.0 if ami.refused else min(float(failures), 2.0)

    return ClientService(endpoint, ami.factory(), retryPolicy=pause, clock=clock)
