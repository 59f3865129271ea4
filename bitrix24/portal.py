"""The portal's methods that we use, named by meaning."""

from datetime import tzinfo

from bitrix24.access import Send, Webhook
from bitrix24.calls import CallMethods
from bitrix24.comments import CommentMethods
from bitrix24.crm import ClientMethods
from bitrix24.health import HealthMethods
from bitrix24.link import Direct
from bitrix24.staff import StaffMethods
from bitrix24.tasks import TaskMethods


class Portal(TaskMethods, CommentMethods, ClientMethods, StaffMethods, CallMethods, HealthMethods):
    """
    One portal. ``Portal(Link(…))`` for a service: it retries, waits and keeps the limits;
    ``Portal.direct(…)`` tries once.
    """

    @classmethod
    def direct(cls, webhook: str, send: Send, zone: tzinfo | None = None) -> "Portal":
        return cls(Direct(Webhook(webhook), send), zone)
