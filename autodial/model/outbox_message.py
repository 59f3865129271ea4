"""What the portal is told, and how far that is."""

from enum import StrEnum


class MessageKind(StrEnum):
    """What one message asks of the portal."""

    REGISTER = "register"  #: register the call, and raise its card at an operator
    MOVE = "move"  #: raise the card at another operator, and take down the others
    NOTIFY = "notify"  #: a notice with a link to the task, while an operator's phone rings
    FINISH = "finish"  #: end the registered call
    RECORD = "record"  #: attach its recording
    TASK = "task"  #: the task's deadline and responsible
    COMMENT = "comment"  #: a comment in the task
    STATUS = "status"  #: the task's status


class MessageState(StrEnum):
    """How far the delivery of one message is."""

    PENDING = "pending"  #: to be sent
    SENDING = "sending"  #: being sent, or sent without an answer: verify before it is repeated
    DELIVERED = "delivered"  #: the portal has taken it
    VOID = "void"  #: not wanted any more, never sent
    DEAD = "dead"  #: the portal refuses it for good: a person must look (dead letter)
