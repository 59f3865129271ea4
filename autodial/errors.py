"""
The exceptions that the dialler raises.

The docstrings are shown to people: what happened and what to do.
"""


class AutodialError(Exception):
    """Something went wrong in the autodialler."""

    def __str__(self) -> str:
        detail = super().__str__()
        meaning = " ".join((self.__doc__ or "").split())
        if not detail:
            return meaning.removesuffix(":")
        return f"{meaning} {detail}" if meaning.endswith(":") else f"{meaning}\n{detail}"


class ConfigError(AutodialError):
    """The configuration cannot be used; fix it and start again."""


class StoreError(AutodialError):
    """The dialler's own database cannot be used:"""


class StoreBusy(StoreError):
    """The dialler's own database cannot be used just now:"""


class PbxError(AutodialError):
    """Asterisk's manager interface cannot be used; check [asterisk] ami_* and manager.conf:"""
