"""
Authentication: a secret that one Asterisk shares with this server.

FastAGI has no authentication, and any process of the host can open a session. So a session first
proves that its peer is our Asterisk: Asterisk hashes a nonce of ours together with a global
variable that holds the secret. The secret itself is never sent, never logged (Asterisk's log holds
every argument that the dialplan passes, and with ``agi set debug`` the whole session) and in no
process list; a proof that was intercepted is useless for another session.
"""

from hashlib import sha1
from hmac import compare_digest
from secrets import token_hex

from attrs import field, frozen

from fastagi_server.session import AgiSession
from fastagi_server.wire import command


@frozen
class SharedSecret:
    """``variable`` is the name of Asterisk's global (func_sha1 and func_global must be loaded)."""

    variable: str
    secret: str = field(repr=False)

    async def is_known_to(self, session: AgiSession) -> bool:
        """
        Request the proof: one round trip, also after the caller has hung up.

        Raises:
            CommandFailed, CallEnded: as ``AgiSession.send``.
        """
        nonce = token_hex(16)
        expression = f"${{SHA1({nonce}${{GLOBAL({self.variable})}})}}"
        reply = await session.send(command("GET FULL VARIABLE", expression))
        expected = sha1(f"{nonce}{self.secret}".encode(), usedforsecurity=False).hexdigest()
        proof = (reply.value or "").encode("utf-8", "surrogateescape")
        return compare_digest(proof, expected.encode())
