"""The dialplan as source: what ``extensions.conf`` includes, and the globals that a site edits."""

import re
from importlib.resources import files

CONTEXTS = "autodial.conf"
GLOBALS = "autodial-globals.conf"
#: The line of ``CONTEXTS`` that names its release; it is the last one but the site's own files.
_RELEASE = re.compile(r"^\[autodial-release\]\nexten => ([0-9a-f]{8}),1,NoOp\(\)\n", re.MULTILINE)


def text(name: str) -> str:
    """One of the files, as shipped."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def release(contexts: str) -> str:
    """
    The release that a copy of ``CONTEXTS`` names, an extension of ``[autodial-release]``: so a
    running Asterisk can be asked whether it has this one. Empty: it names none.
    """
    found = _RELEASE.search(contexts)
    return found[1] if found else ""
