"""
Who somebody is, by the access token that the portal's page hands to a local application.

A token of any other application of the portal says the same of the person; so the token must be of
ours (``app.info``: CODE is the client id of a local application).
"""

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from bitrix24.access import Send, header_token, without_slash
from bitrix24.asking import Asking
from bitrix24.errors import AnswerStrange, PortalDenied, PortalError, PortalRefused
from bitrix24.wire import Params, Request, Row


@frozen
class Bearer:
    """Requests in somebody's name, by his access token."""

    address: str = field(converter=without_slash)  #: https://portal.example.com
    token: str = field(repr=False)

    def request(self, method: str, params: Params, *, rest3: bool = False) -> Request:
        root = f"{self.address}/rest/api" if rest3 else f"{self.address}/rest"
        return Request(method, f"{root}/{method}", params, header_token(self.token))

    async def renew(self, send: Send, used: str) -> bool:
        return False


@frozen(kw_only=True)
class Person:
    """A user of the portal."""

    id: int
    name: str
    administrator: bool
    departments: frozenset[int]
    groups: frozenset[int]  #: work groups; empty, too, if the application may not read them


class PersonMethods(Asking):
    """In the name of the person who has opened an application."""

    async def person(self, client_id: str) -> Person:
        """
        Who it is, in one request.

        Raises:
            PortalDenied: the token is not valid, or another application's.
        """
        asked: dict[str, tuple[str, Params]] = {
            "app": ("app.info", {}), "admin": ("user.admin", {}), "me": ("user.current", {}),
            "groups": ("sonet_group.user.groups", {}),
        }  # fmt: skip
        results = await self.batch_of_each(asked)
        for key in ("app", "admin", "me"):
            if isinstance(results[key], PortalRefused):
                raise PortalDenied("", f"the application has not the right {asked[key][0]}")
            if isinstance(results[key], Exception):
                raise results[key]
        if Row("app.info", results["app"]).get("CODE") != client_id:
            raise PortalDenied("", "the token is another application's")
        row = Row("user.current", results["me"])
        try:
            number = int(row.text("ID"))
        except ValueError:
            raise AnswerStrange("user.current", "ID", "no number") from None
        name = f"{row.get('NAME') or ''} {row.get('LAST_NAME') or ''}".strip()
        groups = results["groups"]
        return Person(
            id=number,
            name=name or str(number),
            administrator=results["admin"] is True,
            departments=_numbers(row.get("UF_DEPARTMENT")),
            groups=frozenset() if isinstance(groups, PortalError) else _numbers(
                [one.get("GROUP_ID") for one in groups if isinstance(one, dict)]
                if isinstance(groups, list) else []
            ),
        )  # fmt: skip

    async def placements(self) -> list[tuple[str, str]]:
        """What the application has bound: place and handler. An administrator's token."""
        result = await self.call("placement.get", {})
        rows = result if isinstance(result, list) else []
        return [
            (str(row.get("placement")), str(row.get("handler")))
            for row in rows
            if isinstance(row, dict)
        ]

    async def place(self, placement: str, handler: str, titles: Params) -> None:
        """Show the application in a place; ``titles``: by language. An administrator's token."""
        names = {language: {"TITLE": title} for language, title in titles.items()}
        fields = {"PLACEMENT": placement, "HANDLER": handler, "LANG_ALL": names}
        await self.call("placement.bind", fields)

    async def displace(self, placement: str, handler: str) -> None:
        """Take it away again."""
        await self.call("placement.unbind", {"PLACEMENT": placement, "HANDLER": handler})


def _numbers(values: Any) -> frozenset[int]:
    rows: Sequence[Any] = values if isinstance(values, list) else []
    return frozenset(int(one) for one in rows if str(one).isdigit())
