"""The authorisation server; for a real portal it is another host."""

import json
import secrets
from datetime import timedelta

from bitrix24.simulator.event_bodies import MEMBER
from bitrix24.simulator.state import PortalState, Row
from bitrix24.wire import Answer

#: How long an application's access token lives.
TOKEN = timedelta(hours=1)


def token_answer(portal: PortalState, params: Row) -> Answer:
    """The authorisation server; for a real portal it is another host."""
    credentials = (params.get("client_id"), params.get("client_secret"))
    if credentials != (portal.client_id, portal.client_secret):
        return Answer(401, b'{"error":"invalid_client"}')
    kind = params.get("grant_type")
    if kind not in ("authorization_code", "refresh_token"):
        return Answer(400, b'{"error":"invalid_request"}')
    by_code = kind == "authorization_code" and params.get("code") == portal.code
    by_token = kind == "refresh_token" and params.get("refresh_token") == portal.refresh_token
    if not by_code and not by_token:
        return Answer(400, b'{"error":"invalid_grant","error_description":"Invalid grant"}')
    access = secrets.token_hex(16)
    portal.tokens[access] = portal.now() + TOKEN
    portal.refresh_token = secrets.token_hex(16)  # it changes with every use
    body = {
        "access_token": access, "refresh_token": portal.refresh_token, "expires_in": 3600,
        "scope": ",".join(sorted(portal.scopes)), "user_id": portal.user_id, "status": "L",
        "expires": int((portal.now() + TOKEN).timestamp()), "domain": "oauth.example.com",
        "server_endpoint": "https://oauth.example.com/rest/",
        "client_endpoint": "https://portal.example.com/rest/",
        "member_id": MEMBER,
    }  # fmt: skip
    return Answer(200, json.dumps(body).encode())
