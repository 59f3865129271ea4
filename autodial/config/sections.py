"""
The configuration file: typed, validated, and refused with a word on what to do.

Unknown keys are refused with the nearest known one named: a misspelt limit must not be no limit.
"""

import os
import re
import stat
import tomllib
from collections.abc import Collection, Mapping
from datetime import date, time, timedelta
from difflib import get_close_matches
from hashlib import sha256
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo

import phonenumbers
from attrs import evolve
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from autodial import texts
from autodial.errors import ConfigError
from autodial.model.ids import OperatorId
from autodial.model.operator import PresenceRules
from autodial.model.outcome import Outcome
from autodial.model.trunk import NumberLimit, PurposeRoutes, Trunk
from autodial.model.write_back import Telling
from autodial.rules import regions
from autodial.rules.caller_display import Look, Looks, wrong_in
from autodial.rules.calling_hours import Calendar, Hours, Usual
from autodial.rules.contact_limits import DAY, HOUR, MONTH, WEEK, Budget, DayHours, Limits, Part
from autodial.rules.dial_decision import Who
from autodial.rules.pacing import Power
from autodial.rules.phone_numbers import PhoneRules
from autodial.rules.retry import DEFAULTS, Rule
from autodial.rules.trunk_choice import Routing
from bitrix24 import StaffQuery, TaskQuery, TaskStatus

_LONGEST = 366 * 86400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _duration(text: object) -> object:
    """``"90s"``, ``"20m"``, ``"2h"``, ``"1d"``."""
    if not isinstance(text, str) or text[-1:] not in _UNITS or not text[:-1].isdigit():
        raise ValueError(f'a time is written "90s", "20m", "2h" or "1d", not {text!r}')
    seconds = int(text[:-1]) * _UNITS[text[-1]]
    if seconds > _LONGEST:
        raise ValueError(f"{text!r} is longer than a year")
    return timedelta(seconds=seconds)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name of a folder, "Europe"
        raise ValueError(f"no such time zone: {name!r}; write for example Europe/Moscow") from error
    return name


def parse_span(text: object) -> tuple[time, time] | None:
    """``"09:00-20:00"``; ``"off"`` for a day without calls; ``"00:00-24:00"`` for all day."""
    if text == "off":
        return None
    try:
        start, end = str(text).split("-")
        span = time.fromisoformat(start), time.fromisoformat("00:00" if end == "24:00" else end)
        if span[0].tzinfo or span[1].tzinfo:
            raise ValueError  # the zone is a key of its own
    except ValueError:
        raise ValueError(f'hours are written "09:00-20:00" or "off", not {text!r}') from None
    if span[1] != time(0) and span[0] >= span[1]:
        raise ValueError(f"these hours end before they begin: {text!r}")
    return span


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address or network, as 10.0.0.5 or 10.0.0.0/24"
        ) from None
    return text


def _webhook(secret: SecretStr) -> SecretStr:
    # The text must not quote it: its path is a password.
    if not re.match(r"https?://[^/]+/.+/\d+/[^/]+/?$", secret.get_secret_value()):
        raise ValueError("an incoming webhook reads https://portal.example.com/rest/1/secret/")
    return secret


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Span = Annotated[tuple[time, time] | None, BeforeValidator(parse_span)]
#: What laws and manners ask for, as data.
PRESETS = Path(__file__).parent / "presets"
_NAME = r"^[A-Za-z0-9_.-]+$"


#: What an administrator writes, and the status it means.
_STATUSES = {
    "leave": "",
    "start": TaskStatus.IN_PROGRESS.name,
    "complete": TaskStatus.DONE.name,
    "defer": TaskStatus.DEFERRED.name,
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


#: A department or a work group, by its number or its name; ``autodial groups`` lists both.
GroupName = Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1, max_length=255)]


class ApplicationConfig(_Section):
    """[portal.application]"""

    address: str = Field(pattern=r"^https?://[^/]+/?$")
    client_id: str
    client_secret: SecretStr
    tokens: Path = Path("/var/lib/autodial24/portal-tokens.json")
    server: str = Field("https://oauth.bitrix24.tech", pattern=r"^https?://")


#: What breaks the call window of the portal's desktop app is in no line's name.
_LINE_NAME = r"^[^'\\\n\r<>]*$"


class PortalConfig(_Section):
    """[portal]"""

    webhook: Annotated[SecretStr, AfterValidator(_webhook)] | None = None
    application: ApplicationConfig | None = None
    verify: bool | FilePath = True
    poll: Duration = Field(timedelta(minutes=1), ge=timedelta(seconds=1))
    walk: Duration = timedelta(minutes=15)
    requests_per_second: float = Field(10.0, gt=0, le=1000)
    line: str = Field("autodial", max_length=50)
    line_name: str = Field("АВТОДОЗВОН", max_length=255, pattern=_LINE_NAME)
    call_type: Literal["incoming", "outgoing"] = "incoming"
    when_silent: Literal["continue", "stop"] = "continue"
    silent_after: Duration = timedelta(minutes=30)
    notify: bool = False
    pool: int = Field(0, ge=0, le=50)
    call_id_field: str = Field("", pattern=r"^(UF_[A-Z0-9_]+)?$")
    zone: Annotated[str, AfterValidator(lambda name: name and _zone(name))] = ""
    executes_within: Duration = Field(timedelta(seconds=90), ge=timedelta(seconds=30))
    register_unanswered: bool = True
    comments: Literal["all", "changes", "one"] = "changes"

    @model_validator(mode="after")
    def _known(self) -> "PortalConfig":
        if (self.webhook is None) == (self.application is None):
            raise ValueError("set webhook, or [portal.application] instead of it")
        return self


class TasksConfig(_Section):
    """[tasks]"""

    tag: str | None = None
    group: GroupName | None = None
    delegate: bool = False
    when_talked: Literal["leave", "start", "complete"] = "leave"
    when_given_up: Literal["leave", "start", "complete", "defer"] = "leave"
    hand_back_to: int | None = Field(None, ge=1)
    taker_becomes_responsible: bool = True
    later: Duration = Field(timedelta(days=1), ge=timedelta(minutes=1))

    @model_validator(mode="after")
    def _named(self) -> "TasksConfig":
        if not self.tag and self.group is None:
            raise ValueError("set tag or group: all tasks of a portal are not call tasks")
        return self

    @property
    def query(self) -> TaskQuery:
        return TaskQuery(tag=self.tag, group=self.group)


class StaffConfig(_Section):
    """[staff]"""

    departments: tuple[GroupName, ...] = ()
    group: GroupName | None = None
    field: str = Field("", pattern=r"^(UF_[A-Z0-9_]+)?$")
    value: str = ""
    active_within: Duration = timedelta(minutes=24)
    working_day: Literal["ignore", "show", "require"] = "show"
    logins: bool = True
    exclude: tuple[int, ...] = ()
    order: tuple[Literal["responsible", "deputies", "anybody"], ...] = (
        "responsible", "deputies", "anybody",
    )  # fmt: skip
    deputies_field: str = Field("", pattern=r"^(ACCOMPLICES|AUDITORS|UF_[A-Z0-9_]+)?$")
    patience: Duration = timedelta(0)
    wrap_up: Duration = timedelta(0)
    deputies: Mapping[Annotated[str, Field(pattern=r"^[0-9]+$")], tuple[int, ...]] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _named(self) -> "StaffConfig":
        chosen = [bool(self.departments), self.group is not None, bool(self.field)]
        if sum(chosen) != 1:
            raise ValueError(
                "set one of departments, group, or field with value: not everybody is an operator"
            )
        if self.field and not self.value:
            raise ValueError("field needs value: what the operators have in it")
        return self

    @property
    def query(self) -> StaffQuery:
        return StaffQuery(
            departments=self.departments, group=self.group, field=self.field, value=self.value
        )

    @property
    def who(self) -> tuple[Who, ...]:
        return tuple(Who(name) for name in self.order)

    @property
    def presence(self) -> PresenceRules:
        return PresenceRules(
            active_within=self.active_within, working_day=self.working_day == "require"
        )

    @property
    def deputies_by_id(self) -> dict[OperatorId, tuple[OperatorId, ...]]:
        return {
            OperatorId(int(key)): tuple(OperatorId(n) for n in numbers)
            for key, numbers in self.deputies.items()
        }


CallerNumber = Annotated[str, Field(pattern=r"^\+?[0-9]+$")]


class TrunkConfig(_Section):
    """[[asterisk.trunks]]"""

    name: str = Field(pattern=_NAME)
    lines: int = Field(ge=1)
    calls_per_second: float | None = Field(None, gt=0, le=50)
    caller_ids: tuple[CallerNumber, ...] = ()


def _template(text: str) -> str:
    wrong = wrong_in(text)
    if wrong is not None:
        raise ValueError(wrong)
    return text


Template = Annotated[str, Field(max_length=200), AfterValidator(_template)]
#: The value of a SIP header: one line of printable ASCII.
AlertInfo = Annotated[str, Field(max_length=200, pattern=r"^[ -~]*$")]


class PhoneConfig(_Section):
    """[[asterisk.phones]]"""

    extension: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    display: Template | None = None
    ascii: bool | None = None
    alert: AlertInfo | None = None


class CallerIdConfig(_Section):
    """[[asterisk.caller_ids]]"""

    number: CallerNumber
    calls: int | None = Field(None, ge=1)
    per_day: int | None = Field(None, ge=1)


class AsteriskConfig(_Section):
    """[asterisk]"""

    spool: Path
    trunks: tuple[TrunkConfig, ...] = Field(min_length=1)
    caller_ids: tuple[CallerIdConfig, ...] = ()
    caller_id: str = Field("", pattern=r"^\+?[0-9]*$")
    number_format: Literal["digits", "plus", "national"] = "digits"
    ring_client: int = Field(30, ge=5, le=120)
    ring_operator: int = Field(20, ge=5, le=120)
    longest_call: Duration = timedelta(hours=1)
    tag: str | None = Field(None, max_length=40)
    display: Template = "{tag} {client}"
    ascii: bool = False
    alert: AlertInfo = ""
    phones: tuple[PhoneConfig, ...] = ()
    ami_host: str = "127.0.0.1"
    ami_port: int | None = Field(None, ge=1, le=65535)
    ami_user: str = "autodial"
    ami_secret: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _complete(self) -> "AsteriskConfig":
        if self.ami_port is not None and not self.ami_secret.get_secret_value():
            raise ValueError("ami_port needs ami_secret, the secret of the user in manager.conf")
        names = [trunk.name for trunk in self.trunks]
        if len(set(names)) < len(names):
            raise ValueError("two trunks have one name; give each PJSIP endpoint once")
        return self


def _address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError(f"a numeric address, as 127.0.0.1 or ::1, not {text!r}") from None
    return text


class FastAgiConfig(_Section):
    """[fastagi]"""

    host: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    port: int = Field(4573, ge=1, le=65535)
    published_port: int | None = Field(None, ge=1, le=65535)
    secret: SecretStr = SecretStr("")
    allow: tuple[Annotated[str, AfterValidator(_network)], ...] = ("127.0.0.0/8", "::1/128")
    deadline: Duration = timedelta(seconds=5)
    max_sessions: int = Field(500, ge=10)
    hot_path: bool = True

    @field_validator("secret")
    @classmethod
    def _strong(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        if text and not re.fullmatch("[A-Za-z0-9_-]{16,128}", text):
            raise ValueError(
                "at least 16 letters and digits; 'autodial secret' makes one and writes it where"
                " the dialplan needs it, too"
            )
        return secret


class PaceConfig(_Section):
    """[pace]"""

    automatic: bool = True
    shadow: bool = False
    stall_after: Duration = timedelta(minutes=5)
    calls_per_second: float = Field(1.0, gt=0, le=50)
    max_calls: int = Field(30, ge=1)
    power: float = Field(1.0, ge=1, le=5)
    abandoned_cap: float = Field(0.03, gt=0, le=0.5)
    abandoned_over: Duration = Field(timedelta(days=1), ge=timedelta(minutes=1))
    abandoned: Literal["by nobody", "in two seconds"] = "by nobody"
    abandoned_per: Literal["house", "purpose"] = "house"

    @property
    def as_power(self) -> Power:
        return Power(
            ratio=self.power,
            cap=self.abandoned_cap,
            over=self.abandoned_over,
            in_two_seconds=self.abandoned == "in two seconds",
            by_purpose=self.abandoned_per == "purpose",
        )


class HoursConfig(_Section):
    """[hours]"""

    zone: Annotated[str, AfterValidator(_zone)] = "Europe/Moscow"
    monday: Span = (time(9), time(20))
    tuesday: Span = (time(9), time(20))
    wednesday: Span = (time(9), time(20))
    thursday: Span = (time(9), time(20))
    friday: Span = (time(9), time(20))
    saturday: Span = None
    sunday: Span = None
    holiday: Span | Literal["usual"] = "usual"
    quiet: tuple[Span, ...] = ()

    def hours(self, calendar: Calendar) -> Hours:
        return Hours(
            ZoneInfo(self.zone),
            tuple(getattr(self, day) for day in DAYS),
            calendar=calendar,
            holiday=Usual.USUAL if self.holiday == "usual" else self.holiday,
            quiet=tuple(span for span in self.quiet if span is not None),
        )


def _part_of_country(code: str) -> str:
    if not (part := regions.known(code)):
        raise ValueError(
            f"no part of a country with days off of its own is known as {code!r}; write for example"
            " RU-TA, GB-ENG or US-FL"
        )
    return part


#: A part of a country, by ISO 3166-2.
RegionCode = Annotated[str, AfterValidator(_part_of_country)]
ALL_DAY = (time(0), time(0))


def _country(code: str) -> str:
    if code and code not in regions.COUNTED:
        raise ValueError(f"no public holidays are known for {code!r}; write RU, or nothing")
    return code


class CalendarConfig(_Section):
    """[calendar]"""

    country: Annotated[str, AfterValidator(_country)] = "RU"
    subdivision: Annotated[str, AfterValidator(lambda text: text.strip().upper())] = ""
    days_off: tuple[date, ...] = ()
    working_days: tuple[date, ...] = ()
    days_off_in: Mapping[RegionCode, tuple[date, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _part(self) -> "CalendarConfig":
        if self.subdivision and not regions.known(f"{self.country}-{self.subdivision}"):
            known = [one.partition("-")[2] for one in regions.of_country(self.country)]
            raise ValueError(
                f"subdivision: {self.country} has none of that name with days off of its own"
                f"{_nearest(self.subdivision, known)}"
            )
        return self

    @property
    def calendar(self) -> Calendar:
        """The house's."""
        return Calendar(
            country=self.country,
            parts=(f"{self.country}-{self.subdivision}",) if self.subdivision else (),
            days_off=self.days_off,
            working_days=self.working_days,
            days_off_in=self.days_off_in,
        )


class PartConfig(_Section):
    """[client.parts.US-FL]: what a part of a country allows; other days as ``workdays``."""

    workdays: Span = ALL_DAY
    days_off: Span = None
    saturday: Span = None
    sunday: Span = None
    holidays: Span = None
    per_hour: int | None = Field(None, ge=1)
    per_day: int | None = Field(None, ge=1)
    per_week: int | None = Field(None, ge=1)
    per_month: int | None = Field(None, ge=1)


PresetName = Literal["courtesy", "ru-230fz", "us-ftc", "us-debt", "uk-ofcom", "none"]


def preset_of(client: Mapping[str, Any]) -> dict[str, Any]:
    """What the preset says that [client] names."""
    name = client.get("preset", "courtesy")
    if name not in get_args(PresetName):
        return {}  # refused with its own sentence
    return tomllib.loads((PRESETS / f"{name}.toml").read_text(encoding="utf-8"))


class ClientConfig(_Section):
    """[client]; what is not set comes from the preset."""

    preset: PresetName = "courtesy"
    zone_field: str = Field("", pattern=r"^(UF_[A-Z0-9_]+)?$")
    spanning: str = "strictest"
    regions: tuple[RegionCode, ...] | None = None
    workdays: Span = None
    days_off: Span = None
    saturday: Span = None
    sunday: Span = None
    holidays: Span = None
    quiet: tuple[Span, ...] = ()
    per_hour: int | None = Field(None, ge=1)
    per_day: int | None = Field(None, ge=1)
    per_week: int | None = Field(None, ge=1)
    per_month: int | None = Field(None, ge=1)
    apart: Duration = timedelta(0)
    attempts: int | None = Field(None, ge=1)
    after_abandoned: Duration = timedelta(0)
    after_talk: Duration = timedelta(0)
    parts: Mapping[RegionCode, PartConfig] = Field(default_factory=dict)
    spread: Duration = timedelta(0)
    best_hours: tuple[Span, ...] = ()
    best_within: Duration = timedelta(hours=4)
    next_phone: Literal["next", "same"] = "next"
    talks: bool = True

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, said: Any) -> Any:
        if not isinstance(said, Mapping):
            return said
        preset = preset_of(said)
        preset.pop("pace", None)
        parts = said.get("parts", {})
        if not isinstance(parts, Mapping):
            return said  # refused with its own sentence
        # Who has other hours for his days off means Saturdays, Sundays and holidays, too.
        if "days_off" in said:
            for kind in ("saturday", "sunday", "holidays"):
                preset.pop(kind, None)
        mine = {regions.known(str(code)) or code: one for code, one in parts.items()}
        theirs = preset.get("parts", {})
        for code, one in mine.items():
            if isinstance(one, Mapping):
                mine[code] = {**theirs.get(code, {}), **one}
        return {**preset, **said, "parts": {**theirs, **mine}}

    @field_validator("spanning")
    @classmethod
    def _zone_or_strictest(cls, text: str) -> str:
        return text if text == "strictest" else _zone(text)

    def limits(self, calendar: Calendar, elsewhere: str) -> Limits:
        """With a calendar's holidays; ``elsewhere`` is where a client is whom nobody can place."""
        return Limits(
            hours=_day_hours(self),
            regions=self.regions,
            parts={
                code: Part(hours=_day_hours(part), per=_budgets(part))
                for code, part in self.parts.items()
            },
            quiet=tuple(span for span in self.quiet if span is not None),
            calendar=calendar,
            elsewhere=ZoneInfo(elsewhere),
            spanning=None if self.spanning == "strictest" else ZoneInfo(self.spanning),
            per=_budgets(self),
            apart=self.apart,
            attempts=self.attempts,
            after_abandoned=self.after_abandoned,
            after_talk=self.after_talk,
            best=tuple(span for span in self.best_hours if span is not None),
            best_within=self.best_within,
        )


def _day_hours(said: ClientConfig | PartConfig) -> DayHours:
    """What a kind of day has, or what it has if nothing is said of it; "off" is something."""
    own = said.model_fields_set
    as_usual = isinstance(said, PartConfig) and "days_off" not in own
    free = said.workdays if as_usual else said.days_off
    return DayHours(
        workdays=said.workdays,
        days_off=free,
        saturday=said.saturday if "saturday" in own else Usual.USUAL,
        sunday=said.sunday if "sunday" in own else Usual.USUAL,
        holidays=said.holidays if "holidays" in own else free,
    )


def _budgets(said: ClientConfig | PartConfig) -> tuple[Budget, ...]:
    spans = (
        (HOUR, said.per_hour), (DAY, said.per_day), (WEEK, said.per_week), (MONTH, said.per_month),
    )  # fmt: skip
    return tuple((span, most) for span, most in spans if most is not None)


class RulesConfig(_Section):
    """[rules]"""

    do_not_call: Path | None = None
    do_not_call_tag: str = ""
    do_not_call_field: str = Field("", pattern=r"^(UF_[A-Z0-9_]+)?$")
    consent_field: str = Field("", pattern=r"^(UF_[A-Z0-9_]+)?$")
    consent_value: str = ""

    @model_validator(mode="after")
    def _whose_value(self) -> "RulesConfig":
        if self.consent_value and not self.consent_field:
            raise ValueError("consent_value is what consent_field must hold: set that, too")
        return self


class PurposeConfig(_Section):
    """[[purposes]]"""

    name: str = Field(min_length=1, max_length=30)
    tag: str = ""
    field: str = Field("", pattern=r"^(UF_[A-Z0-9_]+)?$")
    value: str = ""
    kind: Literal["", "service", "debt", "advertising"] = ""
    confirm: bool | None = None
    display: Template | None = None
    alert: AlertInfo | None = None
    trunks: tuple[str, ...] = ()
    caller_ids: tuple[CallerNumber, ...] = ()
    line: str = Field("", max_length=50)
    line_name: str = Field("", max_length=255, pattern=_LINE_NAME)

    @model_validator(mode="after")
    def _named(self) -> "PurposeConfig":
        if self.line_name and not self.line:
            raise ValueError("line_name is the name of a line of its own: set line, too")
        if not self.tag and not (self.field and self.value):
            raise ValueError("set tag, or field and value: which tasks have this purpose")
        return self

    def means(self, tags: Collection[str], fields: Mapping[str, Collection[str]]) -> bool:
        """Is this what a task with these tags and fields is for?"""
        tagged = bool(self.tag) and self.tag.lower() in tags
        return tagged or (bool(self.field) and self.value in fields.get(self.field, ()))


def _region(code: str) -> str:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"no numbering plan is known for {code!r}; write for example RU or GB")
    return code


class PhonesConfig(_Section):
    """[phones]"""

    region: Annotated[str, AfterValidator(_region)] = "RU"
    order: tuple[str, ...] = ("MOBILE", "WORK", "HOME", "OTHER", "MAILING")
    countries: tuple[Annotated[str, AfterValidator(_region)], ...] = ()
    short: Literal["refuse", "allow"] = "refuse"
    special: tuple[Literal["premium", "shared cost", "personal", "non-geographic"], ...] = ()

    @property
    def rules(self) -> PhoneRules:
        return PhoneRules(
            region=self.region,
            order=self.order,
            countries=self.countries,
            short=self.short,
            special=self.special,
        )


class RecordingConfig(_Section):
    """[recording]"""

    folder: Path | None = None
    format: Literal["wav", "mp3"] = "wav"
    delete: bool = True


class EventsConfig(_Section):
    """[events]"""

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=1, le=65535)
    token: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _complete(self) -> "EventsConfig":
        if self.port is not None and not self.token.get_secret_value():
            raise ValueError("port needs token, the outgoing webhook's application token")
        return self


class MetricsConfig(_Section):
    """[metrics]"""

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=1, le=65535)


#: No budget looks further back (``per_month``), with a day to spare.
_BUDGETS = MONTH + DAY


class KeepConfig(_Section):
    """[store] keep: how long each kind of row is kept once it is of no more use to a rule."""

    events: Duration = Field(timedelta(days=90), ge=DAY)
    outbox: Duration = Field(timedelta(days=90), ge=DAY)
    attempts: Duration = Field(timedelta(days=366), ge=_BUDGETS)
    talks: Duration = Field(timedelta(days=40), ge=_BUDGETS)
    presence: Duration = Field(timedelta(days=366), ge=DAY)


class StoreConfig(_Section):
    """[store]"""

    path: Path = Path("/var/lib/autodial24/autodial.sqlite")
    keep: KeepConfig = KeepConfig.model_validate({})


class Config(_Section):
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
    store: StoreConfig = StoreConfig()

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, said: Any) -> Any:
        """What a law says of the pace comes with the client's preset."""
        if not isinstance(said, Mapping):
            return said
        client, pace = said.get("client", {}), said.get("pace", {})
        if not isinstance(client, Mapping) or not isinstance(pace, Mapping):
            return said
        return {**said, "pace": {**preset_of(client).get("pace", {}), **pace}}

    @model_validator(mode="after")
    def _outcomes(self) -> "Config":
        known = [outcome.value for outcome in Outcome]
        for name in self.retry:
            if name.replace("_", " ") not in known:
                raise ValueError(f"retry.{name}: no such outcome{_nearest(name, known)}")
        if self.retry.get(Outcome.WITHDRAWN.value) == ():
            raise ValueError("retry.withdrawn: nobody was called, so one wait must be given")
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
    def portal_zone(self) -> ZoneInfo:
        """By whose clock the portal keeps its tasks' dates: its server's."""
        return ZoneInfo(self.portal.zone or self.hours.zone)

    @property
    def when(self) -> Hours:
        """When the call centre works."""
        return self.hours.hours(self.calendar.calendar)

    @property
    def limits(self) -> Limits:
        """What a client may be asked to bear."""
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
                    f"purposes.{purpose.name}: no such trunk {name!r}{_nearest(name, list(known))}"
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

    def needs_word(self, purpose: PurposeConfig) -> bool:
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
                said.name: Look(template=said.display, alert=said.alert) for said in self.purposes
            },
            phones={
                said.extension: Look(template=said.display, alert=said.alert, ascii=said.ascii)
                for said in asterisk.phones
            },
        )

    @property
    def reading(self) -> str:
        """A fingerprint of what decides which tasks, fields and tags are read of the portal."""
        said = (
            self.query, self.client.zone_field, self.staff.deputies_field,
            self.rules.do_not_call_tag, self.rules.do_not_call_field,
            self.rules.consent_field, self.rules.consent_value,
            self.phones, self.purposes, self.calendar.country,
        )  # fmt: skip
        return sha256(repr(said).encode()).hexdigest()[:12]

    @property
    def routing(self) -> Routing:
        """Carriers and numbers, and what each purpose uses."""
        asterisk = self.asterisk
        return Routing(
            trunks=tuple(
                Trunk(
                    name=trunk.name,
                    lines=trunk.lines,
                    apart=timedelta(seconds=1 / trunk.calls_per_second)
                    if trunk.calls_per_second
                    else timedelta(0),
                    caller_ids=trunk.caller_ids,
                )
                for trunk in asterisk.trunks
            ),
            limits={
                said.number: NumberLimit(calls=said.calls, per_day=said.per_day)
                for said in asterisk.caller_ids
            },
            common=asterisk.caller_id,
            purposes={
                said.name: PurposeRoutes(trunks=said.trunks, caller_ids=said.caller_ids)
                for said in self.purposes
            },
        )

    @property
    def client_fields(self) -> tuple[str, ...]:
        """Fields of the CRM that say something of a client."""
        rules = self.rules
        said = (self.client.zone_field, rules.do_not_call_field, rules.consent_field)
        return tuple(name for name in said if name)

    @property
    def groups(self) -> bool:
        """Are staff or tasks chosen by a work group?"""
        return self.staff.group is not None or self.tasks.group is not None

    @property
    def telling_tags(self) -> tuple[str, ...]:
        """Tags that say something of a task."""
        said = (self.rules.do_not_call_tag, *(purpose.tag for purpose in self.purposes))
        return tuple(dict.fromkeys(tag for tag in said if tag))

    @property
    def query(self) -> TaskQuery:
        """Which tasks are call tasks, with their tags and fields if these say something."""
        tags = bool(self.telling_tags)
        fields = (self.staff.deputies_field, *(purpose.field for purpose in self.purposes))
        named = tuple(dict.fromkeys(name for name in fields if name))
        return evolve(self.tasks.query, tags=tags, fields=named)

    @property
    def telling(self) -> Telling:
        """What the portal is told besides what it is always told."""
        return Telling(
            notify=self.portal.notify,
            recording=self.recording.folder is not None,
            talked=_STATUSES[self.tasks.when_talked],
            given_up=_STATUSES[self.tasks.when_given_up],
            hand_back=self.tasks.hand_back_to or 0,
            taker=self.tasks.taker_becomes_responsible,
            word_within=self.staff.wrap_up,
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


def load(path: Path) -> Config:
    """
    Read the configuration.

    Raises:
        ConfigError: unreadable, open to others though it holds secrets, or wrong; the text names
        each key and what to do.
    """
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            said = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{path} holds secrets and others may read it: chmod 600 {path}")
    return parse(said, str(path))


def parse(said: Mapping[str, Any], name: str) -> Config:
    """Validate what the file said; raises ConfigError."""
    try:
        return Config.model_validate(said)
    except ValidationError as error:
        problems = [_problem(dict(problem)) for problem in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{name}: {problem}" for problem in problems)) from None


def _problem(problem: Mapping[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    key = ".".join(place)
    if problem["type"] == "extra_forbidden":
        return f"{key}: no such key{_nearest(place[-1], _keys(place[:-1]))}"
    if problem["type"] == "missing":
        return f"{key}: must be set"
    return f"{key or 'file'}: {str(problem['msg']).removeprefix('Value error, ')}"


def _keys(place: list[str]) -> list[str]:
    model: Any = Config
    for part in place:
        if part in getattr(model, "model_fields", {}):
            model = model.model_fields[part].annotation
            model = get_args(model)[0] if get_origin(model) is tuple else model
    return list(getattr(model, "model_fields", {}))


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
