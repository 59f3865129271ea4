"""
The dialler's client of Asterisk's manager interface (AMI). It only reads.

One connection: device states as they change, the live channels with their attempts, and the
reports that the dialplan kept in AstDB while the dialler was down. The manager user needs no right
to originate, command or change anything. ``ami_wire`` decides which input is trusted.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import md5
from secrets import token_hex

from attrs import define, field
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from autodial.errors import PbxError
from autodial.model.ids import internal_number
from autodial.model.operator import DEVICE_STATES
from autodial.pbx.ami_wire import VARIABLES, AmiWire, Listing, Message, NotAmi

_log = Logger()

#: Seconds to wait for a complete answer.
PATIENCE = 10.0
#: Least seconds between two log lines that the manager cannot be reached.
COMPLAIN = 60.0
#: Seconds before the next try after a login that was refused.
REFUSED = 10.0
#: Phones whose state is requested at once.
PHONES_AT_ONCE = 50
#: The dialplan's family in AstDB, the variable with a channel's attempt id, and the variable with
#: the report once the hangup handler has built it.
FAMILY, VARIABLE, REPORT = "autodial", "AD_ID", "AD_RES"
#: Bytes at which Asterisk cuts the value of a function, and that of a single key of AstDB.
VALUE, KEPT_VALUE = 1023, 255

#: Fields that a channel's row must have, before and after the variables (Asterisk 16 and 22 alike).
CHANNEL_FIELDS = (
    "Event",
    "ActionID",
    "Channel",
    "Context",
    "Uniqueid",
    "Linkedid",
    "Duration",
    "BridgeId",
)


class NotConnected(Exception):
    """There is no connection to Asterisk's manager interface now."""


class MoreKept(PbxError):
    """Asterisk keeps more reports than it names at once; nothing is given up meanwhile."""

    def __init__(self, reports: Mapping[str, str]) -> None:
        super().__init__()
        self.reports = reports  #: those that it has named


@define(eq=False)
class Ami:
    """The public side: queries, and callbacks for events that Asterisk sends."""

    clock: IReactorTime
    user: str
    secret: str = field(repr=False)
    on_device: Callable[[str, str], None]
    on_up: Callable[[], None]
    on_down: Callable[[], None]
    on_refused: Callable[[PbxError], None] = lambda error: None
    #: A device's state has changed: is it to be asked for? Not those of trunks.
    heeds: Callable[[str], bool] = lambda device: True
    _link: "AmiLink | None" = field(default=None, init=False)
    refused: bool = field(default=False, init=False)  #: the last login was refused
    #: when the log last reported that the manager cannot be reached
    complained: float | None = field(default=None, init=False)

    @property
    def connected(self) -> bool:
        return self._link is not None

    async def channels(self) -> dict[str, tuple[str, ...]]:
        """
        The attempts with live channels, each with its channels' names.

        Raises:
            NotConnected. PbxError: the list is damaged, or does not name the attempts.
        """
        listing = Listing("CoreShowChannel", "CoreShowChannelsComplete", CHANNEL_FIELDS)
        channels: dict[str, tuple[str, ...]] = {}
        for row in await self._list({"Action": "CoreShowChannels"}, listing):
            pairs = [text.partition("=") for text in row.all(VARIABLES)]
            named = [value for name, _, value in pairs if name == VARIABLE]
            channel = row.get("Channel")
            if not named and "@autodial-" in channel:
                # Read as "no channel", this would end talks in progress.
                raise PbxError(f"channels do not name their attempt: set channelvars = {VARIABLE}")
            for attempt in named:
                channels[attempt] = (*channels.get(attempt, ()), channel)
        return channels

    async def kept_reports(self) -> dict[str, str]:
        """
        Reports in AstDB by attempt: those not acknowledged.

        Raises:
            NotConnected. PbxError: they cannot be read. MoreKept: these are not all.
        """
        # Asterisk 16.28 sends "ListItems: 1" at the end of every such list. The list contains no
        # text from outside: the dialplan encodes what trunks send.
        needed = ("Event", "ActionID", "Key", "Val")
        listing = Listing("DBGetTreeResponse", "DBGetTreeComplete", needed, counted=False)
        action = {"Action": "DBGetTree", "Family": FAMILY}
        try:
            rows = await self._list(action, listing, empty="not found")
        except PbxError as error:
            if "unknown command" not in str(error):
                raise
            return await self._kept_one_by_one()
        return {row.get("Key").rpartition("/")[2]: row.get("Val") for row in rows}

    async def _kept_one_by_one(self) -> dict[str, str]:
        """For an Asterisk without DBGetTree: before 16.28, 18.14 and 19.6."""
        names = await self.value(f"DB_KEYS({FAMILY})")
        cut = len(names.encode()) >= VALUE
        keys = [key for key in names.split(",") if key]
        reports = {}
        for key in keys[:-1] if cut else keys:
            needed = ("Event", "ActionID", "Key", "Val")
            listing = Listing("DBGetResponse", "DBGetComplete", needed, counted=False)
            action = {"Action": "DBGet", "Family": FAMILY, "Key": key}
            for row in await self._list(action, listing, empty="not found"):
                report = row.get("Val")
                # The dialplan's are shorter. Half a moment would be another moment.
                whole = len(report.encode()) < KEPT_VALUE
                reports[key] = report if whole else report.rpartition(",")[0]
        if cut:
            raise MoreKept(reports)
        return reports

    async def value(self, variable: str) -> str:
        """
        A dialplan global, or a function's value without a channel; empty: there is none.

        Raises:
            NotConnected. PbxError: this user lacks the right.
        """
        answer = await self._connected().ask({"Action": "Getvar", "Variable": variable})
        return answer.get("Value")

    async def allowed(self) -> frozenset[str]:
        """
        The actions that our user may execute.

        Raises:
            NotConnected. PbxError: the list was refused.
        """
        answer = await self._connected().ask({"Action": "ListCommands"})
        return frozenset(name for name, _ in answer.fields)

    async def report(self, channel: str) -> str | None:
        """
        The report that a channel's hangup handler is about to send; empty: the channel is still in
        its call; None: there is no such channel.
        """
        action = {"Action": "Getvar", "Channel": channel, "Variable": REPORT}
        try:
            answer = await self._connected().ask(action)
        except PbxError as error:
            if "No such channel" in str(error):
                return None
            raise
        return answer.get("Value")

    async def under_way(self, attempt: str, leg: str | None) -> bool:
        """
        Is this attempt's outbound leg (its channel, if known) still in its call, by Asterisk's
        answer? False also where Asterisk cannot be asked: then only the report counts.
        """
        try:
            if leg is None:
                names = (await self.channels()).get(attempt, ())
                leg = next((name for name in names if name.endswith(";2")), None)
            return leg is not None and await self.report(leg) == ""
        except (NotConnected, PbxError) as error:
            _log.info("{attempt}: not looked up: {error}", attempt=attempt, error=error)
            return False

    def ask_phones(self, extensions: Sequence[str]) -> None:
        """
        Request the states of these phones, a few at a time: the list of device states omits a
        phone not used since Asterisk's start (realtime endpoints).
        """
        if self._link is not None:
            self._link.ask_phones(extensions[:PHONES_AT_ONCE])

    def _connected(self) -> "AmiLink":
        if self._link is None:
            raise NotConnected
        return self._link

    async def _list(
        self, action: Mapping[str, str], listing: Listing, empty: str = ""
    ) -> Sequence[Message]:
        """``empty``: the refusal that means "no rows"."""
        try:
            await self._connected().ask(action, listing)
        except PbxError as error:
            if empty and empty in str(error):
                return ()
            raise
        return listing.result()

    def factory(self) -> Factory:
        """For a ClientService, which always reconnects."""
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
    answer: "Deferred[Message]"
    listing: Listing | None = None


class AmiLink(Protocol):
    """One connection: logs in, then sends queries and passes events on."""

    log = Logger()
    transport: ITCPTransport

    def __init__(self, ami: Ami) -> None:
        self._ami = ami
        self._wire = AmiWire()
        self._questions: dict[str, _Question] = {}
        #: Devices whose state is being requested; True: it has changed again meanwhile.
        self._asked: dict[str, bool] = {}
        #: The list whose rows are arriving.
        self._open: Listing | None = None

    def connectionMade(self) -> None:
        Deferred.fromCoroutine(self._log_in()).addErrback(self._not_in)

    async def _log_in(self) -> None:
        """With a challenge, so that an impostor of Asterisk does not learn the secret."""
        ami = self._ami
        challenge = (await self.ask({"Action": "Challenge", "AuthType": "MD5"})).get("Challenge")
        if not re.fullmatch("[0-9A-Za-z]{4,64}", challenge):  # if empty, the key is MD5(secret)
            raise PbxError("no challenge in the answer")
        key = md5(f"{challenge}{ami.secret}".encode(), usedforsecurity=False)
        await self.ask(
            {"Action": "Login", "AuthType": "MD5", "Username": ami.user, "Key": key.hexdigest()}
        )
        needed = ("Event", "ActionID", "Device", "State")
        # Not counted: a filter of the manager's user may leave out other devices than phones. A
        # phone that is missing is asked for by itself.
        listing = Listing("DeviceStateChange", "DeviceStateListComplete", needed, counted=False)
        await self.ask({"Action": "DeviceStateList"}, listing)
        rows = listing.result()
        ami.linked(self)  # only now: no call before the phones' states are known
        for row in rows:
            self._device(row.get("Device"), row.get("State"))

    def _not_in(self, failure: Failure) -> None:
        if failure.check(NotConnected):
            self._ami.on_refused(PbxError("the connection was closed before the login"))
            return
        self.transport.loseConnection()
        failure.trap(PbxError)
        error = failure.value
        assert isinstance(error, PbxError)
        self._ami.on_refused(error)
        if not self._ami.refused:  # retried without end, logged once
            self.log.error(
                "Asterisk's manager refuses {user}: {error}. Nobody is dialled. Correct [asterisk]"
                " ami_user, ami_secret or manager.conf (its read and write rights, deny, permit),"
                " then asterisk -rx 'manager reload'",
                user=self._ami.user,
                error=error,
            )
        self._ami.refused = True

    def ask(self, action: Mapping[str, str], listing: Listing | None = None) -> "Deferred[Message]":
        """
        Send an action. Fires with its response, or, for a list, with the list's end.

        Fails with PbxError (refused, with Asterisk's message), NotConnected.
        """
        number = token_hex(16)
        fields = {**action, "ActionID": number}
        for name, value in fields.items():
            if re.search(r"[\x00-\x1f\x7f]", value):
                return _failed(PbxError(f"{name} cannot hold {value!r}"))
        self.transport.write("".join(f"{k}: {v}\r\n" for k, v in fields.items()).encode() + b"\r\n")
        answer: Deferred[Message] = Deferred()
        self._questions[number] = _Question(answer, listing)
        answer.addTimeout(PATIENCE, self._ami.clock, self._no_answer)
        return answer

    def _no_answer(self, _: object, seconds: float) -> Failure:
        """Drop an open link that does not answer; the service reconnects."""
        self.log.warn("Asterisk's manager did not answer within {seconds} s", seconds=seconds)
        self.transport.abortConnection()
        return Failure(NotConnected())

    def dataReceived(self, data: bytes) -> None:
        try:
            for message in self._wire.receive(data):
                self._received(message)
        except NotAmi as error:
            self.log.error("Asterisk's manager: {error}", error=error)
            self.transport.abortConnection()

    def _received(self, message: Message) -> None:
        number = message.get("ActionID")
        question = self._questions.get(number)
        if self._open is not None and (question is None or question.listing is not self._open):
            self._open.stray()
        elif question is not None:
            self._answered(number, question, message)
        elif message.get("Event") == "DeviceStateChange":
            device = message.get("Device")
            if self._ami.heeds(device.partition("/")[2]):
                self._changed(device)

    def _answered(self, number: str, question: _Question, message: Message) -> None:
        listing = question.listing
        if "Response" not in dict(message.fields):
            if listing is None or self._open is not listing:
                return  # a row that no query asked for
            if not listing.take(message):
                return
            self._open = None
        elif message.get("Response") == "Success" and listing is not None:
            self._open = listing
            return
        del self._questions[number]
        if question.answer.called:
            return
        if message.get("Response") in ("", "Success"):
            question.answer.callback(message)
        else:
            question.answer.errback(Failure(PbxError(message.get("Message") or "refused")))

    def _device(self, device: str, state: str) -> None:
        technology, _, extension = device.partition("/")
        if technology == "PJSIP" and state in DEVICE_STATES:
            self._ami.on_device(extension, state)

    def ask_phones(self, extensions: Iterable[str]) -> None:
        """Request these phones' states."""
        for extension in extensions:
            self._changed(f"PJSIP/{extension}")

    def _changed(self, device: str) -> None:
        """
        An event may be forged (where the filters look for text, or are missing): it is only a
        hint, and Asterisk is asked for the state.
        """
        technology, _, extension = device.partition("/")
        if technology != "PJSIP" or not internal_number(extension):
            return
        if device in self._asked:
            self._asked[device] = True  # ask once more after the answer
            return
        self._asked[device] = False
        asking = Deferred.fromCoroutine(self._ask_state(device))
        asking.addErrback(lambda failure: failure.trap(NotConnected, PbxError))

    async def _ask_state(self, device: str) -> None:
        try:
            again = True
            while again:
                self._asked[device] = False
                variable = f"DEVICE_STATE({device})"
                answer = await self.ask({"Action": "Getvar", "Variable": variable})
                self._device(device, answer.get("Value"))
                again = self._asked[device]
        finally:
            del self._asked[device]

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._ami.unlinked(self)
        questions, self._questions = self._questions, {}
        for question in questions.values():
            if not question.answer.called:
                question.answer.errback(Failure(NotConnected()))


def _failed(error: Exception) -> "Deferred[Message]":
    answer: Deferred[Message] = Deferred()
    answer.errback(Failure(error))
    return answer


def client_service(endpoint: IStreamClientEndpoint, ami: Ami, clock: IReactorTime) -> ClientService:
    """Connect, and always reconnect; logs the first failure, not each."""

    def pause(failures: int) -> float:
        if ami.refused:  # which is logged
            return REFUSED
        now = clock.seconds()
        if failures == 1 and (ami.complained is None or now - ami.complained > COMPLAIN):
            ami.complained = now
            AmiLink.log.warn(
                "Asterisk's manager cannot be reached: nobody is dialled until it can;"
                " see [asterisk] ami_host, ami_port"
            )
        return min(float(failures), 2.0)

    return ClientService(endpoint, ami.factory(), retryPolicy=pause, clock=clock)
