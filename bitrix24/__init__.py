"""
A client for the REST interface of a Bitrix24 portal, box or cloud.

Knows Bitrix24; knows nothing of Asterisk or of the dialler's rules. ``Portal`` has the methods we
use, named by meaning; it takes any ``send`` coroutine, so it is tested without a socket.
"""

from bitrix24.errors import AnswerLost, PortalDenied, PortalError, PortalRefused, PortalUnavailable
from bitrix24.portal import Portal
from bitrix24.transport import RequestsTransport
from bitrix24.values import CallRecord, Client, Employee, Phone, PortalTask, TaskQuery
from bitrix24.wire import Answer, Request

__all__ = [
    "Answer",
    "AnswerLost",
    "CallRecord",
    "Client",
    "Employee",
    "Phone",
    "Portal",
    "PortalDenied",
    "PortalError",
    "PortalRefused",
    "PortalTask",
    "PortalUnavailable",
    "Request",
    "RequestsTransport",
    "TaskQuery",
]
