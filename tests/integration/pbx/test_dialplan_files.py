"""``autodial dialplan check`` on files that a site may have."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autodial.pbx.dialplan_files import check
from dialplan import CONTEXTS, GLOBALS, text
from tests.documents import blocks

INCLUDES = f'#tryinclude "{GLOBALS}"\n#tryinclude "{CONTEXTS}"\n'


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """What ``install.sh production`` leaves."""
    (tmp_path / "extensions.conf").write_text(f"[globals]\nSITE = 1\n[phones]\n{INCLUDES}")
    for name in (CONTEXTS, GLOBALS):
        (tmp_path / name).write_text(text(name))
    (tmp_path / "autodial.d").mkdir()
    return tmp_path


def found(etc: Path) -> list[tuple[str, str, bool]]:
    problems = check(etc / "extensions.conf")
    return [(one.key, one.detail.replace(f"{etc}/", ""), one.serious) for one in problems]


def hook(etc: Path, content: str) -> None:
    (etc / "autodial.d/autodial-site.conf").write_text(content)


END = "[autodial-hook-end]\nexten => s,1"


def test_what_is_installed_and_all_documented_hooks_are_well(etc: Path) -> None:
    hook(etc, "\n".join(b for b in blocks("dialplan/README.md") if b.startswith("[autodial-hook")))

    assert [] == found(etc)


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda etc: (etc / name).write_text((etc / name).read_text().replace(old, new))


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda etc: (etc / "extensions.conf").write_text("[phones]\n"),
         [("files.missing", f'#tryinclude "{name}"', True) for name in (CONTEXTS, GLOBALS)]),
        (lambda etc: (etc / GLOBALS).unlink(),
         [("files.unreadable", f"{GLOBALS}: No such file or directory", True),
          ("files.missing", f'#tryinclude "{GLOBALS}"', True)]),
        (replace(CONTEXTS, "exten => failed,1,Hangup()", ""), []),
        (replace(CONTEXTS, "[autodial-release]", "[autodial-old]"),
         [("files.release", CONTEXTS, True)]),
        (lambda etc: hook(etc, "[autodial-answered]\nexten => s,1,NoOp()\n"),
         [("files.copy", "[autodial-answered]: autodial.d/autodial-site.conf", True)]),
        (replace(GLOBALS, "AD_WAITING = r", "AD_WAITNG = r"),
         [("files.variable", f"{GLOBALS}:32: AD_WAITNG", False)]),
        (replace(GLOBALS, ";AD_PREFIX_carrier1", "AD_PREFIX_mine"), []),
        (lambda etc: hook(etc, "[autodial-hook-dial]\nexten => s,1,Set(AD_VIA=x)\n"),
         [("files.return", "[autodial-hook-dial]", True)]),
        (lambda etc: hook(etc, "[autodial-hook-dail]\nexten => s,1,Return()\n"),
         [("files.hook", "[autodial-hook-dail]", True)]),
        (lambda etc: hook(etc, "[autodial-hook-end]\nexten => t,1,Return()\n"),
         [("files.start", "[autodial-hook-end]", True)]),
        (lambda etc: hook(etc, END + ',GotoIf($["${AD_TAG}" = "x"]?y)\n'
                               " same => n(y),Return()\n"),
         [("files.unsafe", "autodial.d/autodial-site.conf:2: ${AD_TAG}", True)]),
        (lambda etc: hook(etc, END + ',GotoIf($["${DIALSTATUS}" = "x"]?y)\n'
                               ' ; GotoIf($["${CALLERID(name)}" = "x"]?y)\n'
                               " same => n(y),Return()\n"),
         []),
    ],
)  # fmt: skip
def test_mistakes(
    etc: Path, harm: Callable[[Path], object], expected: list[tuple[str, str, bool]]
) -> None:
    harm(etc)

    assert expected == found(etc)


def test_what_a_vendor_s_sample_does_is_no_fault_of_ours(etc: Path) -> None:
    with (etc / "extensions.conf").open("a") as stream:
        stream.write('[vendor]\nexten => s,1,GotoIf($["${SUFFIX}" = "x"]?y)\n')

    assert [("files.unsafe", "extensions.conf:7: ${SUFFIX}", False)] == found(etc)


def test_files_that_include_each_other_end(etc: Path) -> None:
    hook(etc, f'#include "extensions.conf"\n#include "{GLOBALS}"\n')

    assert [] == found(etc)
