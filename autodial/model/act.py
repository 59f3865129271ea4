"""What people do to the dialler, and who they are."""

from enum import StrEnum

from attrs import frozen


class Act(StrEnum):
    """One kind of act; the values are stored."""

    PAUSE = "pause"
    RESUME = "resume"
    CALL_NOW = "call now"
    SKIP = "skip"
    UNSKIP = "unskip"
    HAND_OVER = "hand over"  #: an operator's tasks to another
    TAKE_BACK = "take back"
    POSTPONE = "postpone"  #: the deadline, in the portal
    DISPOSITION = "disposition"
    NEVER_CALL = "never call"
    MAY_CALL = "may call"
    DAY_OFF = "day off"
    WORKING_DAY = "working day"
    SEND_AGAIN = "send again"
    RELOAD = "reload"
    TEST_CALL = "test call"
    ACCOUNT = "account"  #: of the board: added, changed or removed
    TOKEN = "token"  #: of the API: added or removed


class Door(StrEnum):
    """How an act came in; the values are stored."""

    COMMAND = "command"
    PHONE = "phone"  #: a code keyed on an operator's phone
    BOARD = "board"
    PORTAL = "portal"  #: the board inside the portal
    API = "api"


@frozen
class Actor:
    """Who acts: the user of the shell, or an operator's extension, and through which door."""

    name: str
    door: Door
