"""
From Asterisk's report to an outcome, as tables.

The technology's own status comes first: a Q.850 Reason header changes HANGUPCAUSE and DIALSTATUS on
Asterisk 16 but not on 22; the SIP response is the same on both. CHANUNAVAIL alone is ambiguous: it
may be a wrong number, a rejection or a broken trunk.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote

from autodial.model.attempt import Report
from autodial.model.outcome import Outcome

#: Final SIP responses of the client's side (RFC 3261, and how carriers use it).
SIP: Mapping[int, Outcome] = {
    486: Outcome.BUSY, 600: Outcome.BUSY,
    480: Outcome.UNREACHABLE,  # "temporarily unavailable": from carriers, a phone that is off
    487: Outcome.SILENT,
    300: Outcome.FORWARDED, 301: Outcome.FORWARDED, 302: Outcome.FORWARDED,
    305: Outcome.FORWARDED, 380: Outcome.FORWARDED,
    403: Outcome.REJECTED, 603: Outcome.REJECTED, 607: Outcome.REJECTED, 608: Outcome.REJECTED,
    404: Outcome.BAD_NUMBER, 410: Outcome.BAD_NUMBER, 484: Outcome.BAD_NUMBER,
    604: Outcome.BAD_NUMBER,
    # Asterisk itself reports 408 if a trunk does not respond at all.
    408: Outcome.LINE_FAILED, 488: Outcome.LINE_FAILED, 500: Outcome.LINE_FAILED,
    502: Outcome.LINE_FAILED, 503: Outcome.LINE_FAILED, 504: Outcome.LINE_FAILED,
}  # fmt: skip

#: Provisional SIP responses, if the dial timeout ended the call.
RINGING: Mapping[int, Outcome] = {
    180: Outcome.SILENT, 181: Outcome.SILENT, 182: Outcome.SILENT, 183: Outcome.SILENT,
    100: Outcome.UNREACHABLE,  # the network accepted the call and never rang a phone
}  # fmt: skip

#: Q.850 hangup causes, for technologies without a status of their own.
CAUSE: Mapping[int, Outcome] = {
    17: Outcome.BUSY,
    19: Outcome.SILENT,
    18: Outcome.LINE_FAILED, 20: Outcome.UNREACHABLE, 27: Outcome.UNREACHABLE,
    21: Outcome.REJECTED,
    1: Outcome.BAD_NUMBER, 22: Outcome.BAD_NUMBER, 28: Outcome.BAD_NUMBER,
    3: Outcome.LINE_FAILED, 34: Outcome.LINE_FAILED, 38: Outcome.LINE_FAILED,
    41: Outcome.LINE_FAILED, 42: Outcome.LINE_FAILED, 44: Outcome.LINE_FAILED,
    58: Outcome.LINE_FAILED,
}  # fmt: skip

#: The last resort: DIALSTATUS.
STATUS: Mapping[str, Outcome] = {
    "BUSY": Outcome.BUSY,
    "NOANSWER": Outcome.SILENT,
    "CANCEL": Outcome.SILENT,
    "CONGESTION": Outcome.LINE_FAILED,
    "CHANUNAVAIL": Outcome.LINE_FAILED,
}

#: After the client's answer: the result of the operator's side. Any other value is the DIALSTATUS
#: of the last operator rung: nobody took the call.
OPERATOR: Mapping[str, Outcome] = {
    "talk": Outcome.TALKED,
    "ring": Outcome.CLIENT_LEFT,
    "queue": Outcome.CLIENT_LEFT,  # in the site's own queue
    "": Outcome.CLIENT_LEFT,  # hung up before a phone rang
    "resolve": Outcome.CLIENT_LEFT,  # the same, from an earlier autodial.conf
    # The server was down, and the claim named no operator: our fault, but the client was disturbed.
    "agifail": Outcome.OPERATOR_MISSED,
}


#: The first final SIP response; the hangup cause of a busy phone.
FINAL, BUSY_CAUSE = 200, 17
#: Outcomes kept after ringing. Any other (a trunk that fails, a network that reports its own
#: timeout as "off") means that the phone rang and nobody answered.
AFTER_RINGING = frozenset({Outcome.BUSY, Outcome.REJECTED, Outcome.FORWARDED})


def outcome_of(report: Report) -> Outcome:
    """The outcome of an attempt, from its report."""
    if report.stage != "dial":
        # claim, claimfail: our server did not grant the claim. Nobody was dialled.
        return Outcome.WITHDRAWN if report.stage == "refused" else Outcome.LINE_FAILED
    if report.dial_status == "ANSWER":
        return OPERATOR.get(report.operator_state, Outcome.OPERATOR_MISSED)
    outcome = _unanswered(report)
    return Outcome.SILENT if report.rang and outcome not in AFTER_RINGING else outcome


def _unanswered(report: Report) -> Outcome:
    code = _sip(report.tech)
    if report.dial_status == "BUSY" and code < FINAL and report.cause != BUSY_CAUSE:
        # A redirection that Dial did not follow: BUSY without a final busy response.
        return Outcome.FORWARDED
    if code in SIP:
        return SIP[code]
    # Ringing was the last response; also when Asterisk was shut down.
    if code in RINGING and (code >= 180 or report.dial_status in ("NOANSWER", "CANCEL")):
        return RINGING[code]
    if not report.tech and report.dial_status in ("NOANSWER", "CANCEL") and report.cause in (0, 16):
        return Outcome.LINE_FAILED  # the trunk sent no response, not even 100
    if report.cause in CAUSE:
        return CAUSE[report.cause]
    return STATUS.get(report.dial_status, Outcome.LINE_FAILED)


def _sip(tech: str) -> int:
    """The SIP response code in the technology's status; 0 if there is none."""
    match = re.match(r"SIP (\d{3})", tech)
    return int(match.group(1)) if match else 0


#: The fields of a report. One in AstDB from an older dialplan may have fewer.
FIELDS = 11


def parse_report(fields: Sequence[str]) -> Report:
    """
    A report from its fields, in the dialplan's order, as AGI arguments or from AstDB.

    Missing and unreadable fields become empty: any report is evidence of an end.
    """
    stage, status, cause, tech, state, operator, answered, talked, ended, trunk, rang = (
        *fields[:FIELDS],
        *[""] * (FIELDS - len(fields[:FIELDS])),
    )
    return Report(
        stage=stage,
        dial_status=status,
        cause=int(cause) if re.fullmatch("[0-9]{1,3}", cause) else 0,
        tech=unquote(tech),
        operator_state=state,
        operator=operator,
        answered=_moment(answered),
        talked=_moment(talked),
        ended=_moment(ended),
        trunk=trunk,
        rang=rang == "1",
    )


def _moment(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), UTC) if re.fullmatch("[0-9]{1,11}", text) else None
