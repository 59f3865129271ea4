"""Methods that need no scope: who am I, what may I, what is there."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitrix24.simulator.portal import SimulatedPortal

Row = dict[str, Any]


def profile(portal: "SimulatedPortal", params: Row) -> Any:
    row = portal.users.get(portal.user_id, {})
    return {
        "ID": str(portal.user_id),
        "ADMIN": portal.administrator,
        "NAME": row.get("NAME", "Автодозвон"),
        "LAST_NAME": row.get("LAST_NAME", ""),
        "PERSONAL_GENDER": "",
        "TIME_ZONE": "",
    }


def scope(portal: "SimulatedPortal", params: Row) -> Any:
    return sorted(portal.scopes)


def methods(portal: "SimulatedPortal", params: Row) -> Any:
    from bitrix24.simulator.portal import METHODS

    return sorted(METHODS)


def method_get(portal: "SimulatedPortal", params: Row) -> Any:
    name = str(params.get("name", "")).lower()
    known = name in methods(portal, {})
    return {"isExisting": known, "isAvailable": known}


def server_time(portal: "SimulatedPortal", params: Row) -> Any:
    return portal.out(portal.now())


def user_admin(portal: "SimulatedPortal", params: Row) -> Any:
    return portal.administrator


def app_info(portal: "SimulatedPortal", params: Row) -> Any:
    licence = "ru_project" if portal.cloud else "ru_selfhosted"
    return {"SCOPE": sorted(portal.scopes), "LICENSE": licence}


def notify(portal: "SimulatedPortal", params: Row) -> Any:
    """Of notices with one tag the portal keeps the last."""
    tag = str(params.get("TAG") or "")
    kept = [row for row in portal.notices if not tag or row["TAG"] != tag]
    number = portal.next_id()
    text = str(params.get("MESSAGE") or "")
    kept.append({"ID": number, "USER_ID": int(params["USER_ID"]), "MESSAGE": text, "TAG": tag})
    portal.notices[:] = kept
    return number


METHODS = {
    "profile": profile,
    "scope": scope,
    "methods": methods,
    "method.get": method_get,
    "server.time": server_time,
    "user.admin": user_admin,
    "app.info": app_info,
    "im.notify.personal.add": notify,
}
