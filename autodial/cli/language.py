"""
The language of the commands: that of the terminal's locale; if that is neither Russian nor English
(``C``, ``POSIX``, unset), that of the configuration.

The code holds the English text; ``russian.RUSSIAN`` has the other by it, as a catalogue of gettext
would. Validation errors of the configuration, and logs, are English.
"""

import os

import click

from autodial import texts
from autodial.cli.russian import RUSSIAN

_KEY = "autodial.language"


def use(configured: texts.Language) -> None:
    """The configuration is read: its language counts, unless the locale has one."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_KEY] = configured


def spoken() -> texts.Language:
    """The language to print."""
    locale = next(
        (value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), ""
    )
    match locale.partition("_")[0].partition(".")[0].lower():
        case "ru":
            return "ru"
        case "en":
            return "en"
    context = click.get_current_context(silent=True)
    configured: texts.Language = context.meta.get(_KEY, "en") if context is not None else "en"
    return configured


def tr(english: str, **values: object) -> str:
    """A text of the program in the language spoken; ``values`` fill its ``{places}``."""
    text = RUSSIAN[english] if spoken() == "ru" else english
    return text.format(**values) if values else text
