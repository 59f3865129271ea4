"""What the documents show."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(document: str) -> list[str]:
    """The code blocks of a document."""
    found: list[str] = []
    inside = False
    for row in (ROOT / document).read_text(encoding="utf-8").splitlines():
        if row.startswith("```"):
            inside = not inside
            found += [""] * inside
        elif inside:
            found[-1] += row + "\n"
    return found
