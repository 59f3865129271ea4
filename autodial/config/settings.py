"""The whole file, and what it means to the rules."""

from collections.abc import Collection, Mapping
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Literal
from zoneinfo import ZoneInfo

from attrs import evolve
from pydantic import (
    Field,
    model_validator,
)

from autodial import texts
from autodial.config.fields import Duration, nearest, preset_of
from autodial.config.place import Place, Server
from autodial.config.portal import PortalConfig, StaffConfig, TasksConfig
from autodial.config.rules import (
    CalendarConfig,
    ClientConfig,
    HoursConfig,
    PaceConfig,
    PhonesConfig,
    PurposeConfig,
    RulesConfig,
)
from autodial.config.sections import (
    AsteriskConfig,
    BoardConfig,
    EventsConfig,
    FastAgiConfig,
    HookConfig,
    LogConfig,
    MetricsConfig,
    NodeConfig,
    RecordingConfig,
    Section,
    StoreConfig,
)
from autodial.errors import ConfigError
from autodial.model.outcome import Outcome
from autodial.model.trunk import NumberLimit, PurposeRoutes, Trunk
from autodial.model.write_back import WriteBack
from autodial.rules.caller_display import Look, Looks
from autodial.rules.calling_hours import Hours
from autodial.rules.contact_limits import Limits
from autodial.rules.retry import DEFAULTS, Rule
from autodial.rules.trunk_choice import Routing
from bitrix24 import TaskQuery, TaskStatus

#: What an administrator writes, and the status it means.
_STATUSES = {
    "leave": "",
    "start": TaskStatus.IN_PROGRESS.name,
    "complete": TaskStatus.DONE.name,
    "defer": TaskStatus.DEFERRED.name,
}


class Config(Section):
    """The whole file."""

    language: Literal["ru", "en"] = "ru"
    portal: PortalConfig
    tasks: TasksConfig
    staff: StaffConfig
    asterisk: AsteriskConfig
    fastagi: FastAgiConfig = FastAgiConfig.model_validate({})
    pace: PaceConfig = PaceConfig.model_validate({})
    hours: HoursConfig = HoursConfig()
    calendar: CalendarConfig = CalendarConfig()
    client: ClientConfig = ClientConfig.model_validate({})
    rules: RulesConfig = RulesConfig.model_validate({})
    purposes: tuple[PurposeConfig, ...] = ()
    phones: PhonesConfig = PhonesConfig.model_validate({})
    retry: Mapping[str, tuple[Duration, ...]] = Field(default_factory=dict)
    recording: RecordingConfig = RecordingConfig.model_validate({})
    events: EventsConfig = EventsConfig.model_validate({})
    metrics: MetricsConfig = MetricsConfig.model_validate({})
    board: BoardConfig = BoardConfig.model_validate({})
    hooks: tuple[HookConfig, ...] = ()
    log: LogConfig = LogConfig()
    node: NodeConfig = NodeConfig.model_validate({})
    store: StoreConfig = StoreConfig()

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, settings: Any) -> Any:
        """What a law says of the pace comes with the client's preset."""
        if not isinstance(settings, Mapping):
            return settings
        client, pace = settings.get("client", {}), settings.get("pace", {})
        if not isinstance(client, Mapping) or not isinstance(pace, Mapping):
            return settings
        return {**settings, "pace": {**preset_of(client).get("pace", {}), **pace}}

    @model_validator(mode="after")
    def _outcomes(self) -> "Config":
        known = [outcome.value for outcome in Outcome]
        for name in self.retry:
            if name.replace("_", " ") not in known:
                raise ValueError(f"retry.{name}: no such outcome{nearest(name, known)}")
        if self.retry.get(Outcome.WITHDRAWN.value) == ():
            raise ValueError("retry.withdrawn: nobody was called, so one wait must be given")
        return self

    @model_validator(mode="after")
    def _named_if_shared(self) -> "Config":
        if bool(self.store.url.get_secret_value()) != bool(self.node.name):
            raise ValueError(
                "store.url and [node] name go together: each dialler that shares a store has a name"
                " of its own"
            )
        if self.node.name and self.asterisk.ami_port is None:
            raise ValueError(
                "store.url: [asterisk] ami_port must be set: an operator is rung by the node whose"
                " Asterisk knows the phone"
            )
        return self

    @model_validator(mode="after")
    def _board_in_the_portal(self) -> "Config":
        if self.board.application and not self.board.address:
            raise ValueError("board.application: [board] address must say where browsers reach it")
        names = [hook.name for hook in self.hooks]
        if len(set(names)) != len(names):
            raise ValueError("hooks: two of the same name")
        return self

    def check(self) -> None:
        """
        What holds between the sections, of a configuration that was put together from two.

        Raises:
            ConfigError: it does not.
        """
        try:
            for holds in (self._outcomes, self._routes, self._lines, self._advertising):
                holds()  # type: ignore[operator]  # pydantic calls them so, too
        except ValueError as error:
            raise ConfigError(f"{error}, until the next start") from error

    def line(self, purpose: str) -> tuple[str, str]:
        """Number and name of the external line on which the portal shows calls of a purpose."""
        own = next((p for p in self.purposes if p.name == purpose and p.line), None)
        if own is None:
            return self.portal.line, self.portal.line_name
        return own.line, own.line_name or self.portal.line_name

    def but_off(self, days: Collection[date]) -> "Config":
        """With these days off, besides those of the file."""
        if not days:
            return self
        changed = {
            "days_off": tuple(dict.fromkeys((*self.calendar.days_off, *days))),
            "working_days": tuple(day for day in self.calendar.working_days if day not in days),
        }
        calendar = self.calendar.model_copy(update=changed)
        return self.model_copy(update={"calendar": calendar})

    @property
    def place(self) -> Place:
        """Where the store is."""
        url = self.store.url.get_secret_value()
        if not url:
            return self.store.path
        _, separator, rest = url.partition("://")
        return Server(f"postgresql+psycopg{separator}{rest}", self.node.name)

    @property
    def portal_zone(self) -> ZoneInfo:
        """By whose clock the portal keeps its tasks' dates: its server's."""
        return ZoneInfo(self.portal.zone or self.hours.zone)

    @property
    def when(self) -> Hours:
        """When the call centre works."""
        return self.hours.hours(self.calendar.calendar)

    @property
    def limits(self) -> Limits:
        """How often, and at what hours, a client may be called."""
        return self.client.limits(self.calendar.calendar, self.hours.zone)

    @model_validator(mode="after")
    def _routes(self) -> "Config":
        known = {trunk.name for trunk in self.asterisk.trunks}
        shown = {self.asterisk.caller_id}
        for trunk in self.asterisk.trunks:
            shown |= set(trunk.caller_ids)
        for purpose in self.purposes:
            shown |= set(purpose.caller_ids)
            for name in set(purpose.trunks) - known:
                raise ValueError(
                    f"purposes.{purpose.name}: no such trunk {name!r}{nearest(name, list(known))}"
                )
        for limit in self.asterisk.caller_ids:
            if limit.number not in shown:
                raise ValueError(f"asterisk.caller_ids: {limit.number} is shown by no trunk")
        return self

    @model_validator(mode="after")
    def _lines(self) -> "Config":
        pool = {f"{self.portal.line}-{number}" for number in range(1, self.portal.pool + 1)}
        for purpose in self.purposes:
            if purpose.line in pool:
                raise ValueError(
                    f"purposes.{purpose.name}: the line {purpose.line} is of [portal] pool, which"
                    " renames it; give it another number"
                )
        return self

    @model_validator(mode="after")
    def _advertising(self) -> "Config":
        for purpose in self.purposes:
            if purpose.confirm is False and self._advertises_in_russia(purpose):
                raise ValueError(
                    f"purposes.{purpose.name}: advertising may not be dialled in Russia without a"
                    " person (law 38-FZ, article 18); remove confirm = false"
                )
        return self

    def _advertises_in_russia(self, purpose: PurposeConfig) -> bool:
        return purpose.kind == "advertising" and self.calendar.country == "RU"

    def needs_confirmation(self, purpose: PurposeConfig) -> bool:
        """Must a person say "dial it now" for each call of this purpose?"""
        return bool(purpose.confirm) or self._advertises_in_russia(purpose)

    @property
    def looks(self) -> Looks:
        """What operators' phones show and how they ring."""
        asterisk = self.asterisk
        return Looks(
            tag=asterisk.tag or texts.text("tag", self.language),
            common=Look(template=asterisk.display, alert=asterisk.alert, ascii=asterisk.ascii),
            purposes={
                purpose.name: Look(template=purpose.display, alert=purpose.alert)
                for purpose in self.purposes
            },
            phones={
                phone.extension: Look(template=phone.display, alert=phone.alert, ascii=phone.ascii)
                for phone in asterisk.phones
            },
        )

    @property
    def reading(self) -> str:
        """A fingerprint of what decides which tasks, fields and tags are read of the portal."""
        keys = (
            self.query, self.client.zone_field, self.staff.deputies_field,
            self.rules.do_not_call_tag, self.rules.do_not_call_field,
            self.rules.consent_field, self.rules.consent_value,
            self.phones, self.purposes, self.calendar.country,
        )  # fmt: skip
        return sha256(repr(keys).encode()).hexdigest()[:12]

    @property
    def routing(self) -> Routing:
        """Carriers and numbers, and what each purpose uses."""
        asterisk = self.asterisk
        return Routing(
            trunks=tuple(
                Trunk(
                    name=trunk.name,
                    lines=trunk.lines,
                    minimum_interval=timedelta(seconds=1 / trunk.calls_per_second)
                    if trunk.calls_per_second
                    else timedelta(0),
                    caller_ids=trunk.caller_ids,
                )
                for trunk in asterisk.trunks
            ),
            limits={
                shown.number: NumberLimit(calls=shown.calls, per_day=shown.per_day)
                for shown in asterisk.caller_ids
            },
            common=asterisk.caller_id,
            purposes={
                purpose.name: PurposeRoutes(trunks=purpose.trunks, caller_ids=purpose.caller_ids)
                for purpose in self.purposes
            },
        )

    @property
    def client_fields(self) -> tuple[str, ...]:
        """Fields of the CRM that say something of a client."""
        rules = self.rules
        names = (self.client.zone_field, rules.do_not_call_field, rules.consent_field)
        return tuple(name for name in names if name)

    @property
    def groups(self) -> bool:
        """Are staff or tasks chosen by a work group?"""
        return self.staff.group is not None or self.tasks.group is not None

    @property
    def telling_tags(self) -> tuple[str, ...]:
        """Tags that say something of a task."""
        tags = (self.rules.do_not_call_tag, *(purpose.tag for purpose in self.purposes))
        return tuple(dict.fromkeys(tag for tag in tags if tag))

    @property
    def query(self) -> TaskQuery:
        """Which tasks are call tasks, with their tags and fields if these say something."""
        tags = bool(self.telling_tags)
        fields = (self.staff.deputies_field, *(purpose.field for purpose in self.purposes))
        named = tuple(dict.fromkeys(name for name in fields if name))
        return evolve(self.tasks.query, tags=tags, fields=named)

    @property
    def write_back(self) -> WriteBack:
        """What is written back to the portal, where a site can choose."""
        return WriteBack(
            notify=self.portal.notify,
            recording=self.recording.folder is not None,
            talked=_STATUSES[self.tasks.when_talked],
            given_up=_STATUSES[self.tasks.when_given_up],
            hand_back=self.tasks.hand_back_to or 0,
            taker=self.tasks.taker_becomes_responsible,
            disposition_within=self.staff.wrap_up,
            unanswered=self.portal.register_unanswered,
            comments=self.portal.comments,
        )

    @property
    def rules_for_retry(self) -> Mapping[Outcome, Rule]:
        """The retry table: the defaults, with the configured rows in their place."""
        given = {Outcome(name.replace("_", " ")): waits for name, waits in self.retry.items()}
        return {
            outcome: evolve(rule, waits=given.get(outcome, rule.waits))
            for outcome, rule in DEFAULTS.items()
        }
