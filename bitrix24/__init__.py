"""
A client for the REST interface of a Bitrix24 portal, box or cloud.

Depends on Bitrix24 only, not on Asterisk or the dialler's rules. ``Portal`` has the methods we use,
named by meaning; it takes any ``send`` coroutine, so it is tested without a socket.
"""

from bitrix24.access import Access, Application, Send, Webhook
from bitrix24.errors import (
    AnswerLost,
    AnswerStrange,
    MethodResting,
    PortalClosed,
    PortalDenied,
    PortalError,
    PortalRefused,
    PortalUnavailable,
    QuestionLost,
)
from bitrix24.health import Health
from bitrix24.link import Direct, Link
from bitrix24.person import Bearer, Person, PersonMethods
from bitrix24.portal import Portal
from bitrix24.transport import RequestsTransport
from bitrix24.values import (
    CallRecord,
    Client,
    Deadline,
    Employee,
    LoginEvent,
    Phone,
    PortalTask,
    Presence,
    StaffQuery,
    TaskPage,
    TaskQuery,
    TaskStatus,
)
from bitrix24.wire import Answer, Request

__all__ = [
    "Access",
    "Answer",
    "AnswerLost",
    "AnswerStrange",
    "Application",
    "Bearer",
    "CallRecord",
    "Client",
    "Deadline",
    "Direct",
    "Employee",
    "Health",
    "Link",
    "LoginEvent",
    "MethodResting",
    "Person",
    "PersonMethods",
    "Phone",
    "Portal",
    "PortalClosed",
    "PortalDenied",
    "PortalError",
    "PortalRefused",
    "PortalTask",
    "PortalUnavailable",
    "Presence",
    "QuestionLost",
    "Request",
    "RequestsTransport",
    "Send",
    "StaffQuery",
    "TaskPage",
    "TaskQuery",
    "TaskStatus",
    "Webhook",
]
