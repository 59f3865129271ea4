"""
Over which carriers a call may go, and which number its client sees: lines and pace of a carrier,
calls of a number at once and in a day, and what each purpose may use. Pure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import phonenumbers
from attrs import field, frozen

from autodial.model.trunk import NumberLimit, PurposeRoutes, Route, Trunk


def as_dialled(number: str, form: str) -> str:
    """An E.164 number as the trunks want it: "digits", "plus" or "national"."""
    if form == "plus" or not number.startswith("+"):  # a short number is dialled as it is
        return number
    if form == "national":
        return str(phonenumbers.national_significant_number(phonenumbers.parse(number)))
    return number.lstrip("+")


def routes_tried(routes: Sequence[Route], last: str) -> Sequence[Route]:
    """Of an attempt's routes: the first, and those after it up to the carrier it ended with."""
    names = [route.trunk for route in routes]
    return routes[: names.index(last) + 1] if last in names else routes[:1]


@frozen(kw_only=True)
class Use:
    """What is in use now."""

    lines: Mapping[str, int] = field(factory=dict)  #: calls under way by carrier
    started: Mapping[str, datetime] = field(factory=dict)  #: the last start by carrier
    shown: Mapping[str, int] = field(factory=dict)  #: calls under way by number shown
    in_a_day: Mapping[str, int] = field(factory=dict)  #: and of the last 24 hours


@frozen(kw_only=True)
class Routing:
    """A site's carriers and numbers."""

    trunks: tuple[Trunk, ...]
    limits: Mapping[str, NumberLimit] = field(factory=dict)  #: by number
    common: str = ""  #: the number shown where nothing else is said
    purposes: Mapping[str, PurposeRoutes] = field(factory=dict)

    def free(self, use: Use, now: datetime) -> Mapping[str, tuple[Route, ...]]:
        """By purpose ("" for tasks without one): carriers with room, the preferred first."""
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
        """The number shown least of those with room; None: all are spent."""
        if not wanted:
            # The dialplan may have one of its own for the carrier, unless this one is counted.
            wanted = (self.common if self.common in self.limits else "",)
        free = [number for number in wanted if self._has_room(number, use)]
        return min(free, key=lambda number: use.in_a_day.get(number, 0), default=None)

    def _has_room(self, number: str, use: Use) -> bool:
        limit = self.limits.get(number, NumberLimit())
        for most, used in ((limit.calls, use.shown), (limit.per_day, use.in_a_day)):
            if most is not None and used.get(number, 0) >= most:
                return False
        return True
