"""The disposition that an operator gives a talk."""

from enum import Enum


class Disposition(Enum):
    """An operator's disposition of their last talk, and the digit that enters it."""

    DONE = "done"  #: the task is done
    LATER = "call later"  #: the client wants to be called again
    WRONG_NUMBER = "not his number"  #: somebody else has this number
    DO_NOT_CALL = "never again"  #: the client does not want our calls

    @property
    def code(self) -> int:
        return {
            Disposition.DONE: 1,
            Disposition.LATER: 2,
            Disposition.WRONG_NUMBER: 3,
            Disposition.DO_NOT_CALL: 9,
        }[self]
