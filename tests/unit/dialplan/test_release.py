"""A running Asterisk can be asked whether it has this release of the dialplan."""

from hashlib import sha1

from dialplan import CONTEXTS, GLOBALS, release, text


def of(contexts: str) -> str:
    """The release that a text should name: its lines without comments, and without itself."""
    named = release(contexts)
    lines = [line.strip() for line in contexts.splitlines()]
    kept = [
        line for line in lines if line and line[0] != ";" and line != f"exten => {named},1,NoOp()"
    ]
    return sha1("\n".join(kept).encode(), usedforsecurity=False).hexdigest()[:8]


def test_a_change_of_the_dialplan_is_a_new_release() -> None:
    ours = text(CONTEXTS)

    assert of(ours) == release(ours), "write this into [autodial-release] of autodial.conf"


def test_a_comment_is_none() -> None:
    ours = text(CONTEXTS)

    assert of(ours) == of(f"; a word\n{ours}\n\n  ; another\n")
    assert of(ours) != of(ours.replace("exten => failed,1,Hangup()", "exten => failed,1,NoOp()"))


def test_a_file_of_somebody_else_names_no_release() -> None:
    assert "" == release(text(GLOBALS))
