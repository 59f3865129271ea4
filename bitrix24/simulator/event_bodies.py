"""
The bodies of events: urlencoded, with bracket keys.

They contain ids only. ``undefined`` is a literal text.
"""

from datetime import datetime
from typing import Any
from urllib.parse import quote

UNDEFINED = "undefined"
MEMBER = "a223c6b3710f85df22e9377d6c4f7553"


def event_body(event: str, data: dict[str, Any], token: str, now: datetime) -> bytes:
    """The body of one event."""
    fields: dict[str, Any] = {
        "event": event.upper(),
        "event_handler_id": 975,
        "data": data,
        "ts": int(now.timestamp()),
        "auth": {
            "domain": "portal.example.com",
            "client_endpoint": "https://portal.example.com/rest/",
            "server_endpoint": "https://oauth.example.com/rest/",
            "member_id": MEMBER,
            "application_token": token,
        },
    }
    pairs = [f"{key}={quote(value, safe='')}" for key, value in _flat("", fields)]
    return "&".join(pairs).encode()


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix, str(value))]
    return [
        pair
        for key, inner in value.items()
        for pair in _flat(f"{prefix}[{key}]" if prefix else str(key), inner)
    ]


def task_added(task: int) -> dict[str, Any]:
    return {
        "FIELDS_BEFORE": UNDEFINED, "FIELDS_AFTER": {"ID": task},
        "IS_ACCESSIBLE_BEFORE": "N", "IS_ACCESSIBLE_AFTER": UNDEFINED,
    }  # fmt: skip


def task_updated(task: int) -> dict[str, Any]:
    return {
        "FIELDS_BEFORE": {"ID": task}, "FIELDS_AFTER": {"ID": task},
        "IS_ACCESSIBLE_BEFORE": UNDEFINED, "IS_ACCESSIBLE_AFTER": UNDEFINED,
    }  # fmt: skip


def task_deleted(task: int) -> dict[str, Any]:
    return {
        "FIELDS_BEFORE": {"ID": task}, "FIELDS_AFTER": UNDEFINED,
        "IS_ACCESSIBLE_BEFORE": UNDEFINED, "IS_ACCESSIBLE_AFTER": "N",
    }  # fmt: skip


def comment_added(task: int, comment: int, *, in_chat: bool) -> dict[str, Any]:
    after = {"ID": comment, "TASK_ID": task}
    if in_chat:
        after = {"ID": 0, "MESSAGE_ID": comment, "TASK_ID": task}
    return {
        "FIELDS_BEFORE": UNDEFINED, "FIELDS_AFTER": after,
        "IS_ACCESSIBLE_BEFORE": "N", "IS_ACCESSIBLE_AFTER": UNDEFINED,
    }  # fmt: skip
