"""A reporter whose portal is another one from now on."""

from autodial.portal.reporter import Reporter
from bitrix24 import Portal


def use_portal(reporter: Reporter, portal: Portal) -> None:
    for part in (reporter, reporter.lines, reporter._calls, reporter._tasks):
        part.portal = portal
