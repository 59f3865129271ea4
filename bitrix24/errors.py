"""
The errors of a portal, divided by whether a retry can help.

None of these contains the webhook's address: its path is the secret.
"""


class PortalError(Exception):
    """Bitrix24 did not do what was requested."""


class PortalUnavailable(PortalError):
    """Bitrix24 could not be reached or was too busy, and nothing was executed: try again later."""


class PortalBusy(PortalUnavailable):
    """A limit of the portal was reached; nothing was executed. A short pause helps."""


class PortalClosed(PortalUnavailable):
    """The portal is closed for maintenance, or we pause our requests."""


class MethodResting(PortalClosed):
    """One method's running time is used up; the others still work."""


class PortalResting(PortalClosed):
    """The portal was closed a moment ago, and we pause our requests; nothing was sent."""


class AnswerLost(PortalUnavailable):
    """The request was sent and no answer came: it may have been executed. Verify, then repeat."""


class QuestionLost(AnswerLost):
    """The lost request was a read: nothing was written."""


class GatewayLost(AnswerLost):
    """The web server before the portal timed out (502, 504). The portal needs a pause."""


class AnswerStrange(PortalError):
    """Bitrix24 answered in a format that this client does not support; a newer one may."""

    def __init__(self, method: str, field: str, problem: str) -> None:
        super().__init__(f"{method}: {field}: {problem}")
        self.method = method
        self.field = field


class PortalRefused(PortalError):
    """Bitrix24 understood the request and refused it; a retry does not help."""

    def __init__(self, code: str, description: str = "", status: int = 0) -> None:
        super().__init__(f"{code or '(no code)'}: {description}" if description else code)
        self.code = code
        self.description = description
        self.status = status


class PortalDenied(PortalRefused):
    """Bitrix24 denies all access: the webhook is wrong or deleted, or its owner is dismissed."""


class TokenExpired(PortalDenied):
    """The application's access token has expired; it must be refreshed."""
