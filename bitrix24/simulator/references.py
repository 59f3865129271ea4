"""References inside a batch: ``$result[key][path]`` and its like."""

import re
from typing import Any

from bitrix24.simulator.state import Row

_REFERENCE = re.compile(r"\$(result|error|total|next|time)((?:\[[^\]\s]*\])+)")


def resolved(value: Any, said: dict[str, Row]) -> Any:
    """Put in what ``$result[key][path]`` refers to; a missing step ends at the last found."""
    match value:
        case dict():
            return {key: resolved(item, said) for key, item in value.items()}
        case list():
            return [resolved(item, said) for item in value]
        case str() if whole := _REFERENCE.fullmatch(value):
            return _referred(whole, said)
        case str():
            return _REFERENCE.sub(lambda found: _inside(found, said), value)
        case _:
            return value


def _inside(match: re.Match[str], said: dict[str, Row]) -> str:
    """Inside a longer text only single values are put in."""
    value = _referred(match, said)
    return match.group() if isinstance(value, dict | list) else str(value)


def _referred(match: re.Match[str], said: dict[str, Row]) -> Any:
    source = match.group(1)
    place: Any = said["result" if source == "result" else f"result_{source}"]
    for step in re.findall(r"\[([^\]]*)\]", match.group(2)):
        if isinstance(place, dict) and step in place:
            place = place[step]
        elif (isinstance(place, dict) and step.isdigit() and int(step) in place) or (
            isinstance(place, list) and step.isdigit() and int(step) < len(place)
        ):
            place = place[int(step)]
        else:
            break
    return place
