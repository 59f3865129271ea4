"""The sections about whom, when and how often: what they mean to the rules."""

from collections.abc import Collection, Mapping
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from autodial.config.fields import (
    ALL_DAY,
    DAYS,
    LINE_NAME,
    AlertInfo,
    CallerNumber,
    Duration,
    PresetName,
    RegionCode,
    Span,
    Template,
    known_country,
    known_region,
    known_zone,
    nearest,
    preset_of,
)
from autodial.config.sections import Section
from autodial.rules import regions
from autodial.rules.calling_hours import Calendar, Hours, Usual
from autodial.rules.contact_limits import DAY, HOUR, MONTH, WEEK, Budget, DayHours, Limits, Part
from autodial.rules.pacing import Pacing
from autodial.rules.phone_numbers import PhoneRules


class PaceConfig(Section):
    """[pace]"""

    automatic: bool = True
    shadow: bool = False
    stall_after: Duration = timedelta(minutes=5)
    calls_per_second: float = Field(1.0, gt=0, le=200)
    max_calls: int = Field(30, ge=1)
    dial_ratio: float = Field(1.0, ge=1, le=5)
    abandoned_cap: float = Field(0.03, gt=0, le=0.5)
    abandoned_over: Duration = Field(timedelta(days=1), ge=timedelta(minutes=1))
    abandoned: Literal["by nobody", "in two seconds"] = "by nobody"
    abandoned_per: Literal["house", "purpose"] = "house"

    @property
    def pacing(self) -> Pacing:
        return Pacing(
            ratio=self.dial_ratio,
            cap=self.abandoned_cap,
            over=self.abandoned_over,
            in_two_seconds=self.abandoned == "in two seconds",
            by_purpose=self.abandoned_per == "purpose",
        )


class HoursConfig(Section):
    """[hours]"""

    zone: Annotated[str, AfterValidator(known_zone)] = "Europe/Moscow"
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


class CalendarConfig(Section):
    """[calendar]"""

    country: Annotated[str, AfterValidator(known_country)] = "RU"
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
                f"{nearest(self.subdivision, known)}"
            )
        return self

    @property
    def calendar(self) -> Calendar:
        """When the site works."""
        return Calendar(
            country=self.country,
            parts=(f"{self.country}-{self.subdivision}",) if self.subdivision else (),
            days_off=self.days_off,
            working_days=self.working_days,
            days_off_in=self.days_off_in,
        )


class PartConfig(Section):
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


class ClientConfig(Section):
    """[client]; what is not set comes from the preset."""

    preset: PresetName = "courtesy"
    zone_field: str = Field("", pattern=r"^(UF_[A-Z0-9_]+)?$")
    ambiguous_zone: str = "strictest"
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
    minimum_interval: Duration = timedelta(0)
    attempts: int | None = Field(None, ge=1)
    after_abandoned: Duration = timedelta(0)
    after_talk: Duration = timedelta(0)
    parts: Mapping[RegionCode, PartConfig] = Field(default_factory=dict)
    jitter: Duration = timedelta(0)
    best_hours: tuple[Span, ...] = ()
    best_within: Duration = timedelta(hours=4)
    external_calls: bool = True

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        preset = preset_of(settings)
        preset.pop("pace", None)
        parts = settings.get("parts", {})
        if not isinstance(parts, Mapping):
            return settings  # refused with its own sentence
        # Other hours for days off are meant for Saturdays, Sundays and holidays, too.
        if "days_off" in settings:
            for kind in ("saturday", "sunday", "holidays"):
                preset.pop(kind, None)
        mine = {regions.known(str(code)) or code: one for code, one in parts.items()}
        theirs = preset.get("parts", {})
        for code, one in mine.items():
            if isinstance(one, Mapping):
                mine[code] = {**theirs.get(code, {}), **one}
        return {**preset, **settings, "parts": {**theirs, **mine}}

    @field_validator("ambiguous_zone")
    @classmethod
    def _zone_or_strictest(cls, text: str) -> str:
        return text if text == "strictest" else known_zone(text)

    def limits(self, calendar: Calendar, default_zone: str) -> Limits:
        """
        With a calendar's holidays; ``default_zone`` is for clients whose zone is not known.
        """
        return Limits(
            hours=_day_hours(self),
            regions=self.regions,
            parts={
                code: Part(hours=_day_hours(part), per=_budgets(part))
                for code, part in self.parts.items()
            },
            quiet=tuple(span for span in self.quiet if span is not None),
            calendar=calendar,
            default_zone=ZoneInfo(default_zone),
            ambiguous_zone=None
            if self.ambiguous_zone == "strictest"
            else ZoneInfo(self.ambiguous_zone),
            per=_budgets(self),
            minimum_interval=self.minimum_interval,
            attempts=self.attempts,
            after_abandoned=self.after_abandoned,
            after_talk=self.after_talk,
            best=tuple(span for span in self.best_hours if span is not None),
            best_within=self.best_within,
        )


def _day_hours(section: ClientConfig | PartConfig) -> DayHours:
    """The hours of each kind of day; where a key is left out, those of its usual kind."""
    own = section.model_fields_set
    as_usual = isinstance(section, PartConfig) and "days_off" not in own
    free = section.workdays if as_usual else section.days_off
    return DayHours(
        workdays=section.workdays,
        days_off=free,
        saturday=section.saturday if "saturday" in own else Usual.USUAL,
        sunday=section.sunday if "sunday" in own else Usual.USUAL,
        holidays=section.holidays if "holidays" in own else free,
    )


def _budgets(section: ClientConfig | PartConfig) -> tuple[Budget, ...]:
    spans = (
        (HOUR, section.per_hour), (DAY, section.per_day),
        (WEEK, section.per_week), (MONTH, section.per_month),
    )  # fmt: skip
    return tuple((span, most) for span, most in spans if most is not None)


class RulesConfig(Section):
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


class PurposeConfig(Section):
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
    line_name: str = Field("", max_length=255, pattern=LINE_NAME)

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


class PhonesConfig(Section):
    """[phones]"""

    region: Annotated[str, AfterValidator(known_region)] = "RU"
    order: tuple[str, ...] = ("MOBILE", "WORK", "HOME", "OTHER", "MAILING")
    countries: tuple[Annotated[str, AfterValidator(known_region)], ...] = ()
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
