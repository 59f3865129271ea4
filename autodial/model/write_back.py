"""The write-back settings."""

from datetime import timedelta

from attrs import frozen


@frozen(kw_only=True)
class WriteBack:
    """What is written to the portal besides the deadline, responsible, comment and call."""

    notify: bool = False  #: send the operator whose phone rings a notice with a link
    recording: bool = False  #: attach the recording, once the call is finished
    talked: str = ""  #: the task's status after a talk; empty: unchanged
    given_up: str = ""  #: the task's status after the last attempt; empty: unchanged
    hand_back: int = 0  #: the responsible's user id then; 0: unchanged
    taker: bool = True  #: the operator who talked becomes responsible
    #: How long the status after a talk waits for a disposition.
    disposition_within: timedelta = timedelta(0)
    unanswered: bool = False  #: unanswered attempts are registered in the portal after they end
    #: all: one per call; changes: only if the outcome differs from the last; one: one, updated.
    comments: str = "all"
