"""One dialling of one phone, and the report that Asterisk sends about it."""

from datetime import datetime

from attrs import frozen

from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.trunk import Route


@frozen(kw_only=True)
class Attempt:
    """One dialling of one phone for one task."""

    id: AttemptId
    task: TaskId
    number: str
    dtmf: str  #: the extension behind the number, sent once it has answered
    operator: OperatorId  #: chosen for it, and reserved unless it is overdialled
    extension: str
    client: str
    title: str
    responsible: OperatorId
    routes: tuple[Route, ...]  #: trunks in order, with the caller ID for each
    state: State
    generation: int  #: of the task at the start; moving the deadline by hand starts a new one
    purpose: str = ""  #: of the task
    own_deputies: tuple[OperatorId, ...] = ()  #: named in the task itself
    node: str = ""  #: the dialler whose Asterisk dials it, among those that share a store


@frozen(kw_only=True)
class Report:
    """What Asterisk reports about an attempt when its channel ends (see dialplan/autodial.conf)."""

    #: claim, refused, claimfail, dial; of an attempt that was given up, the reason.
    stage: str
    dial_status: str = ""
    cause: int = 0  #: Q.850 hangup cause
    tech: str = ""  #: the technology's own status: "SIP 486 Busy Here"
    operator_state: str = ""  #: resolve, none, ring, talk, agifail, FORWARDED, or a DIALSTATUS
    operator: str = ""  #: the last extension rung
    answered: datetime | None = None  #: the client's answer
    talked: datetime | None = None  #: the operator's answer
    ended: datetime | None = None
    trunk: str = ""
    rang: bool = False  #: the last trunk signalled ringing or sent early media

    @property
    def talk_seconds(self) -> int:
        if self.talked is None or self.ended is None:
            return 0
        return max(0, int((self.ended - self.talked).total_seconds()))
