"""
What an operator's phone shows of an autodial call, and how it rings: from the site's template, the
task's purpose, and what this operator's phone can do. Pure.
"""

from collections.abc import Mapping
from string import Formatter

from anyascii import anyascii
from attrs import evolve, field, frozen

from autodial import texts

#: What a template may name.
PLACES = frozenset({"tag", "client", "task", "title"})


@frozen(kw_only=True)
class Look:
    """How a call looks and rings; None: as one step more general says."""

    template: str | None = None
    alert: str | None = None  #: Alert-Info; empty: the phone's ordinary ring
    ascii: bool | None = None  #: letters that a phone without Cyrillic can show


@frozen(kw_only=True)
class Looks:
    """A site's: in general, by purpose, by extension."""

    tag: str
    common: Look = Look(template="{tag} {client}", alert="", ascii=False)
    purposes: Mapping[str, Look] = field(factory=dict)
    phones: Mapping[str, Look] = field(factory=dict)

    @property
    def rings(self) -> bool:
        """Does the dialler say how phones ring? Otherwise AD_ALERT of the dialplan holds."""
        looks = (self.common, *self.purposes.values(), *self.phones.values())
        return any(look.alert for look in looks)

    def of(self, purpose: str, extension: str = "") -> Look:
        """The most special word counts: the phone's, then the purpose's, then the site's."""
        found = self.common
        for special in (self.purposes.get(purpose), self.phones.get(extension)):
            if special is not None:
                found = evolve(
                    found,
                    template=found.template if special.template is None else special.template,
                    alert=found.alert if special.alert is None else special.alert,
                    ascii=found.ascii if special.ascii is None else special.ascii,
                )
        return found

    def name(self, look: Look, *, client: str, task: int, title: str) -> str:
        """The caller id's name: one line, cut to what Asterisk keeps at a character's border."""
        said = (look.template or "").format(tag=self.tag, client=client, task=task, title=title)
        return texts.caller_name(anyascii(said) if look.ascii else said)


def wrong_in(template: str) -> str | None:
    """What is wrong with a template; None: nothing."""
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        return str(error)
    if any(spec or conversion for _, _, spec, conversion in parts):
        return "only names stand in braces: no : and no !"  # {tag:>999999999} would be a gigabyte
    named = [str(part[1]) for part in parts]
    unknown = sorted(set(named) - PLACES)
    if unknown:
        return f"{{{unknown[0]}}} is not known; use {', '.join(sorted(PLACES))} in braces"
    if "tag" not in named:
        return "{tag} must be in it: without the word, the call looks like any other"
    return None
