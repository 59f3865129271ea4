"""Portal tasks and clients as the store wants them: purposes, marks, phones that may be dialled."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from attrs import define, evolve, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.rules.phone_fields import Entry
from autodial.rules.phone_numbers import dialable
from autodial.store.tasks import Imported
from bitrix24 import Client, PortalTask
from bitrix24.values import Phone as PortalPhone

#: Field values that mean no.
NO = frozenset({"", "0", "n", "false", "нет"})
#: Field values that mean yes where an explicit yes is needed; the date of the consent also counts.
YES = frozenset({"1", "y", "yes", "true", "да"})
#: The clients of each CRM code; None: we have no right to read it.
Clients = Mapping[str, tuple[Client, ...] | None]


@define(eq=False)
class TaskRows:
    """Made by the configuration."""

    log = Logger()

    config: Config
    now: Callable[[], datetime]
    #: Keys of [rules] and client types for which a missing field is logged.
    _without_field: set[tuple[str, str]] = field(factory=set, init=False)
    _without_tags: bool = field(default=False, init=False)  #: that is logged

    def use(self, config: Config) -> None:
        """Take over a new configuration: what it lacks in the portal is logged anew."""
        if self.config.reading != config.reading:
            self._without_tags = False
        self.config = config
        self._without_field.clear()

    def imported(self, task: PortalTask, clients: Clients, *, tagged: bool) -> Imported:
        """A task with its clients' phones; without them if a client cannot be read."""
        by_code = [clients.get(code, ()) for code in task.clients]
        if None in by_code:
            return self.bare(task, tagged=tagged)
        entries = [
            self._entry(client, phone)
            for clients_of_code in by_code
            for client in clients_of_code or ()
            for phone in client.phones
        ]
        phones, refused = dialable(entries, self.config.phones.rules)
        return evolve(self.bare(task, tagged=tagged), phones=phones, refused=refused)

    def bare(self, task: PortalTask, *, tagged: bool) -> Imported:
        """
        A task with the values of its tags and fields, without its phones. ``tagged``: the portal
        returns tags.
        """
        forbidden = self.config.rules.do_not_call_tag.lower()
        tags = task.tags if tagged else None
        if tags is None and self.config.query.tags and not self._without_tags:
            self._without_tags = True
            self.log.error(
                "the portal does not tell its tasks' tags, so [rules] do_not_call_tag and"
                " [[purposes]] tag cannot be checked, and no task is called: use a field of the"
                " task, or select the call tasks by another tag or group"
            )
        known = tags or frozenset()
        purpose = next((p for p in self.config.purposes if p.means(known, task.fields)), None)
        deputies = task.fields.get(self.config.staff.deputies_field, ())
        return Imported(
            task,
            None,
            purpose=purpose.name if purpose else "",
            needs_confirmation=purpose is not None and self.config.needs_confirmation(purpose),
            do_not_call=(bool(forbidden) and forbidden in known)
            or (tags is None and self.config.query.tags),
            deputies=tuple(int(user) for user in deputies if re.fullmatch("[0-9]{1,15}", user)),
        )

    def _entry(self, client: Client, phone: PortalPhone) -> Entry:
        zone = client.fields.get(self.config.client.zone_field, "")
        return Entry(
            phone.value, phone.kind, client.name, client.entity_type, client.entity_id, zone,
            self._forbidden(client), self._without_consent(client),
        )  # fmt: skip

    def _forbidden(self, client: Client) -> bool:
        """Does the client's field forbid calls? Without the field that is unknown: yes."""
        if not self.config.rules.do_not_call_field:
            return False
        value = self._value(client, "do_not_call_field", self.config.rules.do_not_call_field)
        return value is None or value.lower() not in NO

    def _without_consent(self, client: Client) -> bool:
        """Is consent required, and the client's field does not clearly show it?"""
        rules = self.config.rules
        if not rules.consent_field:
            return False
        value = (self._value(client, "consent_field", rules.consent_field) or "").strip()
        if rules.consent_value:
            return value != rules.consent_value
        return value.lower() not in YES and not self._has_passed(value)

    def _has_passed(self, text: str) -> bool:
        """A date in the portal's format, with or without a time, that is not in the future."""
        day = re.fullmatch(r"(\d{4}-\d\d-\d\d|\d\d\.\d\d\.\d{4})([T ][\d:+.-]+)?", text)
        if day is None:
            return False
        try:
            form = "%d.%m.%Y" if "." in day[1] else "%Y-%m-%d"
            moment = datetime.strptime(day[1], form).replace(tzinfo=UTC)
        except ValueError:
            return False
        return moment.date() <= self.now().date()

    def _value(self, client: Client, key: str, name: str) -> str | None:
        """The client's field; None, with a log line: this type of client has no such field."""
        value = client.fields.get(name)
        if value is None and (key, client.entity_type) not in self._without_field:
            self._without_field.add((key, client.entity_type))
            self.log.error(
                "[rules] {key}: the portal's {entity} has no {name}, so none of them is called;"
                " correct the name, or add the field in the CRM",
                key=key,
                entity=client.entity_type,
                name=name,
            )
        return value
