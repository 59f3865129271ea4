"""The sections about Asterisk, the listening ports, recording and the store."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from autodial.config.fields import (
    NAME,
    AlertInfo,
    CallerNumber,
    Duration,
    Template,
    known_network,
    numeric_address,
)
from autodial.model.role import Role
from autodial.rules.contact_limits import DAY, MONTH


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrunkConfig(Section):
    """[[asterisk.trunks]]"""

    name: str = Field(pattern=NAME)
    lines: int = Field(ge=1)
    calls_per_second: float | None = Field(None, gt=0, le=200)
    caller_ids: tuple[CallerNumber, ...] = ()


class PhoneConfig(Section):
    """[[asterisk.phones]]"""

    extension: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    display: Template | None = None
    ascii: bool | None = None
    alert: AlertInfo | None = None


class CallerIdConfig(Section):
    """[[asterisk.caller_ids]]"""

    number: CallerNumber
    calls: int | None = Field(None, ge=1)
    per_day: int | None = Field(None, ge=1)


class AsteriskConfig(Section):
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


class FastAgiConfig(Section):
    """[fastagi]"""

    host: Annotated[str, AfterValidator(numeric_address)] = "127.0.0.1"
    port: int = Field(4573, ge=1, le=65535)
    published_port: int | None = Field(None, ge=1, le=65535)
    secret: SecretStr = SecretStr("")
    allow: tuple[Annotated[str, AfterValidator(known_network)], ...] = ("127.0.0.0/8", "::1/128")
    deadline: Duration = timedelta(seconds=5)
    max_sessions: int = Field(500, ge=10)

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


class RecordingConfig(Section):
    """[recording]"""

    folder: Path | None = None
    format: Literal["wav", "mp3"] = "wav"
    delete: bool = True


class EventsConfig(Section):
    """[events]"""

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=1, le=65535)
    token: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _complete(self) -> "EventsConfig":
        if self.port is not None and not self.token.get_secret_value():
            raise ValueError("port needs token, the outgoing webhook's application token")
        return self


class MetricsConfig(Section):
    """[metrics]"""

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=1, le=65535)


class BoardRole(Section):
    """[[board.roles]]: who in the portal is what on the board."""

    role: Role
    users: tuple[int, ...] = ()
    departments: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()


class BoardConfig(Section):
    """[board]"""

    host: str = "127.0.0.1"
    port: int = Field(8024, ge=1, le=65535)
    #: The address by which browsers reach it, behind a proxy with TLS; empty: directly.
    address: str = Field("", pattern=r"^(https?://[A-Za-z0-9.:-]+/?)?$")
    #: The client id of the portal's local application; empty: the board is not in the portal.
    application: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    #: Show a task's story and buttons in the portal's page of the task.
    task_tab: bool = True
    roles: tuple[BoardRole, ...] = ()


class HookConfig(Section):
    """[[hooks]]: another program that is told of what happened."""

    name: str = Field(pattern=NAME)
    url: str = Field(pattern=r"^https?://[^\s/]+(/\S*)?$", max_length=500)
    secret: SecretStr = Field(min_length=16)
    events: tuple[Literal["call ended", "task given up", "never call"], ...] = (
        "call ended", "task given up", "never call",
    )  # fmt: skip


class LogConfig(Section):
    """[log]"""

    format: Literal["text", "json"] = "text"


#: No budget looks further back (``per_month``), with a day to spare.
_BUDGETS = MONTH + DAY


class KeepConfig(Section):
    """[store] keep: how long each kind of row is kept once it is of no more use to a rule."""

    events: Duration = Field(timedelta(days=90), ge=DAY)
    outbox: Duration = Field(timedelta(days=90), ge=DAY)
    attempts: Duration = Field(timedelta(days=366), ge=_BUDGETS)
    external_calls: Duration = Field(timedelta(days=40), ge=_BUDGETS)
    presence: Duration = Field(timedelta(days=366), ge=DAY)
    audit: Duration = Field(timedelta(days=366), ge=DAY)


class NodeConfig(Section):
    """[node]: this dialler among those that share a store."""

    name: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,39})?$")


class StoreConfig(Section):
    """[store]"""

    path: Path = Path("/var/lib/autodial24/autodial.sqlite")
    #: postgresql+psycopg://user:password@host/name: a store that several diallers share.
    url: SecretStr = SecretStr("")

    @field_validator("url")
    @classmethod
    def _postgresql(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if text and not re.fullmatch(r"postgresql(\+psycopg)?://[^\s/]*/[^\s/?]+(\?\S*)?", text):
            # (The value holds a password: it is not shown.)
            raise ValueError("must be postgresql+psycopg://user:password@host:port/database")
        return url

    keep: KeepConfig = KeepConfig.model_validate({})
