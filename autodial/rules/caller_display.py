"""
The caller name and ring of an autodial call on an operator's phone: from the site's template, the
task's purpose, and the phone's abilities. Pure.
"""

from collections.abc import Mapping
from string import Formatter

from anyascii import anyascii
from attrs import evolve, field, frozen

from autodial import texts

#: Names allowed in a template.
PLACES = frozenset({"tag", "client", "task", "title"})


@frozen(kw_only=True)
class Look:
    """How a call looks and rings; None: inherited from the more general level."""

    template: str | None = None
    alert: str | None = None  #: Alert-Info; empty: the phone's ordinary ring
    ascii: bool | None = None  #: transliterated, for a phone without Cyrillic


@frozen(kw_only=True)
class Looks:
    """A site's looks: common, by purpose, by extension."""

    tag: str
    common: Look = Look(template="{tag} {client}", alert="", ascii=False)
    purposes: Mapping[str, Look] = field(factory=dict)
    phones: Mapping[str, Look] = field(factory=dict)

    @property
    def rings(self) -> bool:
        """Whether the dialler sets the ring. Otherwise the dialplan's AD_ALERT applies."""
        looks = (self.common, *self.purposes.values(), *self.phones.values())
        return any(look.alert for look in looks)

    def of(self, purpose: str, extension: str = "") -> Look:
        """The most specific setting wins: the phone's, then the purpose's, then the site's."""
        look = self.common
        for special in (self.purposes.get(purpose), self.phones.get(extension)):
            if special is not None:
                look = evolve(
                    look,
                    template=look.template if special.template is None else special.template,
                    alert=look.alert if special.alert is None else special.alert,
                    ascii=look.ascii if special.ascii is None else special.ascii,
                )
        return look

    def name(self, look: Look, *, client: str, task: int, title: str) -> str:
        """The caller name: one line, cut between characters to the length that Asterisk keeps."""
        text = (look.template or "").format(tag=self.tag, client=client, task=task, title=title)
        return texts.caller_name(anyascii(text) if look.ascii else text)


def wrong_in(template: str) -> str | None:
    """The error in a template; None: it is valid."""
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
        return "{tag} must be in it: without the tag, the call looks like any other"
    return None
