"""Templates, and what they show: texts in the reader's language, moments in the site's zone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from attrs import define, field
from jinja2 import Environment, PackageLoader, StrictUndefined

from autodial import texts
from autodial.board.russian import RUSSIAN
from autodial.config.settings import Config

Language = texts.Language


def language_of(accepted: str, otherwise: Language) -> Language:
    """The first of Accept-Language that the board speaks."""
    for part in accepted.split(",")[:10]:
        code = part.partition(";")[0].strip().lower()[:2]
        if code == "ru":
            return "ru"
        if code == "en":
            return "en"
    return otherwise


@define(eq=False)
class Renderer:
    """Renders templates; everything that a template shows is escaped."""

    config: Config
    _environment: Environment = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("autodial.board"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def translated(self, text: str, language: Language) -> str:
        return RUSSIAN[text] if language == "ru" else text

    def render(self, template: str, language: Language, values: Mapping[str, Any]) -> str:
        zone = ZoneInfo(self.config.hours.zone)

        def tr(text: str, **parts: object) -> str:
            return self.translated(text, language).format(**parts)

        def words(key: str | None, kind: str = "") -> str:
            whole = f"{kind}.{key}" if kind else key
            known = whole and whole in texts.CATALOGUE
            return texts.text(whole, language) if whole and known else key or ""

        def when(moment: datetime | None) -> str:
            return "-" if moment is None else f"{moment.astimezone(zone):%d.%m. %H:%M}"

        def clock(moment: datetime | None) -> str:
            return "-" if moment is None else f"{moment.astimezone(zone):%H:%M}"

        shared = {
            "tr": tr, "words": words, "when": when, "clock": clock, "span": span,
            "language": language,
        }  # fmt: skip
        return self._environment.get_template(template).render({**shared, **values})


def span(seconds: float | None) -> str:
    """Minutes and seconds, with hours where there are some; empty: unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
