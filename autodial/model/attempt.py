"""One dialling of one phone, and what Asterisk says of it."""

from datetime import datetime

from attrs import frozen

from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.trunk import Route


@frozen(kw_only=True)
class Attempt:
    """One dialling of one phone for one task."""

    id: AttemptId
    task: TaskId
    number: str
    dtmf: str  #: the extension behind the number, sent once it has answered
    operator: OperatorId  #: reserved for it
    extension: str
    client: str
    title: str
    responsible: OperatorId
    routes: tuple[Route, ...]  #: carriers in order, with the number to show on each
    state: str
    generation: (
        int  #: the task's, when it was made: a person who moves the deadline starts a new one
    )
    purpose: str = ""  #: of its task
    own_deputies: tuple[OperatorId, ...] = ()  #: named in the task itself


@frozen(kw_only=True)
class Report:
    """What Asterisk says of an attempt when its channel goes (see dialplan/autodial.conf)."""

    stage: str  #: claim, refused, claimfail, dial
    dial_status: str = ""
    cause: int = 0  #: Q.850 hangup cause
    tech: str = ""  #: the technology's own words: "SIP 486 Busy Here"
    operator_state: str = ""  #: resolve, none, ring, talk, agifail, FORWARDED, or a DIALSTATUS
    operator: str = ""  #: the last extension rung
    answered: datetime | None = None  #: the client's answer
    talked: datetime | None = None  #: the operator's answer
    ended: datetime | None = None
    trunk: str = ""
    rang: bool = False  #: the last carrier said that the client's phone rings, or sent early media

    @property
    def talk_seconds(self) -> int:
        if self.talked is None or self.ended is None:
            return 0
        return max(0, int((self.ended - self.talked).total_seconds()))
