"""
No text from outside stands where the dialplan would take it for code.

Asterisk puts the values of variables into an expression ``$[...]`` before it parses it, and its
parser calls functions: a quotation mark in a value is enough. ``ExecIf`` and ``IF`` split at
brackets and colons in the same way, ``MSet`` at commas. So every variable that stands there is on a
list, with the reason.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: What may stand inside ``$[...]``: a pattern, and why no value of it can be code.
IN_EXPRESSIONS = {
    r"LEN\(.*\)": "a number or nothing: no code, though a bracket and a colon make it a wrong one",
    r"FIELDQTY\([A-Z_]+,[^$]*\)": "a number; it gets its text by name",
    r"ISNULL\(.*\)": "0 or 1",
    "DIALSTATUS": "a word of Dial()",
    r"IMPORT\(\$\{AD_L2\},DIALSTATUS\)": "a word of Dial()",
    "HANGUPCAUSE": "a number of Asterisk's",
    "AGISTATUS": "a word of AGI()",
    "AD_(GO|OK|ACK|SAID|RING)": "a digit of our server's, cleared before it is asked",
    "(AD_)?PLAIN": "the digit of the whitelist",
    "AD_MOST|AD_PURPOSE": "passed the whitelist",
    "AD_TECH": 'cut to "SIP 4": as far as the number it is Asterisk\'s',
    r"GROUP_COUNT\(\$\{AD_NEXT\}@autodial\)": "a number; the trunk passed the whitelist",
    r"DEVICE_STATE\(PJSIP/\$\{AD_CUR\}\)": "a word of Asterisk's; the number passed the whitelist",
    r"TRYLOCK\(adop-\$\{AD_CUR\}\)": "0 or 1; the number passed the whitelist",
    r"DIALPLAN_EXISTS\([a-z,0-9-]*\)": "0 or 1",
    # The demo's far end and the benches.
    r"CHANNEL\(pjsip,local_addr\)": "an address of this host",
    "CARRIER": "1 or 2",
    "N|LOOPS": "numbers of the bench",
}
#: What may stand in the branches of ``IF()`` and ``ExecIf()``.
IN_BRANCHES = {
    "AD_DTMF|AD_OPTO": "passed the whitelist",
    "AD_PAUSE|AD_QUEUE_TO": "a global of the site's",
}
#: What MSet() may be given.
IN_MSET = {
    "AD_MAX|AD_L2": "set by the site or by Asterisk",
    "EPOCH": "a number",
    r"IMPORT\(\$\{AD_L2\},AD_(ID|TASK|NUM|LANG)\)": "passed the whitelist on ;2",
    "AD_CUR": "passed the whitelist",
    r"IF\(.*\)": "see IN_BRANCHES",
}
#: Applications and functions that run what they are given.
FORBIDDEN = re.compile(r"\b(SHELL|EVAL|System|TrySystem|ExternalIVR|CURL|MATH)\s*\(")


def sources() -> Iterator[tuple[str, int, str]]:
    """Every line of dialplan that the project ships or shows: file, number, text."""
    files = [
        path
        for kind in ("*.conf", "*.md", "*.py")
        for path in ROOT.rglob(kind)
        if path.relative_to(ROOT).parts[0] not in ("tests", ".git", "build")
    ]
    for path in sorted(files):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            dialplan = re.match(r"\s*(exten|same)\s*=", line.strip("\"' |"))
            if dialplan or (path.suffix == ".conf" and "$[" in line and line[0] != ";"):
                yield str(path.relative_to(ROOT)), number, line


def enclosed(text: str, start: int) -> str:
    """What the bracket at ``start`` encloses."""
    closing = {"[": "]", "{": "}", "(": ")"}[text[start]]
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == text[start]) - (text[at] == closing)
        if depth == 0:
            return text[start + 1 : at]
    raise ValueError(f"no end of {text[start:]!r}")


def variables(text: str) -> list[str]:
    """The outermost ``${...}`` of a text."""
    references, at = [], 0
    while (at := text.find("${", at)) >= 0:
        references.append(enclosed(text, at + 1))
        at += len(references[-1]) + 3
    return references


def expressions(line: str) -> list[str]:
    return [enclosed(line, match.start() + 1) for match in re.finditer(r"\$\[", line)]


def branches(line: str) -> list[str]:
    """What IF() and ExecIf() choose from: all behind their question mark."""
    inside = [enclosed(line, match.end() - 1) for match in re.finditer(r"\b(ExecIf|IF)\(", line)]
    return [behind_the_condition(text) for text in inside]


def lists(line: str) -> list[str]:
    """What MSet() splits at commas."""
    return [enclosed(line, match.end() - 1) for match in re.finditer(r"\bMSet\(", line)]


def behind_the_condition(text: str) -> str:
    """What stands behind the first question mark outside of all brackets."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign in "[{(") - (sign in "]})")
        if sign == "?" and depth == 0:
            return text[at + 1 :]
    return text


def unlisted(texts: list[str], known: dict[str, str]) -> list[str]:
    names = [name for text in texts for name in variables(text)]
    return [name for name in names if not any(re.fullmatch(one, name) for one in known)]


def wrong(line: str) -> list[str]:
    """What may not stand in this line where it stands."""
    return [
        *unlisted(expressions(line), IN_EXPRESSIONS),
        *unlisted(branches(line), IN_BRANCHES),
        *unlisted(lists(line), IN_MSET),
        *FORBIDDEN.findall(line),
    ]


def test_no_text_from_outside_is_code() -> None:
    lines = list(sources())
    mistakes = [f"{file}:{number}: {bad}" for file, number, line in lines if (bad := wrong(line))]

    assert [] == mistakes
    assert {"dialplan/autodial.conf", "dialplan/README.md", "docs/fastagi.md"} <= {
        file for file, _, _ in lines
    }


def test_no_line_is_cut_by_a_comment() -> None:
    """A semicolon begins one, also inside brackets: Asterisk warns, and drops the rest."""
    executed = {
        f"{file}:{number}": re.split(r"(?<!\\);", line)[0]
        for file, number, line in sources()
        if file.endswith(".conf") and re.match(r"\s*(exten|same)\s*=", line)
    }

    assert [] == [at for at, line in executed.items() if line.count("(") != line.count(")")]


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        (' same => n,GotoIf($["${AD_CUR}" = ""]?nobody,1)', ["AD_CUR"]),
        (' same => n,GotoIf($["${FILTER(0-9,${AD_CUR})}" = "${AD_CUR}"]?x)',
         ["FILTER(0-9,${AD_CUR})", "AD_CUR"]),
        (' same => n,GotoIf($["${HANGUPCAUSE(${X},tech)}" = ""]?x)', ["HANGUPCAUSE(${X},tech)"]),
        (' same => n,ExecIf($[${LEN(${X})} > 0]?Set(Y=${X}))', ["X"]),
        (' same => n,Set(Y=${IF($[${LEN(${X})} > 0]?${X}:1)})', ["X"]),
        (" same => n,ExecIf(${ISNULL(${X})}?Set(Y=${X}))", ["X"]),
        (" same => n,Set(Y=${IF(${AD_PLAIN}?${X}:1)})", ["X"]),
        (" same => n,MSet(Y=${X},Z=${IF($[1]?a:b)})", ["X"]),
        (" same => n,System(ls)", ["System"]),
        (' same => n,GotoIf($[${LEN(${X})} = 0]?x)', []),
    ],
)  # fmt: skip
def test_the_check_sees_what_it_must(line: str, bad: list[str]) -> None:
    assert bad == wrong(line)
