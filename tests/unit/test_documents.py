"""The Russian documents have the same code as the English ones, which other tests run."""

import re
from pathlib import Path

import pytest

from tests.documents import blocks

ROOT = Path(__file__).parents[2]
RUSSIAN = sorted(path.name for path in (ROOT / "docs/ru").glob("*.md"))
COMMENT = re.compile(r"\s*(?:;|#|//).*")


def code(document: str) -> list[str]:
    """The code blocks of a document, without their comments, which are translated."""
    return [
        "\n".join(kept for row in block.splitlines() if (kept := COMMENT.sub("", row)).strip())
        for block in blocks(document)
    ]


def headings(document: str) -> list[str]:
    """The levels of its headings, in order."""
    text = re.sub(r"(?ms)^```.*?^```", "", (ROOT / document).read_text(encoding="utf-8"))
    return re.findall(r"(?m)^(#+) ", text)


@pytest.mark.parametrize("name", RUSSIAN)
def test_both_languages_have_the_same_parts(name: str) -> None:
    english = "dialplan/README.md" if name == "dialplan.md" else f"docs/{name}"

    assert sorted(headings(english)) == sorted(headings(f"docs/ru/{name}"))
    assert sorted(code(english)) == sorted(code(f"docs/ru/{name}"))


def test_a_difference_would_be_seen() -> None:
    assert 8 <= sum(len(code(f"docs/ru/{name}")) for name in RUSSIAN)
    assert "exten => 600,1,Queue(" in "".join(code("docs/ru/dialplan.md"))
