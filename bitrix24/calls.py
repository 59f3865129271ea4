"""Calls in the portal: the dialler's line, cards, recordings, notices to operators."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from bitrix24.asking import Asking
from bitrix24.errors import AnswerStrange, PortalDenied, PortalRefused
from bitrix24.values import CallRecord, Talk
from bitrix24.wire import Params, Row, each, readable_rows, written

#: A recording travels inside one request, a third longer than the file; PHP's own limit for a
#: request is often 64 MB.
LARGEST_RECORDING = 40_000_000


class CallMethods(Asking):
    """Telephony of the portal, as the dialler needs it."""

    async def ensure_line(self, number: str, name: str) -> None:
        """Make the dialler's own line, or set its name. The card shows the name."""
        line = {"NUMBER": number, "NAME": clean_line_name(name)}
        try:
            await self.call("telephony.externalLine.add", line)
        except PortalDenied:
            raise
        except PortalRefused:
            # "Line already exists"; the text may change, so the update decides.
            await self.call("telephony.externalLine.update", line)

    async def name_line(self, number: str, name: str) -> None:
        """Rename an existing line; the number must be sent too, or it is lost."""
        line = {"NUMBER": number, "NAME": clean_line_name(name)}
        await self.call("telephony.externalLine.update", line)

    async def register_call(  # noqa: PLR0913  # the portal's method has so many, by name
        self,
        *,
        external_id: str,
        user: int,
        phone: str,
        started: datetime,
        line: str,
        incoming: bool,
        show: bool,
        client: tuple[str, int] | None,
    ) -> str:
        """Register a call and return its CALL_ID. Safe to repeat: ``external_id`` is the key."""
        method = "telephony.externalCall.register"
        # (``incoming`` False: the portal counts no missed call.)
        params: dict[str, Any] = {
            "USER_ID": user,
            "PHONE_NUMBER": phone,
            "TYPE": 2 if incoming else 1,
            "CALL_START_DATE": written(started),
            "CRM_CREATE": 0,
            "SHOW": int(show),
            "LINE_NUMBER": line,
            "EXTERNAL_CALL_ID": external_id,
        }
        if client is not None:
            params |= {"CRM_ENTITY_TYPE": client[0], "CRM_ENTITY_ID": client[1]}
        call_id = Row(method, await self.call(method, params)).text("CALL_ID")
        if not call_id:
            raise self.refused(method, "reported success, but registered nothing")
        return call_id

    async def show_call(self, call_id: str, users: Sequence[int]) -> bool:
        """Show the card to these operators; False if the portal does not have the call."""
        result = await self.call(
            "telephony.externalCall.show", {"CALL_ID": call_id, "USER_ID": list(users)}
        )
        return bool(result)

    async def hide_call(self, call_id: str, users: Sequence[int]) -> bool:
        """Hide the card from these operators."""
        result = await self.call(
            "telephony.externalCall.hide", {"CALL_ID": call_id, "USER_ID": list(users)}
        )
        return bool(result)

    async def finish_call(
        self, call_id: str, *, user: int, seconds: int, code: str, again: bool = False
    ) -> None:
        """
        End a registered call. A call already in the statistics counts as finished; ``again``: an
        earlier request lost its answer.
        """
        try:
            await self.call(
                "telephony.externalCall.finish",
                {
                    "CALL_ID": call_id,
                    "USER_ID": user,
                    "DURATION": seconds,
                    "STATUS_CODE": code,
                    # The default is 1 in the documentation and 0 on the box.
                    "ADD_TO_CHAT": 0,
                },
            )
        except PortalDenied:
            raise
        except PortalRefused as error:
            try:
                known = await self.call_record(call_id) is not None
            except PortalDenied:
                raise
            except PortalRefused:  # no right to read the statistics
                # finish deletes the call, so "no such call" after a lost answer means success.
                known = again and error.code in ("", "ERROR_CORE")
            if not known:
                raise

    async def call_record(self, call_id: str) -> CallRecord | None:
        """The finished call, from the portal's statistics."""
        method = "voximplant.statistic.get"
        for row in readable_rows(method, await self.call(method, {"FILTER": {"CALL_ID": call_id}})):
            if row.get("CALL_ID") == call_id:
                return CallRecord(
                    call_id=call_id,
                    duration=row.number("CALL_DURATION"),
                    failed_code=row.text("CALL_FAILED_CODE"),
                )
        return None

    async def talks_since(self, mark: int | None) -> tuple[list[Talk], int | None]:
        """
        Calls with a talk in the portal's statistics after row ``mark``, at most fifty rows; and the
        last row read. ``mark`` None: the newest rows, for a start.

        Raises:
            PortalRefused: no right to read the statistics.
        """
        method = "voximplant.statistic.get"
        criteria: Params = {} if mark is None else {"FILTER": {">ID": mark}}
        order = "DESC" if mark is None else "ASC"
        result = await self.call(method, {**criteria, "SORT": "ID", "ORDER": order})
        rows = readable_rows(method, result)
        numbers = each(rows, lambda row: row.number("ID"))
        talks = []
        for row in rows:
            with suppress(AnswerStrange):  # one damaged row; the others are valid
                talks += _talk(row)
        return talks, max(numbers, default=mark)

    async def attach_recording(self, call_id: str, file: Path, size: int) -> None:
        """
        Attach a wav or mp3 file to a finished call; repeating it replaces the file.

        Raises:
            ValueError: another type of file, or too large for one request.
        """
        if file.suffix not in (".wav", ".mp3"):
            raise ValueError(f"{file.name}: the portal takes wav and mp3")
        if size > LARGEST_RECORDING:
            raise ValueError(f"{file.name}: {size} bytes are too many for one request; record mp3")
        method = "telephony.externalCall.attachRecord"
        params = {"CALL_ID": call_id, "FILENAME": file.name, "FILE_CONTENT": file}
        result = await self.call(method, params)
        if not (isinstance(result, dict) and result.get("FILE_ID")):
            raise self.refused(method, "reported success, but attached nothing")

    async def notify(self, user: int, text: str, tag: str) -> bool:
        """
        Send a notice to one user; the portal keeps one per tag, so this may be repeated. False: the
        portal did not accept it.
        """
        params = {"USER_ID": user, "MESSAGE": text, "TAG": tag}
        return bool(await self.call("im.notify.personal.add", params))


def clean_line_name(name: str) -> str:
    """
    With an apostrophe, a backslash, a line break or ``</script>`` in a line's name, the call window
    of the portal's desktop app stays empty; the portal keeps 255 characters.
    """
    return " ".join(re.sub(r"['\\<>]", "", name).split())[:255]


def _talk(row: Row) -> list[Talk]:
    """A row of the statistics, if it was answered."""
    at = row.moment("CALL_START_DATE")
    if at is None or row.number("CALL_DURATION") <= 0:
        return []
    return [
        Talk(
            id=row.number("ID"),
            number=row.text("PHONE_NUMBER"),
            user=row.number("PORTAL_USER_ID"),
            at=at,
            seconds=row.number("CALL_DURATION"),
            external=row.words("EXTERNAL_CALL_ID"),
            entity=_entity(row),
        )
    ]


def _entity(row: Row) -> tuple[str, int]:
    """The client of the call; a row without one is valid too."""
    kind, number = row.words("CRM_ENTITY_TYPE"), row.words("CRM_ENTITY_ID")
    return (kind, int(number)) if kind and re.fullmatch("[0-9]{1,15}", number) else ("", 0)
