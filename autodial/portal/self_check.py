"""
The self-check of the portal at start: missing rights and methods are reported before use.

Findings are data: a key of the catalogue and the values for its sentence.
"""

from collections.abc import Callable
from datetime import datetime

from attrs import define, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.findings import Finding
from autodial.portal.reporter import Reporter
from bitrix24 import Health, Portal, PortalError, PortalUnavailable


def findings(health: Health) -> tuple[Finding, ...]:
    """What is wrong, serious findings first; empty: all is well."""
    problems = []
    if health.missing:
        problems.append(Finding("check.scopes", ", ".join(health.missing), True))
    if health.absent:
        problems.append(Finding("check.methods", ", ".join(health.absent), True))
    if health.blind:
        problems.append(Finding("check.blind", "", True))
    if health.lines is not None:
        problems.append(Finding("check.lines", health.lines, True))
    if not health.administrator:
        problems.append(Finding("check.administrator", str(health.user), False))
    if health.lacks:
        problems.append(Finding("check.lacks", ", ".join(health.lacks), False))
    if health.useful:
        problems.append(Finding("check.useful", ", ".join(health.useful), False))
    return tuple(problems)


async def names(config: Config, portal: Portal) -> tuple[Finding, ...]:
    """Departments, groups and tags of the configuration that the portal lacks or does not show."""
    problems = []
    for request in (portal.named(config.staff.query), portal.group_number(config.tasks.group)):
        try:
            await request
        except PortalError as error:
            problems.append(Finding("check.names", str(error), True))
    tags = config.telling_tags
    try:
        if tags and await portal.tells_tags((*tags, *filter(None, [config.tasks.tag]))) is False:
            problems.append(Finding("check.tags", ", ".join(tags), True))
    except PortalError as error:
        problems.append(Finding("check.names", str(error), True))
    return tuple(problems)


@define(eq=False)
class SelfCheck:
    """Runs once, as soon as the portal answers, and ensures the dialler's line."""

    log = Logger()

    config: Config
    portal: Portal
    reporter: Reporter
    now: Callable[[], datetime]
    done: bool = field(default=False, init=False)

    def use(self, config: Config) -> None:
        """Take over a new configuration; if it needs other things of the portal, check again."""
        old, self.config = self.config, config
        if (old.groups, old.query, old.staff) != (config.groups, config.query, config.staff):
            self.done = False

    async def turn(self) -> None:
        if self.done:
            return
        try:
            health = await self.portal.health(group=self.config.groups)
            for finding in findings(health):
                log = self.log.error if finding.serious else self.log.warn
                log("portal: {what}", what=finding.sentence(self.config.language))
            telephony = health.lines is None and "telephony" in health.scopes
            if telephony and not self.config.pace.shadow:
                await self.reporter.lines.common()
            await self.portal.look_for_keys()
        except PortalUnavailable as error:
            self.log.info("portal not checked yet: {error}", error=error)
            return
        except PortalError as error:
            self.log.error("portal: {error}", error=error)
        self.done = True
