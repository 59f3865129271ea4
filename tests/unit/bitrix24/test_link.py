"""The link to the portal: what is repeated, what is not, and after how long."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from bitrix24 import (
    AnswerLost,
    Link,
    PortalRefused,
    PortalUnavailable,
    QuestionLost,
    Request,
    Webhook,
)
from bitrix24.errors import PortalBusy, PortalClosed
from bitrix24.link import AT_ONCE, METHOD_REST, TRIES, Safety, safety
from bitrix24.wire import Answer, Params

OK = Answer(200, b'{"result": true, "time": {"start": 1}}')
BUSY = Answer(503, b'{"error": "QUERY_LIMIT_EXCEEDED"}')
BLOCKED = Answer(429, b'{"error": "OPERATION_TIME_LIMIT"}')
CLOSED = Answer(403, b'{"error": "PORTAL_DELETED"}')
GATEWAY = Answer(502, b"<html>")
DIED = Answer(500, b"<br>Fatal error")
REFUSED = Answer(400, b'{"error": "", "error_description": "Access denied."}')

READ, WRITE = "tasks.task.list", "tasks.task.update"


@define
class Far:
    """A portal that answers from a list, then OK."""

    answers: list[Answer | Exception]
    clock: Clock = field(factory=Clock)
    asked: list[tuple[float, str]] = field(factory=list)
    link: Link = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.link = Link(Webhook("http://127.0.0.1/rest/1/s3cret"), self.send, self.clock)

    async def send(self, request: Request) -> Answer:
        self.asked.append((self.clock.seconds(), request.method))
        answer = self.answers.pop(0) if self.answers else OK
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call(self, method: str, params: Params | None = None, **more: Any) -> list[Any]:
        """Start a call; the list gets its result or its exception."""
        done: list[Any] = []
        waiting = Deferred.fromCoroutine(self.link.call(method, params or {}, **more))
        waiting.addCallbacks(
            lambda reply: done.append(reply.result), lambda failure: done.append(failure.value)
        )
        return done

    def until_done(self, done: list[Any]) -> Any:
        for _ in range(200):
            if done:
                return done[0]
            self.clock.advance(0.5)
        raise AssertionError("it never ended")


def lost() -> Exception:
    return AnswerLost("x")


def unsent() -> Exception:
    return PortalUnavailable("x")


#: For each behaviour of the portal and kind of request: the number of requests sent.
POLICY: tuple[tuple[Callable[[], Answer | Exception], type[Exception], int, int], ...] = (
    (unsent, PortalUnavailable, 3, 3),
    (lost, AnswerLost, 3, 1),
    (lambda: DIED, AnswerLost, 3, 1),
    (lambda: BUSY, PortalBusy, 4, 4),
    (lambda: GATEWAY, AnswerLost, 1, 1),
    (lambda: CLOSED, PortalClosed, 1, 1),
    (lambda: REFUSED, PortalRefused, 1, 1),
)


@pytest.mark.parametrize(("trouble", "ends", "read", "write"), POLICY)
def test_what_is_tried_again(
    trouble: Callable[[], Answer | Exception],
    ends: type[Exception],
    read: int,
    write: int,
) -> None:
    """
    After a lost answer a write is not repeated, since it may have been executed. A read is
    repeated.
    """
    for method, tries in ((READ, read), (WRITE, write)):
        far = Far([trouble() for _ in range(20)])
        ended = far.until_done(far.call(method))

        assert isinstance(ended, ends) and tries == len(far.asked), method
        lost = isinstance(ended, AnswerLost)
        assert isinstance(ended, QuestionLost) == (lost and method == READ), "nothing was written"


def test_every_kind_of_trouble_has_a_row_for_every_safety() -> None:
    for rows in TRIES.values():
        assert set(Safety) == set(rows)


def test_a_batch_is_as_safe_as_its_worst_command() -> None:
    far = Far([lost()])
    ended = far.until_done(far.call("batch", within=[READ, WRITE]))
    assert (AnswerLost, 1) == (type(ended), len(far.asked))

    far = Far([lost()])
    assert far.until_done(far.call("batch", within=[READ, READ])) is True


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("tasks.task.get", Safety.READ),
        ("main.eventlog.tail", Safety.READ),
        ("timeman.status", Safety.READ),
        ("profile", Safety.READ),
        ("method.get", Safety.READ),
        ("telephony.externalCall.register", Safety.WRITE),
        ("telephony.externalCall.finish", Safety.WRITE),
        ("tasks.task.complete", Safety.WRITE),
        ("tasks.task.add", Safety.WRITE),
        ("a.method.nobody.knows", Safety.WRITE),
    ],
)
def test_a_method_nobody_vouched_for_is_not_repeated(method: str, kind: Safety) -> None:
    assert kind is safety(method)


@pytest.mark.parametrize("answer", [GATEWAY, CLOSED])
def test_a_portal_that_wants_to_be_alone_is_left_alone(answer: Answer) -> None:
    """All requests pause, longer each time, until one is answered."""
    far = Far([answer, answer])
    far.until_done(far.call(READ))
    far.clock.advance(4)
    assert isinstance(far.until_done(far.call(WRITE)), PortalClosed)
    assert 1 == len(far.asked), "not even asked"

    far.clock.advance(2)
    far.until_done(far.call(READ))
    far.clock.advance(14)
    assert isinstance(far.until_done(far.call(READ)), PortalClosed)
    far.clock.advance(2)
    assert far.until_done(far.call(READ)) is True
    assert far.until_done(far.call(WRITE)) is True


def test_a_blocked_method_rests_until_the_portal_forgets() -> None:
    """Other methods are not affected."""
    allowed = Answer(200, b'{"result": true, "time": {"operating_reset_at": 500}}')
    far = Far([allowed, BLOCKED])
    far.until_done(far.call(READ))
    assert isinstance(far.until_done(far.call(READ)), PortalUnavailable)
    assert far.until_done(far.call("user.get")) is True
    assert isinstance(far.until_done(far.call(READ)), PortalClosed)

    far.clock.advance(500)
    assert far.until_done(far.call(READ)) is True


def test_a_blocked_method_without_a_moment_rests_a_minute() -> None:
    far = Far([BLOCKED])
    far.until_done(far.call(WRITE))
    far.clock.advance(METHOD_REST - 2)
    assert isinstance(far.until_done(far.call(WRITE)), PortalClosed)

    far.clock.advance(3)
    assert far.until_done(far.call(WRITE)) is True


def test_no_more_than_the_burst_at_once_and_the_rate_in_the_long_run() -> None:
    far = Far([])
    done = [far.call(READ) for _ in range(60)]
    assert 40 == len(far.asked)
    far.clock.pump([0.1] * 21)

    assert all(done)
    assert 60 == len(far.asked)
    assert far.asked[-1][0] == pytest.approx(2.0, abs=0.11)


def test_only_so_many_requests_are_under_way() -> None:
    clock = Clock()
    waiting: list[Deferred[Answer]] = []

    async def send(request: Request) -> Answer:
        waiting.append(Deferred())
        return await waiting[-1]

    link = Link(Webhook("http://127.0.0.1/rest/1/s"), send, clock)
    for _ in range(AT_ONCE + 2):
        Deferred.fromCoroutine(link.call(READ, {})).addErrback(lambda failure: None)
    assert AT_ONCE == len(waiting)

    waiting[0].callback(OK)
    waiting[1].errback(PortalRefused("x"))
    assert AT_ONCE + 2 == len(waiting), "a failure gives its place back, too"


def test_nothing_a_person_could_print_holds_the_secret() -> None:
    far = Far([])

    assert "s3cret" not in repr(far.link)
    assert "s3cret" not in repr(far.link.access.request("m", {"a": 1}))


def test_an_answer_once_lost_is_not_forgotten_over_a_later_refusal() -> None:
    """The last refusal does not tell whether an earlier request was executed."""
    far = Far([lost(), unsent(), unsent(), unsent()])
    assert isinstance(far.until_done(far.call(READ)), AnswerLost)


def test_requests_that_wait_do_not_prolong_the_rest() -> None:
    """Eight calls, some sent at once; the first of these gets a gateway error."""
    clock, under_way = Clock(), []

    async def send(request: Request) -> Answer:
        under_way.append(Deferred[Answer]())
        return await under_way[-1]

    link = Link(Webhook("http://127.0.0.1/rest/1/s3cret"), send, clock)
    ended: list[Any] = []
    for _ in range(8):
        Deferred.fromCoroutine(link.call(READ, {})).addBoth(ended.append)
    assert AT_ONCE == len(under_way)
    under_way[0].callback(GATEWAY)
    for answered in under_way[1:]:
        answered.callback(OK)
    assert (AT_ONCE, 8) == (len(under_way), len(ended)), "those who waited were not sent"
    clock.advance(5.0)
    Deferred.fromCoroutine(link.call(READ, {})).addBoth(ended.append)
    assert AT_ONCE + 1 == len(under_way), "one trouble, one rest"


def test_a_limit_on_one_method_leaves_the_others_alone_however_many_wait() -> None:
    far = Far([BLOCKED])
    waiting = [far.call("crm.contact.list") for _ in range(8)]
    for done in waiting:
        far.until_done(done)
    assert far.until_done(far.call(READ)) is True


def test_a_limit_told_inside_a_batch_is_kept_too() -> None:
    far = Far([])
    far.link.heard(READ, PortalBusy(f"{READ}: OPERATION_TIME_LIMIT"))
    error = far.until_done(far.call("batch", within=["user.get", READ]))
    assert isinstance(error, PortalClosed)
    assert [] == far.asked
    assert far.until_done(far.call("batch", within=["user.get"])) is True
    far.clock.advance(METHOD_REST)
    assert far.until_done(far.call("batch", within=[READ])) is True
