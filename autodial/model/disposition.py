"""What an operator says of a talk."""

from enum import Enum


class Word(Enum):
    """What an operator says of his last talk, and the digit he keys for it."""

    DONE = "done"  #: the task is done
    LATER = "call later"  #: the client wants to be called again
    WRONG_NUMBER = "not his number"  #: somebody else has this number
    NEVER = "never again"  #: the client does not want our calls

    @property
    def code(self) -> int:
        return {Word.DONE: 1, Word.LATER: 2, Word.WRONG_NUMBER: 3, Word.NEVER: 9}[self]
