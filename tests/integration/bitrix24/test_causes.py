"""The messages on why a portal cannot be reached, with real sockets and certificates."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor

from bitrix24 import PortalDenied, PortalError, Request, RequestsTransport
from bitrix24.wire import Answer, decode

SECRET = "s3cretpath"


@contextmanager
def listening(context: ssl.SSLContext | None) -> Iterator[int]:
    """The port of a server that takes one connection, with TLS or without."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    if context is None:
                        peer.recv(4096)
                        peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    else:
                        context.wrap_socket(peer, server_side=True).recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.close()
        thread.join(5)


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def without_names(authority: trustme.CA, place: Path) -> ssl.SSLContext:
    """An old-style certificate: the host is in the common name only."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    now = datetime.now(UTC)
    content = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(signer, hashes.SHA256())  # type: ignore[arg-type]  # an elliptic curve
    )
    pem = place / "nameless.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + content.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def cause_of(address: str, verify: bool | str = True) -> str:
    transport = RequestsTransport(reactor, verify)  # type: ignore[arg-type]
    with pytest.raises(PortalError) as refused:
        transport.post(Request("profile", f"{address}/rest/1/{SECRET}/profile", {}))
    assert SECRET not in str(refused.value)
    return str(refused.value)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def known(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    return str(path)


def test_an_unknown_authority(authority: trustme.CA) -> None:
    with listening(context_of(authority.issue_cert("127.0.0.1"))) as port:
        assert 'set [portal] verify = "' in cause_of(f"https://127.0.0.1:{port}")


def test_another_name(authority: trustme.CA, known: str) -> None:
    with listening(context_of(authority.issue_cert("portal.example"))) as port:
        assert "is for another name" in cause_of(f"https://127.0.0.1:{port}", known)


def test_no_name_at_all(authority: trustme.CA, known: str, tmp_path: Path) -> None:
    with listening(without_names(authority, tmp_path)) as port:
        cause = cause_of(f"https://127.0.0.1:{port}", known)
    assert "is for another name" in cause or "names no host" in cause


def test_an_expired_one(authority: trustme.CA, known: str) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    certificate = authority.issue_cert("127.0.0.1", not_after=past)
    with listening(context_of(certificate)) as port:
        assert "has expired" in cause_of(f"https://127.0.0.1:{port}", known)


def test_no_tls_at_that_port() -> None:
    with listening(None) as port:
        assert "does not speak TLS" in cause_of(f"https://127.0.0.1:{port}")


def test_a_name_that_nobody_knows() -> None:
    assert "not known to DNS" in cause_of("https://no.such.host.invalid")


def test_nothing_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "nothing listens" in cause_of(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("status", "page", "expected"),
    [
        (
            401, "<html><head><title>401 Authorization Required</title></head><body><center>"
            "<h1>401 Authorization Required</h1></center><hr><center>nginx</center></body></html>",
            "asks for a password",
        ),
        (
            200, '<!DOCTYPE html><form name="form_auth"><input name="USER_LOGIN"></form>Вход',
            "the portal's login page",
        ),
        (
            200, "<br />\n<b>Warning</b>:  Undefined array key in user.php on line 17<br />\n"
            '{"result": []}',
            "switch display_errors off",
        ),
        (503, "<h1>Site closed</h1>Идут технические работы", "'Site closed Идут технические"),
        (
            404, f"The requested URL /rest/1/{SECRET}/profile was not found", "URL /rest/… was",
        ),
    ],
)  # fmt: skip
def test_a_page_in_the_portal_s_place(status: int, page: str, expected: str) -> None:
    with pytest.raises(PortalError) as refused:
        decode(Answer(status, page.encode()), "profile")

    assert expected in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "<" not in str(refused.value)


def test_of_an_answer_that_was_cut_nothing_is_shown() -> None:
    """The answer holds clients' names and numbers."""
    with pytest.raises(PortalError) as refused:
        decode(Answer(200, '{"result": [{"NAME": "Иван"'.encode()), "crm.contact.list")

    assert "Иван" not in str(refused.value)


@pytest.mark.parametrize("code", ["wrong_client", "ERROR_OAUTH", "ACCESS_DENIED", "never_heard_of"])
def test_with_401_we_are_not_let_in_whatever_the_code(code: str) -> None:
    """The messages wait then. They are not set aside one by one as refused."""
    with pytest.raises(PortalDenied):
        decode(Answer(401, f'{{"error": "{code}"}}'.encode()), "tasks.task.update")
