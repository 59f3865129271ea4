"""
A call file as a value: one call for Asterisk's pbx_spool, and its text.

Rendering refuses what the format cannot carry. The format ends a value at a newline (the rest
would be the next key: an injection), at ``;`` and at `` #``, and skips a whole line of more than
1,022 bytes. A call file contains nothing typed by a person, so there is no escaping.
"""

import re
from collections.abc import Mapping

from attrs import Factory, frozen

#: pbx_spool.c reads into 1,024 bytes and skips a line of more than 1,022 and its newline.
MAX_LINE = 1022
#: A file left after a crash of Asterisk is dialled again at its mtime: now + 2 x this. With a day
#: that is two days later; the clean-up at start removes the file long before.
RETRY_TIME = 86_400

#: Names of our files.
FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIABLE = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9_]*")


class CallFileError(ValueError):
    """This call file cannot be written: the format cannot carry a value."""


@frozen(kw_only=True)
class CallFile:
    """One call to place, without retries: those are decided by the dialler."""

    name: str  #: never reused: a name used twice loses or repeats calls
    channel: str  #: Tech/destination, for example Local/442079460000@autodial-out/n
    context: str  #: where the answered call goes, at extension ``s``, priority 1
    wait: int  #: seconds until the answer, including claim and trunk fail-over
    caller_id: str = ""  #: number shown to the client's network; never a name
    variables: Mapping[str, str] = Factory(dict)

    def render(self) -> str:
        """
        The file's text.

        Raises:
            CallFileError: a name or value that the format cannot carry.
        """
        if not FILE_NAME.fullmatch(self.name):
            raise CallFileError(f"not a file name of letters, digits, - and _: {self.name!r}")
        if "/" not in self.channel:
            raise CallFileError(f"a channel is written Tech/destination, not {self.channel!r}")
        if self.wait < 1:
            raise CallFileError(f"WaitTime of {self.wait} s would be read as 45 s")
        if self.caller_id and not re.fullmatch(r"\+?[0-9]{1,30}", self.caller_id):
            raise CallFileError(f"the caller id is a number, not {self.caller_id!r}")
        rows = [
            ("Channel", self.channel),
            *([("CallerID", f"<{self.caller_id}>")] if self.caller_id else []),
            ("WaitTime", str(self.wait)),
            ("MaxRetries", "0"),
            ("RetryTime", str(RETRY_TIME)),
            ("Context", self.context),
            ("Extension", "s"),
            ("Priority", "1"),
            *(("Setvar", _assignment(key, value)) for key, value in self.variables.items()),
        ]
        return "".join(_line(key, value) for key, value in rows)


def _assignment(name: str, value: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise CallFileError(f"not a variable's name: {name!r}")
    return f"{name}={value}"


def _line(key: str, value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f;]|(?:^|\s)#|\s$", value):
        raise CallFileError(f"{key} cannot hold {value!r}")
    line = f"{key}: {value}"
    if len(line.encode("utf-8", "surrogateescape")) > MAX_LINE:
        raise CallFileError(f"{key} is longer than {MAX_LINE} bytes; Asterisk would skip it")
    return line + "\n"
