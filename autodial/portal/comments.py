"""What a task's comment says of a call: words for people who read the task, and only the task."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from autodial import texts
from autodial.config.settings import Config
from autodial.model.disposition import Disposition
from autodial.model.outcome import Outcome, effect


def comment(
    said: Mapping[str, Any], number: str, config: Config, name: Callable[[int], str]
) -> str:
    """
    The text of a message's payload ``said``; ``number`` is whom we called, and ``name`` says an
    operator's name by his id.
    """
    language = config.language
    if "talked_for" in said:
        return texts.text(
            "comment.same client", language, number=number, task=said["talked_for"],
            operator=name(said["user"]),
        )  # fmt: skip
    if "disposition" in said:
        following = _again(said["next"], config) if said["next"] else ""
        if not said["next"] and said["disposition"] == Disposition.WRONG_NUMBER.value:
            following = _to_do(Outcome.BAD_NUMBER.value, config)
        disposition = texts.text(said["disposition"], language)
        return texts.text(
            "comment.disposition",
            language,
            operator=name(said["user"]),
            disposition=disposition,
            next=following,
        ).rstrip()
    outcome = said["outcome"]
    detail = ""
    if outcome == Outcome.TALKED.value:
        lasted = texts.lasted(said["seconds"], language)
        detail = f", {name(said['user'])}, {lasted}"
    elif outcome == Outcome.OPERATOR_MISSED.value and said.get("missed"):
        detail = f" ({name(said['user'])})"
    count = said.get("count", 0)
    return texts.text(
        "comment",
        language,
        number=number,
        count=texts.text("comment.count", language, count=count) if count > 1 else "",
        outcome=texts.text(outcome, language),
        detail=detail,
        next=_again(said["next"], config) if said["next"] else _to_do(outcome, config),
    )


def _again(moment: str, config: Config) -> str:
    when = datetime.fromisoformat(moment).astimezone(ZoneInfo(config.hours.zone))
    return texts.text("comment.again", config.language, when=f"{when:%d.%m.%Y %H:%M}")


def _to_do(outcome: str, config: Config) -> str:
    """The dialler is through with the task; what a person does now."""
    if outcome == Outcome.TALKED.value and config.tasks.when_talked == "complete":
        return texts.text("comment.done", config.language)
    if outcome != Outcome.TALKED.value and config.tasks.when_given_up in ("complete", "defer"):
        # A task that is not open is not looked at, whatever is mended in it.
        return texts.text(f"{effect(outcome).to_do}.closed", config.language)
    return texts.text(effect(outcome).to_do, config.language)
