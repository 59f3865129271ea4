"""The text of a task's comment about a call, for people who read only the task."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from autodial import texts
from autodial.config.settings import Config
from autodial.model.disposition import Disposition
from autodial.model.outcome import Outcome, effect


def comment(
    payload: Mapping[str, Any], number: str, config: Config, name: Callable[[int], str]
) -> str:
    """
    The text for a message's ``payload``; ``number`` is the number called, and ``name`` returns an
    operator's name by id.
    """
    language = config.language
    if "talked_for" in payload:
        return texts.text(
            "comment.same client", language, number=number, task=payload["talked_for"],
            operator=name(payload["user"]),
        )  # fmt: skip
    if "disposition" in payload:
        following = _again(payload["next"], config) if payload["next"] else ""
        if not payload["next"] and payload["disposition"] == Disposition.WRONG_NUMBER.value:
            following = _to_do(Outcome.BAD_NUMBER.value, config)
        disposition = texts.text(payload["disposition"], language)
        return texts.text(
            "comment.disposition",
            language,
            operator=name(payload["user"]),
            disposition=disposition,
            next=following,
        ).rstrip()
    outcome = payload["outcome"]
    detail = ""
    if outcome == Outcome.TALKED.value:
        lasted = texts.lasted(payload["seconds"], language)
        detail = f", {name(payload['user'])}, {lasted}"
    elif outcome == Outcome.OPERATOR_MISSED.value and payload.get("missed"):
        detail = f" ({name(payload['user'])})"
    count = payload.get("count", 0)
    return texts.text(
        "comment",
        language,
        number=number,
        count=texts.text("comment.count", language, count=count) if count > 1 else "",
        outcome=texts.text(outcome, language),
        detail=detail,
        next=_again(payload["next"], config) if payload["next"] else _to_do(outcome, config),
    )


def _again(moment: str, config: Config) -> str:
    when = datetime.fromisoformat(moment).astimezone(ZoneInfo(config.hours.zone))
    return texts.text("comment.again", config.language, when=f"{when:%d.%m.%Y %H:%M}")


def _to_do(outcome: str, config: Config) -> str:
    """What a person has to do; the dialler has finished with the task."""
    if outcome == Outcome.TALKED.value and config.tasks.when_talked == "complete":
        return texts.text("comment.done", config.language)
    if outcome != Outcome.TALKED.value and config.tasks.when_given_up in ("complete", "defer"):
        # The dialler ignores a task that is not open, whatever is corrected in it.
        return texts.text(f"{effect(outcome).to_do}.closed", config.language)
    return texts.text(effect(outcome).to_do, config.language)
