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


@pytest.mark.parametrize("name", RUSSIAN)
def test_both_languages_show_the_same_code(name: str) -> None:
    english = "dialplan/README.md" if name == "dialplan.md" else f"docs/{name}"

    assert [] == [block for block in code(f"docs/ru/{name}") if block not in code(english)]


def test_a_difference_would_be_seen() -> None:
    assert 8 <= sum(len(code(f"docs/ru/{name}")) for name in RUSSIAN)
    assert "exten => 600,1,Queue(" in "".join(code("docs/ru/dialplan.md"))
