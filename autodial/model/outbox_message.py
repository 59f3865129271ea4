"""Outbox messages to the portal: kinds and delivery states."""

from enum import StrEnum


class MessageKind(StrEnum):
    """What one message makes the portal do."""

    REGISTER = "register"  #: register the call, and raise its card at an operator
    MOVE = "move"  #: raise the card at another operator, and close the others
    NOTIFY = "notify"  #: a notice with a link to the task, while an operator's phone rings
    FINISH = "finish"  #: end the registered call
    RECORD = "record"  #: attach its recording
    TASK = "task"  #: the task's deadline and responsible
    COMMENT = "comment"  #: a comment in the task
    STATUS = "status"  #: the task's status


class MessageState(StrEnum):
    """The delivery state of one message."""

    PENDING = "pending"  #: to be sent
    SENDING = "sending"  #: in flight, or sent without a reply: verify before repeating it
    DELIVERED = "delivered"  #: the portal has accepted it
    VOID = "void"  #: no longer needed, never sent
    DEAD = "dead"  #: dead letter: the portal refuses it for good; a person must check it
