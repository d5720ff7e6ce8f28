"""A real SMTP server on loopback that keeps what it takes, with certificates of its own."""

from __future__ import annotations

import datetime
import email
import ipaddress
import socket
import ssl
import warnings
from contextlib import contextmanager
from email import policy
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "letters@lab.example", "s3cret&p<ss>word"


class Mailbox:
    """What a server took. `answers`: what it says to the next letters instead of taking them, first one first."""

    def __init__(self) -> None:
        self.port = 0
        self.messages = []
        self.tls = []
        self.answers: list[str] = []
        self.refused: set[str] = set()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.answers:
            return self.answers.pop(0)
        message = email.message_from_bytes(envelope.content, policy=policy.default)
        self.messages.append((envelope, message))
        self.tls.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 taken"

    def subjects(self) -> list[str]:
        return [message["Subject"] for _, message in self.messages]


def _checked(server, session, envelope, mechanism, data):
    ours = data.login == USER.encode() and data.password == PASSWORD.encode()
    return AuthResult(success=ours, handled=ours)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def mail_server(security: str = "none", certificate: Path | None = None, *, auth: bool = False, port: int = 0):
    """Run a server: `certificate` is the PEM of `write_certificates`; `auth`: it demands USER and PASSWORD."""
    box, context, options = Mailbox(), None, {}
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if auth:
        options |= {"authenticator": _checked, "auth_required": True, "auth_require_tls": security == "starttls"}
    box.port = port or free_port()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # aiosmtpd warns of a password without STARTTLS
        controller = Controller(
            box, "127.0.0.1", box.port, ssl_context=context if security == "tls" else None, **options
        )
        controller.start()
        try:
            yield box
        finally:
            controller.stop()


def write_certificates(folder: Path, *names: str) -> tuple[Path, Path]:
    """Write an authority and a server's certificate with its key for these names; return (authority, server)."""
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    subjects = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in ("authority", "server")]
    alternatives = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
    ]
    certificates = []
    for place, (key, subject) in enumerate(zip(keys, subjects, strict=True)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subjects[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=place == 0, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if place:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        else:
            usage = {name: name in ("key_cert_sign", "crl_sign") for name in _USAGES}
            builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        certificates.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority, server = folder / "authority.pem", folder / "server.pem"
    authority.write_bytes(certificates[0])
    server.write_bytes(private + certificates[1])
    return authority, server


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
