"""
Everything the dialler raises on purpose.

A docstring here is shown to a person: it says what happened and what to do.
"""


class AutodialError(Exception):
    """Something went wrong in the autodialler."""

    def __str__(self) -> str:
        said = super().__str__()
        meaning = " ".join((self.__doc__ or "").split())
        return f"{meaning}\n{said}" if said else meaning


class ConfigError(AutodialError):
    """The configuration cannot be used; fix it and start again."""


class StoreError(AutodialError):
    """The dialler's own database cannot be used; see the text below."""


class PbxError(AutodialError):
    """Asterisk's manager interface refused us; check [asterisk] ami_* and manager.conf."""
