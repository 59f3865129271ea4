"""References inside a batch: ``$result[key][path]`` and its like."""

import re
from typing import Any

from bitrix24.simulator.state import Row

_REFERENCE = re.compile(r"\$(result|error|total|next|time)((?:\[[^\]\s]*\])+)")


def resolved(value: Any, answer: dict[str, Row]) -> Any:
    """Replace ``$result[key][path]`` by its value; a missing step ends at the last existing one."""
    match value:
        case dict():
            return {key: resolved(item, answer) for key, item in value.items()}
        case list():
            return [resolved(item, answer) for item in value]
        case str() if whole := _REFERENCE.fullmatch(value):
            return _referred(whole, answer)
        case str():
            return _REFERENCE.sub(lambda match: _inside(match, answer), value)
        case _:
            return value


def _inside(match: re.Match[str], answer: dict[str, Row]) -> str:
    """Inside a longer text only single values are inserted."""
    value = _referred(match, answer)
    return match.group() if isinstance(value, dict | list) else str(value)


def _referred(match: re.Match[str], answer: dict[str, Row]) -> Any:
    source = match.group(1)
    value: Any = answer["result" if source == "result" else f"result_{source}"]
    for step in re.findall(r"\[([^\]]*)\]", match.group(2)):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif (isinstance(value, dict) and step.isdigit() and int(step) in value) or (
            isinstance(value, list) and step.isdigit() and int(step) < len(value)
        ):
            value = value[int(step)]
        else:
            break
    return value
