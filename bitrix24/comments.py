"""Comments of a task: in its forum, in its chat, or by REST 3.0 with a key."""

import re
from collections.abc import Sequence
from typing import Any

from bitrix24.asking import Asking
from bitrix24.errors import PortalDenied, PortalRefused
from bitrix24.wire import Ref, Row, count, plain, readable_rows

#: Messages of a chat that are searched for one of ours, in total and per request.
_LOOKED_THROUGH, _MESSAGES = 1000, 50
_SEND = "tasks.task.chat.message.send"
_CHAT = "im.dialog.messages.get"
#: The key was used before with another text: the first comment stays.
_REUSED = "IDEMPOTENCYKEYREUSED"


class CommentMethods(Asking):
    """Comments of the portal's tasks, as the dialler needs them."""

    #: Does REST 3.0 accept comments here and honour idempotency keys? See ``look_for_keys``.
    keyed = False

    async def look_for_keys(self) -> None:
        """
        Send a comment without a text and check the kind of refusal: boxes before REST 3.0 do not
        have the method. The first real comment shows whether keys are honoured.
        """
        try:
            await self.call(_SEND, {"fields": {}}, rest3=True)
        except PortalDenied:
            raise
        except PortalRefused as error:
            self.keyed = "VALIDATION" in error.code

    async def add_keyed_comment(self, task_id: int, text: str, key: str) -> bool:
        """
        Write one comment that the portal recognizes by its key for 24 hours: the same text with the
        same key is safe to repeat once the first request can no longer be in flight. False: this
        portal does not honour keys; the comment is written, and ``keyed`` is switched off.
        """
        params = {"fields": {"taskId": task_id, "text": text}}
        try:
            reply = await self._line.call(_SEND, params, rest3=True, key=key)
        except PortalRefused as error:
            if _REUSED in error.code:
                return True
            raise
        if not (isinstance(reply.result, dict) and reply.result.get("result")):
            raise self.refused(_SEND, "reported success, but wrote nothing")
        self.keyed = reply.key == key
        return self.keyed

    async def add_comment(self, task_id: int, text: str) -> int:
        """
        Write one comment and return its number; 0: not known. Not repeatable: verify with
        ``find_comment`` after a lost answer.
        """
        method = "task.commentitem.add"
        # Arguments of task.* methods are positional: the order of these keys matters.
        params = {"TASKID": task_id, "FIELDS": {"POST_MESSAGE": text}}
        try:
            written = _number(await self.call(method, params))
            if not written:
                # The task's chat does not exist yet: requesting its number creates it.
                select = ["ID", "CHAT_ID"]
                await self.call("tasks.task.get", {"taskId": task_id, "select": select})
                written = _number(await self.call(method, params))
        except PortalRefused as error:
            if error.code != "ERROR_METHOD_NOT_FOUND":
                raise
            fields = {"taskId": task_id, "text": text}
            result = await self.call(_SEND, {"fields": fields}, rest3=True)
            if not (isinstance(result, dict) and result.get("result")):
                raise self.refused(_SEND, "reported success, but wrote nothing") from None
            return 0
        if not written:
            raise self.refused(
                method, "the task has no chat, so nothing was written: open the task in the portal"
            )
        return written

    async def edit_comment(self, task_id: int, comment: int, text: str) -> None:
        """Replace the text of a forum comment. PortalRefused: no forum, or it is gone."""
        method = "task.commentitem.update"
        result = await self.call(
            method, {"TASKID": task_id, "ITEMID": comment, "FIELDS": {"POST_MESSAGE": text}}
        )
        if result is False or result == 0:
            raise self.refused(method, "reported success, but changed nothing")

    async def find_comment(self, task_id: int, marker: str) -> int | None:
        """
        The number of the task's comment that contains ``marker``; None: there is none.

        Raises:
            PortalRefused: no right to read the place where it would be.
        """
        results = await self.batch_of_each(
            {
                "task": ("tasks.task.get", {"taskId": task_id, "select": ["ID", "CHAT_ID"]}),
                "forum": ("task.commentitem.getlist", {"TASKID": task_id}),
                "chat": (
                    _CHAT,
                    {"DIALOG_ID": Ref("chat$result[task][task][chatId]"), "LIMIT": _MESSAGES},
                ),
            }
        )
        for trouble in results.values():
            if isinstance(trouble, PortalDenied) or (
                isinstance(trouble, Exception) and not isinstance(trouble, PortalRefused)
            ):
                raise trouble
        task, forum, chat = results["task"], results["forum"], results["chat"]
        of_task = task.get("task") if isinstance(task, dict) else None
        number = plain(of_task.get("chatId")) if isinstance(of_task, dict) else ""
        if isinstance(chat, PortalRefused):
            # Where there is a chat the forum is empty and proves nothing.
            if number not in ("", "0") or isinstance(forum, PortalRefused):
                raise PortalRefused(
                    chat.code,
                    "whether the comment is in the task's chat cannot be seen: give the webhook the"
                    f" scope im ({chat})",
                    chat.status,
                )
        else:
            comment = await self._in_chat(f"chat{number}", chat, marker)
            if comment is not None:
                return comment
        if isinstance(forum, PortalRefused):
            return None
        return _holding(readable_rows("task.commentitem.getlist", forum), marker)

    async def _in_chat(self, dialog: str, result: Any, marker: str) -> int | None:
        """The newest messages first, page by page."""
        for _ in range(_LOOKED_THROUGH // _MESSAGES):
            rows = readable_rows(_CHAT, Row(_CHAT, result).need("messages"), "messages")
            comment = _holding(rows, marker)
            numbers = [row.number("id") for row in rows]
            if comment is not None or len(rows) < _MESSAGES:
                return comment
            oldest = {"DIALOG_ID": dialog, "LAST_ID": min(numbers), "LIMIT": _MESSAGES}
            result = await self.call(_CHAT, oldest)
        return None


def _number(value: Any) -> int:
    """A comment's number; 0, false and null mean that nothing was written."""
    text = plain(value).strip()
    return int(text) if re.fullmatch("[0-9]{1,16}", text) else 0


def _holding(rows: Sequence[Row], marker: str) -> int | None:
    for row in rows:
        if marker in (row.words("POST_MESSAGE") or row.words("text")):
            return count(_number(row.words("ID") or row.words("id"))) or 0
    return None
