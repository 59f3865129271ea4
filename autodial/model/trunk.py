"""A trunk, its limits, and its caller IDs."""

from datetime import timedelta

from attrs import frozen


@frozen
class Route:
    """One trunk to try, and the caller ID to show on it."""

    trunk: str
    caller_id: str = ""  #: empty: the site's, from the call file or the dialplan


@frozen(kw_only=True)
class Trunk:
    """A trunk: a route out."""

    name: str
    lines: int  #: concurrent calls
    minimum_interval: timedelta = timedelta(0)  #: between the starts of two calls
    caller_ids: tuple[str, ...] = ()  #: caller IDs it may show; empty: the site's


@frozen(kw_only=True)
class NumberLimit:
    """Limits of one caller ID; None: unlimited."""

    calls: int | None = None  #: concurrent
    per_day: int | None = None  #: in any 24 hours


@frozen(kw_only=True)
class PurposeRoutes:
    """Trunks and caller IDs for one purpose; empty: those of all tasks."""

    trunks: tuple[str, ...] = ()
    caller_ids: tuple[str, ...] = ()
