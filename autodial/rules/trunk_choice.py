"""
The trunks and the caller ID for a call: lines and minimum interval of a trunk, concurrent and daily
calls of a caller ID, and what each purpose may use. Pure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import phonenumbers
from attrs import field, frozen

from autodial.model.trunk import NumberLimit, PurposeRoutes, Route, Trunk


def as_dialled(number: str, form: str) -> str:
    """An E.164 number in the trunks' format: "digits", "plus" or "national"."""
    if form == "plus" or not number.startswith("+"):  # a short number is dialled as it is
        return number
    if form == "national":
        return str(phonenumbers.national_significant_number(phonenumbers.parse(number)))
    return number.lstrip("+")


def routes_tried(routes: Sequence[Route], last: str) -> Sequence[Route]:
    """An attempt's routes from the first up to the trunk with which it ended."""
    names = [route.trunk for route in routes]
    return routes[: names.index(last) + 1] if last in names else routes[:1]


@frozen(kw_only=True)
class Use:
    """The current use."""

    lines: Mapping[str, int] = field(factory=dict)  #: calls in flight by trunk
    started: Mapping[str, datetime] = field(factory=dict)  #: the last start by trunk
    shown: Mapping[str, int] = field(factory=dict)  #: calls in flight by caller ID
    in_a_day: Mapping[str, int] = field(factory=dict)  #: calls of the last 24 hours by caller ID


@frozen(kw_only=True)
class Routing:
    """A site's trunks and caller IDs."""

    trunks: tuple[Trunk, ...]
    limits: Mapping[str, NumberLimit] = field(factory=dict)  #: by caller ID
    common: str = ""  #: the caller ID if no other is configured
    purposes: Mapping[str, PurposeRoutes] = field(factory=dict)

    def free(self, use: Use, now: datetime) -> Mapping[str, tuple[Route, ...]]:
        """By purpose ("" for tasks without one): trunks with room, the preferred first."""
        return {
            name: self._routes(self.purposes.get(name, PurposeRoutes()), use, now)
            for name in ("", *self.purposes)
        }

    def _routes(self, purpose: PurposeRoutes, use: Use, now: datetime) -> tuple[Route, ...]:
        known = {trunk.name: trunk for trunk in self.trunks}
        routes = []
        for name in purpose.trunks or known:
            trunk = known[name]
            if use.lines.get(name, 0) >= trunk.lines:
                continue
            if name in use.started and now < use.started[name] + trunk.minimum_interval:
                continue
            number = self._number(purpose.caller_ids or trunk.caller_ids, use)
            if number is not None:
                routes.append(Route(name, number))
        return tuple(routes)

    def _number(self, wanted: tuple[str, ...], use: Use) -> str | None:
        """The least shown caller ID with room; None: all are used up."""
        if not wanted:
            # Empty: the dialplan's caller ID for the trunk. One with limits is set here.
            wanted = (self.common if self.common in self.limits else "",)
        free = [number for number in wanted if self._has_room(number, use)]
        return min(free, key=lambda number: use.in_a_day.get(number, 0), default=None)

    def _has_room(self, number: str, use: Use) -> bool:
        limit = self.limits.get(number, NumberLimit())
        for allowed, used in ((limit.calls, use.shown), (limit.per_day, use.in_a_day)):
            if allowed is not None and used.get(number, 0) >= allowed:
                return False
        return True
