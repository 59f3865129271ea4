"""
A look at the portal at start: what is missing is said before it is missed.

Findings are data: a key of the catalogue and what goes into its sentence.
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
    """What is wrong, the serious first; empty: all is well."""
    found = []
    if health.missing:
        found.append(Finding("check.scopes", ", ".join(health.missing), True))
    if health.absent:
        found.append(Finding("check.methods", ", ".join(health.absent), True))
    if health.blind:
        found.append(Finding("check.blind", "", True))
    if health.lines is not None:
        found.append(Finding("check.lines", health.lines, True))
    if not health.administrator:
        found.append(Finding("check.administrator", str(health.user), False))
    if health.lacks:
        found.append(Finding("check.lacks", ", ".join(health.lacks), False))
    if health.useful:
        found.append(Finding("check.useful", ", ".join(health.useful), False))
    return tuple(found)


async def names(config: Config, portal: Portal) -> tuple[Finding, ...]:
    """Departments, groups and tags of the configuration that the portal does not have, or tell."""
    found = []
    for asked in (portal.named(config.staff.query), portal.group_number(config.tasks.group)):
        try:
            await asked
        except PortalError as error:
            found.append(Finding("check.names", str(error), True))
    tags = config.telling_tags
    try:
        if tags and await portal.tells_tags((*tags, *filter(None, [config.tasks.tag]))) is False:
            found.append(Finding("check.tags", ", ".join(tags), True))
    except PortalError as error:
        found.append(Finding("check.names", str(error), True))
    return tuple(found)


@define(eq=False)
class SelfCheck:
    """Looks once, as soon as the portal answers, and makes sure of the dialler's line."""

    log = Logger()

    config: Config
    portal: Portal
    reporter: Reporter
    now: Callable[[], datetime]
    done: bool = field(default=False, init=False)

    def use(self, config: Config) -> None:
        """From now on this is the configuration; what it asks of the portal is looked at again."""
        old, self.config = self.config, config
        if (old.groups, old.query, old.staff) != (config.groups, config.query, config.staff):
            self.done = False

    async def turn(self) -> None:
        if self.done:
            return
        try:
            health = await self.portal.health(group=self.config.groups)
            for finding in findings(health):
                tell = self.log.error if finding.serious else self.log.warn
                tell("portal: {what}", what=finding.sentence(self.config.language))
            may = health.lines is None and "telephony" in health.scopes
            if may and not self.config.pace.shadow:
                await self.reporter.ensure_line()
            await self.portal.look_for_keys()
        except PortalUnavailable as error:
            self.log.info("portal not looked at yet: {error}", error=error)
            return
        except PortalError as error:
            self.log.error("portal: {error}", error=error)
        self.done = True
