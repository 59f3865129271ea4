"""The client of the portal, made by the configuration."""

from autodial.config.portal import PortalConfig
from autodial.config.settings import Config
from bitrix24 import (
    Access,
    Answer,
    Application,
    Direct,
    Portal,
    Request,
    RequestsTransport,
    Send,
    Webhook,
)


def access(portal: PortalConfig) -> Access:
    """How to authenticate to the portal, by the configuration."""
    if portal.webhook is not None:
        return Webhook(portal.webhook.get_secret_value())
    application = portal.application
    assert application is not None  # the configuration ensures it
    return Application(
        application.address,
        application.client_id,
        application.client_secret.get_secret_value(),
        application.tokens,
        application.server,
    )


#: In the path of the example's webhook.
PLACEHOLDER = "put-the-secret-here"


def unconnected(config: Config) -> bool:
    """Is the portal still the example's?"""
    webhook = config.portal.webhook
    return webhook is not None and PLACEHOLDER in webhook.get_secret_value()


def send_now(config: Config) -> Send:
    """Blocking requests without threads, for a command."""
    from twisted.internet import reactor

    transport = RequestsTransport(reactor, verify(config))  # type: ignore[arg-type]

    async def send(request: Request) -> Answer:
        return transport.post(request)

    return send


def portal_of(config: Config) -> Portal:
    """The portal for one command: each request is tried once."""
    return Portal(Direct(access(config.portal), send_now(config)), config.portal_zone)


def verify(config: Config) -> bool | str:
    verify = config.portal.verify
    return verify if isinstance(verify, bool) else str(verify)
