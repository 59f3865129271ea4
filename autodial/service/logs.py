"""
The log on stderr: lines of text for people, or JSON objects for programs. In both, foreign text can
neither add lines nor send control characters to a terminal.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    formatTime,
)
from twisted.python.failure import Failure

from autodial import texts


def text_line(event: LogEvent) -> str | None:
    """An event as one line; its traceback, if any, on lines that begin with a tab."""
    text = eventAsText(event, includeTraceback=False, includeTimestamp=False)
    if not text:
        return None
    failure = event.get("log_failure")
    trace = failure.getTraceback().splitlines() if isinstance(failure, Failure) else []
    lines = (f"{formatTime(event.get('log_time'))} {texts.escaped(text)}", *map(_indented, trace))
    return "\n".join(lines) + "\n"


def _indented(line: str) -> str:
    return "\t" + texts.escaped(line.expandtabs())


def json_line(event: LogEvent) -> str | None:
    """
    An event as a JSON object on one line. All but ASCII is escaped, which covers every character
    that a terminal obeys. ``eventAsJSON`` of Twisted is not for this: it keeps all fields, in order
    to read the event again, and they may hold phone numbers.
    """
    message, failure = formatEvent(event), event.get("log_failure")
    if not message:
        return None
    level, moment = event.get("log_level"), event.get("log_time")
    fields = {
        "time": moment and datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds"),
        "level": level.name if level is not None else "",
        "logger": str(event.get("log_namespace", "")),
    }
    if "attempt" in event:
        fields["attempt"] = str(event["attempt"])
    fields["message"] = message
    if isinstance(failure, Failure):
        fields["traceback"] = failure.getTraceback()
    return json.dumps(fields) + "\n"


#: By ``[log] format``.
FORMATS: Mapping[str, Callable[[LogEvent], str | None]] = {"text": text_line, "json": json_line}


def log_to(stream: TextIO, form: str) -> FilteringLogObserver:
    """Our events from info on; of Twisted's own, warnings only: it tells of each port."""
    level = LogLevelFilterPredicate(LogLevel.info)
    level.setLogLevelForNamespace("twisted", LogLevel.warn)
    level.setLogLevelForNamespace("log_legacy", LogLevel.warn)
    return FilteringLogObserver(FileLogObserver(stream, FORMATS[form]), [level])
