"""What the simulated portal refuses, with the code and status that the box gives."""


class Refusal(Exception):
    """An error answer: HTTP status, ``error``, ``error_description``."""

    def __init__(self, status: int, code: str, description: str = "") -> None:
        super().__init__(f"{status} {code} {description}")
        self.status = status
        self.code = code
        self.description = description


def controller(description: str) -> Refusal:
    """How ``tasks.*`` refuses: code "0", a text in the portal's language."""
    return Refusal(400, "0", description)


def old(description: str) -> Refusal:
    """How telephony, CRM and work groups refuse: an empty code."""
    return Refusal(400, "", description)


def missing(parameter: str) -> Refusal:
    """A controller's missing parameter."""
    return Refusal(400, "100", f"Could not find value for parameter {{{parameter}}}")
