"""A carrier, what it may carry, and what a call shows there."""

from datetime import timedelta

from attrs import frozen


@frozen
class Route:
    """One carrier to try, and the number to show there."""

    trunk: str
    caller_id: str = ""  #: empty: the site's own, from the call file or the dialplan


@frozen(kw_only=True)
class Trunk:
    """A carrier."""

    name: str
    lines: int  #: calls at once
    minimum_interval: timedelta = timedelta(0)  #: between the starts of two calls
    caller_ids: tuple[str, ...] = ()  #: numbers it may show; empty: the site's own


@frozen(kw_only=True)
class NumberLimit:
    """What one number may be shown for; None: as often as one likes."""

    calls: int | None = None  #: at once
    per_day: int | None = None  #: in any 24 hours


@frozen(kw_only=True)
class PurposeRoutes:
    """What tasks of one purpose use instead of what all tasks use; empty: the same."""

    trunks: tuple[str, ...] = ()
    caller_ids: tuple[str, ...] = ()
