"""The methods, and the scope that each needs."""

from collections.abc import Callable, Mapping
from typing import Any

from bitrix24.simulator import (
    comments,
    crm,
    events,
    general,
    placements,
    presence,
    staff,
    tasks,
    telephony,
)
from bitrix24.simulator.state import PortalState, Row

Method = Callable[[PortalState, Row], Any]

#: The scope that each family of methods needs. Other families need none.
_SCOPES = {
    "tasks": "task", "task": "task", "crm": "crm", "user": "user", "department": "department",
    "sonet_group": "sonet_group", "telephony": "telephony", "voximplant": "telephony", "im": "im",
    "timeman": "timeman", "main": "main",
}  # fmt: skip
#: The same for REST 3.0.
_SCOPES_3 = {"tasks": "tasks", "main": "main"}


def scope_of(method: str) -> str | None:
    """The scope that a method of the classic interface needs."""
    return _SCOPES.get(method.partition(".")[0])


def scope_of_3(method: str) -> str | None:
    """The same for a method of REST 3.0."""
    return _SCOPES_3.get(method.partition(".")[0])


def methods(portal: PortalState, params: Row) -> Any:
    return sorted([*METHODS, "batch"])


def method_get(portal: PortalState, params: Row) -> Any:
    name = str(params.get("name", "")).lower()
    there = name in methods(portal, {}) and portal.has(name)
    known = there and (portal.timeman or not name.startswith("timeman."))
    available = known and scope_of(name) in (None, *portal.scopes)
    return {"isExisting": known, "isAvailable": available}


METHODS: Mapping[str, Method] = {
    **general.METHODS,
    **tasks.METHODS,
    **comments.METHODS,
    **crm.METHODS,
    **staff.METHODS,
    **presence.METHODS,
    **telephony.METHODS,
    **events.METHODS,
    **placements.METHODS,
    "methods": methods,
    "method.get": method_get,
}
#: REST 3.0, if the portal has it: other routes, other errors.
METHODS_3: Mapping[str, Method] = {**comments.METHODS_3, **presence.METHODS_3}
#: For applications only; refused for a webhook.
APPLICATIONS_ONLY = ("event.", "placement.", "app.option.", "voximplant.user.")
