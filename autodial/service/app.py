"""The wiring: ``Dialler`` builds everything; nothing runs until ``start``."""

import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, TypeVar

from attrs import define, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger

from autodial.config.reload import Settings
from autodial.config.sections import FastAgiConfig
from autodial.config.settings import Config
from autodial.engine.engine import Engine
from autodial.engine.operators import Roster
from autodial.engine.periodic import Periodic
from autodial.engine.retention import Retention
from autodial.engine.surroundings import Surroundings
from autodial.errors import ConfigError, StoreError
from autodial.http_limits import BoundedPort
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.pbx.agi_scripts import TICKETS, AstDb, scripts
from autodial.pbx.ami import Ami, client_service
from autodial.pbx.dialplan_check import DialplanCheck
from autodial.pbx.reconciler import Reconciler
from autodial.portal.client import access, verify
from autodial.portal.event_webhook import event_site
from autodial.portal.importer import Importer
from autodial.portal.reporter import Reporter
from autodial.portal.self_check import SelfCheck
from autodial.service.metrics import Measured, metrics_site
from autodial.service.reloading import Reloading
from autodial.store import attempt_queries, flags, nodes
from autodial.store.database import Store
from autodial.store.nodes import Topic
from autodial.store.outbox import Share
from autodial.store.stores import open_store
from bitrix24 import (
    Link,
    Portal,
    RequestsTransport,
)
from call_files import Spool
from fastagi_server import FastAgiServer, SharedSecret, Tickets, listen

T = TypeVar("T")


#: The dialplan's global that holds [fastagi] secret.
SECRET_VARIABLE = "AD_SECRET"


#: Seconds between two turns, if nothing wakes them earlier.
DISPATCH, REPORT, SWEEP = 1.0, 2.0, 15.0


#: Seconds for which the card in the portal waits after the client's answer: Asterisk needs the
#: processor for the operator's INVITE.
VOICE_FIRST = 0.02


#: Seconds from one dispatcher's turn to the next, at least: at a high pace one turn places several
#: calls (less than ``live_calls.CATCH_UP``).
TURNS_APART = 0.025


#: Between two saves of what only people read, two tries of the self-check, and two beats.
PHONES, SELF_CHECK, BEAT = 5.0, 60.0, 15.0


#: Between two reads of the confirmed tasks.
CONFIRMED = 1.0


#: Between two checks of a faulty dialplan.
DIALPLAN = 5.0


#: Between two counts of the messages to the portal, for monitoring.
BACKLOG = 15.0


#: Between two checks for a reload request.
SETTINGS = 2.0


#: Between two looks at who leads, and two exchanges of phones' states, on a shared store.
LEAD, PHONES_ELSEWHERE = 1.0, 2.0


#: What is done only when it is woken.
FOREVER = 1e9


#: Between two small steps of deleting old rows.
FORGET = 0.5


@define(eq=False)
class Dialler:
    """The running dialler. ``start`` raises errors for the administrator."""

    log = Logger()

    config: Config
    reactor: Any
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    settings: Settings | None = None  #: their file, if they can be reloaded
    store: Store = field(init=False)
    transport: RequestsTransport = field(init=False)
    engine: Engine = field(init=False)
    reloading: Reloading = field(init=False)
    server: FastAgiServer = field(init=False)
    services: MultiService = field(factory=MultiService, init=False)
    ami: Ami | None = field(default=None, init=False)
    _port: Any = field(default=None, init=False)
    _side_ports: list[IListeningPort] = field(factory=list, init=False)  #: events, metrics
    _poll: Periodic = field(init=False)
    _importer: Importer = field(init=False)
    _dialplan: DialplanCheck | None = field(default=None, init=False)
    _reporter: Reporter = field(init=False)
    _recordings: Reporter = field(init=False)  #: delivers those of this node's calls
    _spool: Spool = field(init=False)
    _retention: Retention = field(init=False)
    _sharing: Any = field(default=None, init=False)  #: ``Sharing``, of a store that others use, too
    _self_check: SelfCheck = field(init=False)

    def __attrs_post_init__(self) -> None:
        config, now = self.config, self.now
        self.store = open_store(config.place, self.reactor)
        self.transport = RequestsTransport(self.reactor, verify(config))
        portal = Portal(
            Link(
                access(config.portal),
                self.transport,
                self.reactor,
                rate=config.portal.requests_per_second,
            ),
            config.portal_zone,
        )
        roster = Roster(frozenset(config.staff.exclude))  # type: ignore[arg-type]
        spool = Spool(config.asterisk.spool)
        astdb = AstDb()

        def imported(responsible: Mapping[TaskId, OperatorId]) -> None:
            self.engine.calls.reassign(responsible)
            dispatch.wake()

        self._importer = Importer(
            config, portal, self.store, roster, now, imported, for_all=self.store.for_all(),
            breathe=lambda: deferLater(self.reactor, 0),
        )  # fmt: skip
        shared = bool(config.node.name)
        self._reporter = reporter = Reporter(
            config, portal, self.store.for_all(), roster, now, self.reactor,
            share=Share.NO_RECORDINGS if shared else Share.ALL,
        )  # fmt: skip
        self._recordings = Reporter(
            config, portal, self.store, roster, now, self.reactor, share=Share.RECORDINGS
        )

        def enqueued() -> None:
            reporter.more()
            for service in (report, record) if shared else (report,):
                service.wake()

        around = Surroundings(
            pbx_ok=lambda: self.ami is None or self.ami.connected,
            dialplan_ok=lambda: self._dialplan is None or self._dialplan.ok,
            portal_seen=lambda: self._importer.seen,
            refresh=self._importer.refresh,
            under_way=self._under_way,
            on_ended=lambda: dispatch.wake(),
            on_enqueued=enqueued,
            wake_at=lambda moment: self._wake_at(dispatch, moment),
        )
        self.engine = Engine(config, self.store, roster, spool, now, around)
        self.reloading = Reloading(
            config, self.settings, self.store, now, use=self._use, recount=self._recount
        )

        def up() -> None:
            roster.ask_phones()
            if self.ami is not None:
                self.ami.ask_phones(roster.not_told())
            for service in (check, sweep, beat):
                service.wake()

        self.ami = self._make_ami(roster, up)
        self._dialplan = DialplanCheck(config, self.ami, now) if self.ami is not None else None
        check = Periodic(self.reactor, DIALPLAN, self._check_dialplan, "dialplan")
        fastagi, tickets = config.fastagi, Tickets(TICKETS)
        reconciler = Reconciler(
            self.store, self.engine.ends, spool, astdb, now, self.ami, self.reactor,
            address=f"agi://{fastagi.host}:{fastagi.port}",
        )  # fmt: skip
        self.server = FastAgiServer(
            scripts(
                self.engine,
                astdb,
                config.language,
                self.reactor,
                tickets,
                aside=lambda work: self.reactor.callLater(VOICE_FIRST, work),
            ),
            self.reactor,
            deadline=config.fastagi.deadline.total_seconds(),
            max_sessions=config.fastagi.max_sessions,
            allow=config.fastagi.allow,
            tickets=tickets,
            secret=SharedSecret(SECRET_VARIABLE, config.fastagi.secret.get_secret_value()),
            # A recorded step must also be carried out: no script may stop half-way.
            handler_deadline=None,
        )
        poll = config.portal.poll.total_seconds()
        dispatch = Periodic(
            self.reactor, DISPATCH, self.engine.dispatcher.turn, "dispatcher", TURNS_APART
        )
        report = Periodic(self.reactor, REPORT, self._if_leading(reporter.turn), "reporter")
        record = Periodic(self.reactor, REPORT, self._recordings.turn, "recordings")
        sweep = Periodic(self.reactor, SWEEP, reconciler.turn, "reconciler")
        beat = Periodic(self.reactor, BEAT, self.engine.dispatcher.beat, "beat")
        retention = Retention(config.store.keep, self.store, now, config.limits.looks_back)
        self._retention = retention
        self._self_check = self_check = SelfCheck(config, portal, reporter, now)
        self._poll = Periodic(self.reactor, poll, self._if_leading(self._importer.poll), "importer")
        if shared:
            self._share(dispatch, report, record)
        for service in (
            sweep, self._poll, dispatch, report, check,
            Periodic(self.reactor, PHONES, self._phones, "phones"),
            Periodic(self.reactor, CONFIRMED, self._if_leading(self._importer.refetch), "refetch"),
            beat,
            Periodic(self.reactor, SETTINGS, self.reloading.check, "settings"),
            Periodic(self.reactor, FORGET, self._if_leading(retention.turn), "retention"),
            Periodic(self.reactor, SELF_CHECK, self._if_leading(self_check.turn), "self_check"),
        ):  # fmt: skip
            service.setServiceParent(self.services)
        asterisk = config.asterisk
        if self.ami is not None and asterisk.ami_port is not None:
            endpoint = TCP4ClientEndpoint(self.reactor, asterisk.ami_host, asterisk.ami_port)
            client_service(endpoint, self.ami, self.reactor).setServiceParent(self.services)
        self._spool = spool

    def _if_leading(self, turn: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """What one dialler does for all that share the store."""

        async def led() -> None:
            if self._leads:
                await turn()

        return led

    @property
    def _leads(self) -> bool:
        return self._sharing.leads if self._sharing is not None else True

    def _share(self, dispatch: Periodic, report: Periodic, record: Periodic) -> None:
        """The services of a dialler that shares its store."""
        from autodial.service.sharing import Sharing  # (which needs PostgreSQL's driver)
        from autodial.store.shared_store import SharedStore

        assert isinstance(self.store, SharedStore)

        def wake(topic: Topic) -> None:
            match topic:
                case Topic.MESSAGES:
                    self._reporter.more()
                    report.wake()
                    record.wake()
                case Topic.CALLS if self.engine.dispatcher.waits_for_nodes:
                    dispatch.wake()
                case Topic.IMPORTED if not self._leads:
                    sharing.told()
                    look.wake()
                case Topic.IMPORTED:
                    self._poll.wake()
                case Topic.PORTAL if self._leads:
                    self._poll.wake()

        sharing = self._sharing = Sharing(
            self.store, self.engine, self._importer, self._reporter, self.now, wake
        )
        look = Periodic(self.reactor, LEAD, sharing.lead_or_follow, "leader", LEAD / 2)
        again = Periodic(self.reactor, FOREVER, sharing.remember, "memory")
        self.store.on_session = again.wake
        phones = Periodic(self.reactor, PHONES_ELSEWHERE, sharing.exchange_phones, "nodes")
        for service in (look, again, phones):
            service.setServiceParent(self.services)

    def _make_ami(self, roster: Roster, up: Callable[[], None]) -> Ami | None:
        asterisk = self.config.asterisk
        if asterisk.ami_port is None:
            self.log.warn(
                "[asterisk] ami_port is not set: device states are unknown, and reports kept by"
                " Asterisk while this server was down are not swept"
            )
            return None

        def down() -> None:
            roster.forget_phones()
            if self._dialplan is not None:
                self._dialplan.forget()

        return Ami(
            self.reactor,
            asterisk.ami_user,
            asterisk.ami_secret.get_secret_value(),
            on_device=roster.set_phone,
            heeds=roster.heeds,
            on_up=up,
            on_down=down,
        )

    async def _check_dialplan(self) -> None:
        if self._dialplan is not None:
            await self._dialplan.turn()

    async def reload(self, asked: str = "") -> None:
        """Read the settings again; see ``Reloading``."""
        await self.reloading.reload(asked)

    def _use(self, config: Config) -> None:
        """From now on this is the configuration."""
        self.config = config
        for part in (
            self._importer,
            self._reporter,
            self._recordings,
            self.engine,
            self._dialplan,
            self._self_check,
        ):
            if part is not None:
                part.use(config)
        self.engine.roster.leave_out(frozenset(config.staff.exclude))  # type: ignore[arg-type]
        self._retention.keep = config.store.keep
        self._retention.looks_back = config.limits.looks_back
        self._poll.wake()

    async def _recount(self) -> None:
        """After new settings: the limits over all calls may look back further."""
        if self.engine.calls.statistics.over != self.config.pace.abandoned_over:
            await self._recall()

    async def _recall(self) -> None:
        """Count past calls again for the limits over all clients, as far back as now configured."""
        over = self.config.pace.abandoned_over
        past = await self.store.run(attempt_queries.past, self.now(), over)
        self.engine.calls.statistics.over = over
        self.engine.calls.statistics.recall(past)

    async def _phones(self) -> None:
        if self.ami is not None:
            self.ami.ask_phones(self.engine.roster.not_told())
        if self._leads:
            await self._importer.save_phones()

    async def _under_way(self, attempt: AttemptId, leg: str | None) -> bool:
        return self.ami is not None and await self.ami.under_way(attempt, leg)

    def _wake_at(self, service: Periodic, moment: datetime) -> None:
        delay = (moment - self.now()).total_seconds()
        self.reactor.callLater(max(0.0, delay), service.wake)

    async def start(self) -> None:
        """
        Open the store and the spool, resume attempts in flight, listen, run.

        Raises:
            ConfigError, StoreError, SpoolError: with the remedy.
        """
        if not self.config.fastagi.secret.get_secret_value():
            raise ConfigError(
                "fastagi.secret must be set, or any process of this host could answer for Asterisk:"
                " run 'autodial secret', then asterisk -rx \"dialplan reload\""
            )
        self._spool.prepare()
        self.store.start()
        self.transport.start()
        try:
            await self._start()
        except BaseException:
            if self._sharing is not None:
                self._sharing.listener.stop()
            self.transport.stop()
            self.store.stop()
            raise

    async def _start(self) -> None:
        changed = flags.of_node(flags.CHANGED, self.config.node.name)
        await self.store.run(flags.clear, changed)  # the file was read just now
        if self._sharing is not None:
            await self._sharing.start()
            await self._importer.follow()
        else:
            await self._importer.restore()
        over = self.config.pace.abandoned_over
        memory = await self.store.run(nodes.memory, self.now(), over)
        self.engine.calls.remember(memory)
        wrap_up = self.config.staff.wrap_up
        for operator, at in (
            await self.store.run(attempt_queries.last_talks, self.now() - wrap_up)
        ).items():
            self.engine.roster.wraps_up(operator, at + wrap_up)
        fastagi, events = self.config.fastagi, self.config.events
        try:
            self._port = self._listen(fastagi)
        except CannotListenError as error:
            raise ConfigError(
                f"[fastagi] {fastagi.host}:{fastagi.port}: {error.socketError}; is another dialler"
                " running? Otherwise change host or port, and AD_AGI of the dialplan with it"
            ) from error
        if events.port is not None:
            site = event_site(events.token.get_secret_value(), self._portal_tells, self.reactor)
            await self._open("events", events.host, events.port, site)
        metrics = self.config.metrics
        if metrics.port is not None:
            measured = Measured(self.server, self.engine, self.now)
            await self._open(
                "metrics", metrics.host, metrics.port, metrics_site(measured, self.reactor)
            )
            counts = Periodic(self.reactor, BACKLOG, measured.read_backlog, "metrics")
            counts.setServiceParent(self.services)
        self.services.startService()
        self.reloading.log_notes()
        self.log.info("running; {count} attempts were in flight", count=len(memory.in_flight))

    def _portal_tells(self) -> None:
        """An event of the portal: whoever reads it reads it now."""
        if self._leads:
            self._poll.wake()
        else:
            telling = Deferred.fromCoroutine(self.store.run(nodes.tell_nodes, Topic.PORTAL))
            telling.addErrback(lambda failure: failure.trap(StoreError))

    async def _open(self, section: str, host: str, port: int, site: BoundedPort) -> None:
        try:
            self._side_ports.append(self.reactor.listenTCP(port, site, interface=host))
        except CannotListenError as error:
            for open_port in (self._port, *self._side_ports):
                await _maybe(open_port.stopListening())
            raise ConfigError(
                f"[{section}] {host}:{port}: {error.socketError}; change the port"
            ) from error

    def _listen(self, fastagi: FastAgiConfig) -> Any:
        held = held_socket(self.reactor, fastagi)
        return listen(self.reactor, self.server, fastagi.port, fastagi.host, held=held)

    async def stop(self) -> None:
        """Place no further calls, finish open sessions, leave everything else as it is."""
        self.engine.conditions.stopping = self._reporter.stopping = True
        self._recordings.stopping = True
        if self._port is not None:
            await _maybe(self._port.stopListening())
            await self.server.drain()
        for port in self._side_ports:
            await _maybe(port.stopListening())
        await _maybe(self.services.stopService())
        if self._sharing is not None:
            self._sharing.listener.stop()
        self.transport.stop()
        try:
            await self.engine.ends.write_unwritten()
            await self.store.run(flags.mark, self.now(), flags.STOPPED)
        except StoreError as error:
            self.log.error("unwritten reports are lost: {error}", error=error)
        finally:
            self.store.stop()


async def _maybe(result: "Deferred[Any] | None") -> None:
    if result is not None:
        await result


def held_socket(reactor: Any, fastagi: FastAgiConfig) -> socket.socket | None:
    """
    The listening socket that systemd keeps open across restarts; None: there is none.

    While systemd keeps it, no other process can take the port, and calls wait in its queue.

    Raises:
        ConfigError: its address differs from the configuration's.
    """
    try:
        # Twisted has read the socket's environment variables; the name is FileDescriptorName=.
        endpoint = serverFromString(reactor, "systemd:domain=INET:name=fastagi")
    except KeyError:
        return None
    held = socket.socket(fileno=endpoint.fileno)
    held.setblocking(False)
    host, port, *_ = held.getsockname()
    if (ip_address(host), port) != (ip_address(fastagi.host), fastagi.port):
        held.close()
        raise ConfigError(
            f"the socket unit listens on {host}:{port}, and [fastagi] says"
            f" {fastagi.host}:{fastagi.port}: make ListenStream= of autodial24.socket the same"
        )
    return held
