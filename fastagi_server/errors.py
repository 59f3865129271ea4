"""What can go wrong in an AGI conversation, by what the caller can do about it."""


class AgiError(Exception):
    """Something went wrong while talking AGI with Asterisk."""


class WireError(AgiError):
    """The peer sent something that is not AGI; the session cannot go on."""


class CallEnded(AgiError):
    """The connection is gone, so no answer will come: the caller hung up or Asterisk stopped."""


class SessionTimeout(CallEnded):
    """The session exceeded its deadline and was closed, so that no caller waits in silence."""


class UnknownScript(AgiError):
    """The dialplan requested a path that the server does not have."""


class NotAuthenticated(AgiError):
    """The peer does not have the secret that our Asterisk has; it gets no information."""


class CommandRefused(AgiError):
    """The command cannot be sent: its text would break AGI's framing or its length limit."""


class CommandFailed(AgiError):
    """Asterisk answered with an error; ``code`` is 510, 511 or 520."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code = code
        self.detail = detail


class ActionFailed(AgiError):
    """Asterisk understood and failed: the caller has hung up, or the target does not exist."""


class UnknownApplication(ActionFailed):
    """Asterisk has no dialplan application of this name; is its module loaded?"""


class DeadChannel(CommandFailed):
    """511: the channel has hung up and this command needs a live one."""


class UnknownCommand(CommandFailed):
    """510: this Asterisk does not have the command."""


class UsageError(CommandFailed):
    """520: the command's arguments are wrong; ``detail`` holds Asterisk's usage text."""
