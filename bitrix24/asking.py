"""The base of every family of methods: one call, one batch."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from bitrix24.errors import AnswerStrange, PortalRefused
from bitrix24.link import Line
from bitrix24.wire import BATCH_LIMIT, Params, Reply, Row, count, error_of, query

Command = tuple[str, Params]


class Asking:
    """
    Calls the methods of one portal. Nothing here retries: ``Link`` does. ``zone``: of the portal's
    server; task dates are stored by that clock.
    """

    def __init__(self, line: Line, zone: tzinfo | None = None) -> None:
        self._line = line
        self._zone = zone

    async def call(self, method: str, params: Params, *, rest3: bool = False) -> Any:
        """The result of one method; raises as ``wire.decode``."""
        return (await self._line.call(method, params, rest3=rest3)).result

    def refused(self, method: str, problem: str) -> PortalRefused:
        """The error for an answer that reports success although nothing was done."""
        return PortalRefused("", f"{method}: {problem}")

    async def batch(self, commands: Mapping[str, Command]) -> dict[str, Any]:
        """
        Call many methods, up to 50 in one request; the results by their keys.

        Raises:
            PortalError: the first command that failed, after all have run.
        """
        results = await self.batch_of_each(commands)
        for result in results.values():
            if isinstance(result, Exception):
                raise result
        return results

    async def batch_of_each(self, commands: Mapping[str, Command]) -> dict[str, Any]:
        """As ``batch``, with the exception in place of a failed command's result."""
        replies = await self.replies(commands)
        return {
            key: reply.result if isinstance(reply, Reply) else reply
            for key, reply in replies.items()
        }

    async def replies(self, commands: Mapping[str, Command]) -> dict[str, Reply | Exception]:
        """As ``batch_of_each``, with the total where a method returns it."""
        replies: dict[str, Reply | Exception] = {}
        keys = list(commands)
        for start in range(0, len(keys), BATCH_LIMIT):
            replies |= await self._chunk({key: commands[key] for key in keys[start:][:BATCH_LIMIT]})
        return replies

    async def _chunk(self, commands: Mapping[str, Command]) -> dict[str, Reply | Exception]:
        methods = [method for method, _ in commands.values()]
        texts = {key: query(*command) for key, command in commands.items()}
        reply = await self._line.call("batch", {"halt": 0, "cmd": texts}, within=methods)
        row = Row("batch", reply.result)
        results, errors = row.need("result"), row.need("result_error")
        totals = row.get("result_total")
        replies: dict[str, Reply | Exception] = {}
        for key, (method, _) in commands.items():
            if isinstance(errors, Mapping) and key in errors:  # PHP writes an empty map as []
                replies[key] = error = error_of(method, errors[key])
                self._line.heard(method, error)
            elif isinstance(results, Mapping) and key in results:
                total = count(totals.get(key)) if isinstance(totals, Mapping) else None
                replies[key] = Reply(results[key], total, at=reply.at, offset=reply.offset)
            else:
                replies[key] = AnswerStrange("batch", key, f"no answer to {method}")
        return replies


def chunks(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    """Consecutive chunks of at most ``size``."""
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]
