"""The sections about the portal: which tasks, which staff."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    FilePath,
    SecretStr,
    model_validator,
)

from autodial.config.fields import LINE_NAME, Duration, GroupName, known_zone, webhook_address
from autodial.config.sections import Section
from autodial.model.ids import OperatorId
from autodial.model.operator import PresenceRules
from autodial.rules.dial_facts import Who
from bitrix24 import StaffQuery, TaskQuery


class ApplicationConfig(Section):
    """[portal.application]"""

    address: str = Field(pattern=r"^https?://[^/]+/?$")
    client_id: str
    client_secret: SecretStr
    tokens: Path = Path("/var/lib/autodial24/portal-tokens.json")
    server: str = Field("https://oauth.bitrix24.tech", pattern=r"^https?://")


class PortalConfig(Section):
    """[portal]"""

    webhook: Annotated[SecretStr, AfterValidator(webhook_address)] | None = None
    application: ApplicationConfig | None = None
    verify: bool | FilePath = True
    poll: Duration = Field(timedelta(minutes=1), ge=timedelta(seconds=1))
    walk: Duration = timedelta(minutes=15)
    requests_per_second: float = Field(10.0, gt=0, le=1000)
    line: str = Field("autodial", max_length=50)
    line_name: str = Field("АВТОДОЗВОН", max_length=255, pattern=LINE_NAME)
    call_type: Literal["incoming", "outgoing"] = "incoming"
    when_silent: Literal["continue", "stop"] = "continue"
    silent_after: Duration = timedelta(minutes=30)
    notify: bool = False
    pool: int = Field(0, ge=0, le=50)
    call_id_field: str = Field("", pattern=r"^(UF_[A-Z0-9_]+)?$")
    zone: Annotated[str, AfterValidator(lambda name: name and known_zone(name))] = ""
    executes_within: Duration = Field(timedelta(seconds=90), ge=timedelta(seconds=30))
    register_unanswered: bool = True
    comments: Literal["all", "changes", "one"] = "changes"

    @model_validator(mode="after")
    def _known(self) -> "PortalConfig":
        if (self.webhook is None) == (self.application is None):
            raise ValueError("set webhook, or [portal.application] instead of it")
        return self


class TasksConfig(Section):
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


class StaffConfig(Section):
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
    wait_for_responsible: Duration = timedelta(0)
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
