"""Comments of tasks, in the forum or the chat, and the history of changes."""

import re
from datetime import datetime
from typing import Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal
from bitrix24.simulator.event_bodies import comment_added
from bitrix24.simulator.filters import criterion, holds, ordered
from bitrix24.simulator.php import intval
from bitrix24.simulator.state import PortalState, Row
from bitrix24.simulator.tasks import CHAT, existing, may_read, remember, typed


def task_history(portal: PortalState, params: Row) -> Any:
    number = existing(portal, params)["ID"]
    rows = [
        {
            "ID": row["ID"], "CREATED_DATE": row["at"], "FIELD": row["field"],
            "USER_ID": row["user"], "from": row["from"], "to": row["to"],
        }
        for row in portal.history
        if row["task"] == number
    ]  # fmt: skip
    for prefixed, wanted in php.as_map(typed(params, "filter")).items():
        sign, name = criterion(prefixed)
        if name in ("FIELD", "USER_ID", "CREATED_DATE"):
            rows = [row for row in rows if holds(sign, row[name], wanted, portal.into)]
    rows = ordered(rows, php.as_map(typed(params, "order")) or {"ID": "asc"})
    return {"list": [_history_row(portal, row) for row in rows]}


def _history_row(portal: PortalState, row: Row) -> Row:
    user = portal.users.get(row["USER_ID"], {"NAME": "", "LAST_NAME": ""})
    return {
        "id": row["ID"],
        "createdDate": portal.out(row["CREATED_DATE"]),
        "field": row["FIELD"],
        "value": {"from": _stored(row["from"]), "to": _stored(row["to"])},
        "user": {
            "id": row["USER_ID"], "name": user["NAME"], "lastName": user["LAST_NAME"],
            "secondName": "", "login": f"user{row['USER_ID']}",
        },
    }  # fmt: skip


def _stored(value: Any) -> str:
    if isinstance(value, datetime):
        return str(int(value.timestamp()))
    return ",".join(map(str, value)) if isinstance(value, list) else php.strval(value)


def comment_add(portal: PortalState, params: Row) -> Any:
    # Arguments of task.* methods are positional, whatever their names. The portal ignores texts
    # that contain the method's own name.
    values = [value for value in params.values() if not _names_itself(value)]
    task_id, fields = [*values, None, None][:2]
    row = portal.tasks.get(intval(task_id or 0))
    if row is None or not may_read(portal, row):
        raise Refusal(
            400, "ERROR_CORE", "TASKS_ERROR_EXCEPTION_#8; Task not found or not accessible<br>"
        )
    fields = php.as_map(fields)
    text = php.strval(fields.get("POST_MESSAGE"))
    if not text or _names_itself(text):
        raise Refusal(400, "ERROR_CORE", "Message is empty<br>")
    author = intval(fields.get("AUTHOR_ID", portal.user_id))
    if author not in portal.users:
        raise Refusal(400, "ERROR_CORE", "Author not found<br>")
    if portal.comments_in_chat and portal.chats_by_hand and row["ID"] not in portal.chats:
        return 0  # the chat does not exist, and nothing was written
    return _comment(portal, row, text, author)


def comment_update(portal: PortalState, params: Row) -> Any:
    """For the forum only; a chat's messages have methods of their own."""
    task_id, item, fields = [*params.values(), None, None, None][:3]
    rows = portal.comments.get(intval(task_id or 0), [])
    row = next((row for row in rows if row["ID"] == intval(item)), None)
    if portal.comments_in_chat or row is None:
        text = "TASKS_ERROR_EXCEPTION_#256; Action not allowed or item not found<br>"
        raise Refusal(400, "ERROR_CORE", text)
    row["POST_MESSAGE"] = php.strval(php.as_map(fields).get("POST_MESSAGE"))
    return True


def _names_itself(value: Any) -> bool:
    return isinstance(value, str) and "task.commentitem.add" in value.lower()


def _comment(portal: PortalState, row: Row, text: str, author: int) -> int:
    number = portal.next_id()
    portal.comments.setdefault(row["ID"], []).append(
        {"ID": number, "POST_MESSAGE": text, "AUTHOR_ID": author, "POST_DATE": portal.now()}
    )
    remember(portal, row, "COMMENT", None, number)
    row["ACTIVITY_DATE"] = portal.now()
    event = comment_added(row["ID"], number, in_chat=portal.comments_in_chat)
    portal.emit("OnTaskCommentAdd", **event)
    return number


def comment_list(portal: PortalState, params: Row) -> Any:
    if portal.comments_in_chat:
        return []  # no refusal: comments of the chat are not in the forum
    task = portal.tasks.get(intval(next(iter(params.values()), 0)))
    if task is None or not may_read(portal, task):
        return []
    return [
        {
            "ID": str(row["ID"]),
            "AUTHOR_ID": str(row["AUTHOR_ID"]),
            "POST_MESSAGE": row["POST_MESSAGE"],
            "POST_DATE": portal.out(row["POST_DATE"]),
        }
        for row in portal.comments.get(task["ID"], [])
    ]


def chat_messages(portal: PortalState, params: Row) -> Any:
    match = re.fullmatch(r"chat(\d+)", str(params.get("DIALOG_ID", "")))
    if match is None or not portal.comments_in_chat:
        raise Refusal(403, "ACCESS_ERROR", "You do not have access to the specified dialog")
    task = int(match.group(1)) - CHAT
    if portal.chats_by_hand and task not in portal.chats:
        raise Refusal(403, "ACCESS_ERROR", "You do not have access to the specified dialog")
    rows = portal.comments.get(task, [])
    before = intval(params.get("LAST_ID")) or None
    newest = [
        {"id": row["ID"], "author_id": row["AUTHOR_ID"], "text": row["POST_MESSAGE"]}
        for row in reversed(rows)
        if before is None or row["ID"] < before
    ]
    return {"messages": newest[: intval(params.get("LIMIT", 20))], "users": [], "files": []}


def chat_send(portal: PortalState, params: Row) -> Any:
    fields = php.as_map(params.get("fields"))
    if not fields.get("taskId") or not fields.get("text"):
        raise Refusal(400, "VALIDATION_REQUESTVALIDATIONEXCEPTION", "taskId, text")
    row = portal.tasks.get(intval(fields.get("taskId")))
    if row is None or not may_read(portal, row):
        raise Refusal(400, "ENTITYNOTFOUND", "Task not found")
    portal.chats.add(row["ID"])
    _comment(portal, row, php.strval(fields["text"]), portal.user_id)
    return {"result": True}


METHODS = {
    "tasks.task.history.list": task_history,
    "task.commentitem.add": comment_add,
    "task.commentitem.update": comment_update,
    "task.commentitem.getlist": comment_list,
    "im.dialog.messages.get": chat_messages,
}
METHODS_3 = {"tasks.task.chat.message.send": chat_send}
