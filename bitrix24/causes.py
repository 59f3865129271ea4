"""
Why the portal cannot be reached, as a text for the administrator: a wrong certificate, a wrong
address, or a page in place of the portal's answer. Pure.

The texts of the exceptions contain the address, whose path is the secret: they are matched here
and never shown.
"""

import re
from collections.abc import Sequence
from html import unescape

#: A pattern in an exception's text, and what to do about it. The first match wins.
_CAUSES: Sequence[tuple[str, str]] = (
    (
        r"self[- ]signed certificate|unable to get (local )?issuer certificate",
        "its certificate is self-signed, or of an authority unknown to this machine:"
        ' set [portal] verify = "/path/to/authority.pem"',
    ),
    (
        r"Hostname mismatch|IP address mismatch|doesn't match",
        "its certificate is for another name: write the address with the certificate's name in"
        " [portal] webhook",
    ),
    (
        r"no appropriate (commonName|subjectAltName)|subjectAltName fields were found",
        "its certificate names no host (no subjectAltName): get a new one",
    ),
    (r"certificate has expired", "its certificate has expired: renew it"),
    (
        r"certificate is not yet valid",
        "its certificate is not valid yet: check the clock of this machine",
    ),
    (
        r"WRONG_VERSION_NUMBER|HTTP_REQUEST|record layer failure|packet length too long",
        "it does not speak TLS at that port: the webhook's address needs http:// or another port",
    ),
    (
        r"UNSUPPORTED_PROTOCOL|TLSV1_ALERT_PROTOCOL_VERSION|NO_PROTOCOLS_AVAILABLE",
        "it supports only old versions of TLS, refused by this machine: update its web server",
    ),
    (
        r"NameResolution|Name or service not known|getaddrinfo failed|nodename nor servname",
        "its name is not known to DNS: check the spelling in the webhook's address",
    ),
    (
        r"Errno 111|Connection refused",
        "nothing listens at that address and port: check the webhook's address",
    ),
    (
        r"Errno (101|113)|unreachable|No route to host",
        "it is unreachable from this machine: a firewall, or the network is down",
    ),
    (
        r"ConnectTimeout",
        "it does not answer: a firewall, or the portal is down",
    ),
)
#: A pattern in a page, and the page's origin.
_PAGES: Sequence[tuple[str, str]] = (
    (
        r"USER_LOGIN|AUTH_FORM|bx-auth",
        "the portal's login page: the webhook's address is wrong, or REST is closed to this host",
    ),
    (
        r"(Warning|Notice|Deprecated|Fatal error)</b>:|PHP (Warning|Notice|Fatal error)",
        "PHP's own messages before the answer: switch display_errors off on the portal",
    ),
    (
        r"401 (Authorization Required|Unauthorized)",
        "the web server before the portal asks for a password: let /rest/ pass without one",
    ),
)
#: Characters of a page that are shown.
BEGINNING = 80


def cause_of(error: BaseException) -> str:
    """The cause of a failed request; empty: only the error's type is known."""
    text = f"{type(error).__name__} {error!r}"
    for pattern, cause in _CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return cause
    return ""


def about_page(status: int, body: bytes) -> str:
    """
    A page in place of an answer: its origin, if known, and how it begins, without markup and
    without the webhook's path.
    """
    text = body[:20_000].decode("utf-8", "replace")
    if text.lstrip()[:1] in ("{", "["):
        return ""  # a truncated answer: it may contain client data
    origin = next((description for pattern, description in _PAGES if re.search(pattern, text)), "")
    if not origin and status == 401:
        origin = _PAGES[-1][1]
    visible = re.sub(r"(?is)<(script|style|head)\b.*?(</\1>|\Z)|<[^>]*>?", " ", text)
    visible_text = " ".join(unescape(visible).split())
    # A page may quote the request, and the path is the secret.
    begins = re.sub(r"(?i)/rest/\S*", "/rest/…", visible_text)[:BEGINNING]
    return "; ".join(part for part in (origin, f"it begins {begins!r}" if begins else "") if part)
