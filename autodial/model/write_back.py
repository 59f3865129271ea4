"""What the portal is told."""

from datetime import timedelta

from attrs import frozen


@frozen(kw_only=True)
class WriteBack:
    """What the portal is told besides the deadline, the responsible, the comment and the call."""

    notify: bool = False  #: a notice with a link to the operator whose phone rings
    recording: bool = False  #: the recording, once the call is finished
    talked: str = ""  #: the status a task is brought to after a talk; empty: left alone
    given_up: str = ""  #: and when the dialler is through with it
    hand_back: int = 0  #: whose a task becomes then, the portal's user id; 0: it stays
    taker: bool = True  #: who talked becomes responsible
    disposition_within: timedelta = timedelta(
        0
    )  #: the status after a talk waits for a word so long
    #: Attempts that nobody answered are registered in the portal, too, after their end.
    unanswered: bool = False
    #: all: one a call; changes: none where a call ended as the one before; one: kept up to date.
    comments: str = "all"
