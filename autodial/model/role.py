"""Who may do what on the board."""

from collections.abc import Mapping
from enum import StrEnum

from autodial.model.act import Act


class Role(StrEnum):
    """The roles of people; the values are stored."""

    OPERATOR = "operator"  #: sees his own day and tasks, and steers himself
    VIEWER = "viewer"  #: sees everything, changes nothing
    MANAGER = "manager"  #: steers calls, tasks and people
    ADMINISTRATOR = "administrator"  #: the settings and what was not delivered, too


_MANAGER = frozenset(
    {
        Act.PAUSE,
        Act.RESUME,
        Act.CALL_NOW,
        Act.SKIP,
        Act.UNSKIP,
        Act.NEVER_CALL,
        Act.MAY_CALL,
        Act.HAND_OVER,
        Act.TAKE_BACK,
        Act.POSTPONE,
        Act.DAY_OFF,
        Act.WORKING_DAY,
    }
)
MAY: Mapping[Role, frozenset[Act]] = {
    Role.OPERATOR: frozenset({Act.PAUSE, Act.RESUME, Act.CALL_NOW, Act.POSTPONE}),
    Role.VIEWER: frozenset(),
    Role.MANAGER: _MANAGER,
    Role.ADMINISTRATOR: _MANAGER | {Act.SEND_AGAIN, Act.RELOAD},
}


def may(role: Role, act: Act) -> bool:
    """Whether a role allows an act; an operator's, on himself and his own tasks."""
    return act in MAY[role]
