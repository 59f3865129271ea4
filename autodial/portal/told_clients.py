"""What the CRM is told of a client at once, by a command or a button: never call again."""

from collections.abc import Sequence

from autodial import texts
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.portal.client import portal_of, unconnected
from bitrix24 import PortalError


def tell_never(config: Config, owners: Sequence[tuple[str, int]], why: str) -> str:
    """
    A comment on each client, by kind and number, that nobody calls him again. Blocks. Returns why
    the CRM was not told; empty: it was, or there is nobody to tell of.
    """
    if not owners or unconnected(config):
        return ""
    said = texts.text("client.never", config.language)
    comment = f"{said}: {texts.one_line(why)}" if why else said
    portal = portal_of(config)
    try:
        for kind, number in owners:
            run_now(portal.note_on_client(kind, number, texts.bb(comment)))
    except PortalError as error:
        return str(error)
    return ""
