"""
What a portal can answer besides a result. The split that matters: can trying again help?

None of these carries the webhook's address: its path is the password.
"""


class PortalError(Exception):
    """Bitrix24 did not do what it was asked."""


class PortalUnavailable(PortalError):
    """Bitrix24 could not be reached or was too busy, and nothing was executed: try again later."""


class PortalBusy(PortalUnavailable):
    """A limit of the portal was reached; nothing was executed. A short pause helps."""


class PortalClosed(PortalUnavailable):
    """The portal is closed for maintenance, or we have agreed with ourselves to leave it alone."""


class MethodResting(PortalClosed):
    """One method's running time is used up; the others are answered."""


class PortalResting(PortalClosed):
    """It was closed a moment ago, and we leave it alone for a while; nothing was sent."""


class AnswerLost(PortalUnavailable):
    """The request was sent and no answer came: it may have been executed. Verify, then repeat."""


class QuestionLost(AnswerLost):
    """It only asked: whatever became of it, nothing was written."""


class GatewayLost(AnswerLost):
    """The web server before the portal gave up on it (502, 504). The portal wants to be alone."""


class AnswerStrange(PortalError):
    """Bitrix24 answered in a shape that this client does not know; a newer client may."""

    def __init__(self, method: str, field: str, problem: str) -> None:
        super().__init__(f"{method}: {field}: {problem}")
        self.method = method
        self.field = field


class PortalRefused(PortalError):
    """Bitrix24 understood the request and refused it; trying again will not help."""

    def __init__(self, code: str, description: str = "", status: int = 0) -> None:
        super().__init__(f"{code or '(no code)'}: {description}" if description else code)
        self.code = code
        self.description = description
        self.status = status


class PortalDenied(PortalRefused):
    """Bitrix24 does not let us in at all: the webhook is wrong, deleted, or its owner dismissed."""


class TokenExpired(PortalDenied):
    """The application's access token has run out; a fresh one opens the door again."""
