"""Methods that need no scope: the user, its rights, the portal."""

from typing import Any

from bitrix24.simulator.errors import Refusal
from bitrix24.simulator.php import intval
from bitrix24.simulator.state import PortalState, Row


def profile(portal: PortalState, params: Row) -> Any:
    row = portal.users.get(portal.acting, {})
    return {
        "ID": str(portal.acting),
        "ADMIN": portal.is_administrator(portal.acting),
        "NAME": row.get("NAME", "Автодозвон"),
        "LAST_NAME": row.get("LAST_NAME", ""),
        "PERSONAL_GENDER": "",
        "TIME_ZONE": "",
    }


def scope(portal: PortalState, params: Row) -> Any:
    return sorted(portal.scopes)


def server_time(portal: PortalState, params: Row) -> Any:
    return portal.by_server(portal.now())


def user_admin(portal: PortalState, params: Row) -> Any:
    return portal.is_administrator(portal.acting)


def app_info(portal: PortalState, params: Row) -> Any:
    licence = "ru_project" if portal.cloud else "ru_selfhosted"
    general = {"SCOPE": sorted(portal.scopes), "LICENSE": licence}
    if not portal.token:
        return general
    code = portal.token_applications.get(portal.token, portal.client_id)
    return general | {"ID": 5, "CODE": code, "VERSION": 1, "STATUS": "L", "INSTALLED": True}


def notify(portal: PortalState, params: Row) -> Any:
    """The portal keeps the last notice of each tag."""
    user = intval(params.get("USER_ID"))
    if not user:
        raise Refusal(400, "USER_ID_EMPTY", "User ID can't be empty")
    if not params.get("MESSAGE"):
        raise Refusal(400, "MESSAGE_EMPTY", "Message can't be empty")
    tag = str(params.get("TAG") or "")
    kept = [row for row in portal.notices if not tag or row["TAG"] != tag]
    number = portal.next_id()
    text = str(params["MESSAGE"])
    kept.append({"ID": number, "USER_ID": user, "MESSAGE": text, "TAG": tag})
    portal.notices[:] = kept
    return number


METHODS = {
    "profile": profile,
    "scope": scope,
    "server.time": server_time,
    "user.admin": user_admin,
    "app.info": app_info,
    "im.notify.personal.add": notify,
}
