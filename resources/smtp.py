"""A letter is handed to the mail server.

Encrypted where the settings say so, the server's certificate verified; what went wrong is told without secrets.
"""

from __future__ import annotations

import dataclasses
import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime
from typing import TYPE_CHECKING, Literal

from ab_assets.errors import Problem

if TYPE_CHECKING:
    from ab_assets.reports.letter import Letter
    from resources.mail import Mail, MailSettings

_LONGEST_SUBJECT = 150
_LONGEST_ANSWER = 200


class UnsentError(Exception):
    """A letter was not taken. `because_of`: the server, which would take no other either, or this letter."""

    def __init__(self, because_of: Literal["server", "letter"], problem: Problem) -> None:
        self.because_of = because_of
        self.problem = problem
        super().__init__(str(problem))


def message_of(letter: Letter, settings: MailSettings, message_id: str) -> EmailMessage:
    """Return the letter as it travels: plain text, the same as HTML with its pictures, and attachments.

    `message_id`: the part before the @; a server that has seen it may tell that a letter comes twice.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.recipients)
    message["Subject"] = _one_line(letter.subject)[:_LONGEST_SUBJECT]
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<{message_id}@{settings.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    page = message.get_body(preferencelist=("html",))
    for name, png in letter.pictures.items():
        page.add_related(png, "image", "png", cid=f"<{name}>", disposition="inline")  # type: ignore[union-attr]
    for name, svg in letter.drawings.items():
        message.add_attachment(svg.encode(), "image", "svg+xml", filename=name)
    return message


def send(mail: Mail, letter: Letter, message_id: str) -> tuple[str, ...]:
    """Return when the server has taken the letter, with the recipients that it refused.

    Raises UnsentError when it has not. A connection that breaks after the letter was taken is not noticed.
    """
    settings = mail.settings
    message = message_of(_harmless(letter, mail), settings, message_id)
    try:
        server = _connected(settings)
    except (OSError, smtplib.SMTPException) as error:
        raise _unsent(mail, error) from None
    try:
        if mail.secrets.user:
            server.login(mail.secrets.user, mail.secrets.password)
        refused = server.send_message(message, settings.sender, settings.recipients)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        raise _unsent(mail, error) from None
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
        server.close()
    return tuple(sorted(refused))


def _harmless(letter: Letter, mail: Mail) -> Letter:
    """Return the letter without the password, should an error that it tells of have said it."""

    def hidden(text: str) -> str:
        return mail.secrets.hidden_in(text, user=False)

    subject, text, html = hidden(letter.subject), hidden(letter.text), hidden(letter.html)
    return dataclasses.replace(letter, subject=subject, text=text, html=html)


def _connected(settings: MailSettings) -> smtplib.SMTP:
    """Return a connection over which secrets may be said, or one to this machine, or one over which none are."""
    own, timeout = _own_name(), settings.timeout_seconds
    if settings.security == "tls":
        return smtplib.SMTP_SSL(settings.host, settings.port, own, timeout=timeout, context=_verifying(settings))
    server = smtplib.SMTP(settings.host, settings.port, own, timeout=timeout)
    if settings.security == "starttls":
        try:
            server.starttls(context=_verifying(settings))
        except BaseException:
            server.close()
            raise
    return server


def _verifying(settings: MailSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.certificates:
        context.load_verify_locations(settings.certificates)
    return context


def _own_name() -> str:
    """Return what this machine calls itself, without asking the network for it as smtplib would."""
    name = socket.gethostname()
    return name if "." in name else "[127.0.0.1]"


def _unsent(mail: Mail, error: Exception) -> UnsentError:
    """Return why a letter was not taken, in words without secrets; the error itself may hold them and is dropped."""
    where = f"{mail.settings.host}:{mail.settings.port}"
    match error:
        case smtplib.SMTPAuthenticationError(smtp_code=code):
            what, hint = f"the mail server refused user and password ({code})", "See AB_ASSETS_SMTP_USER and _PASSWORD."
        case smtplib.SMTPNotSupportedError():
            what, hint = "the mail server does not offer what is asked of it", "See `security`, user and password."
            what += f": {_said(mail, str(error))}"
        case ssl.SSLCertVerificationError(verify_message=why):
            what = f"the mail server's certificate cannot be verified: {why}"
            hint = "Name the authority's file in `certificates`, and the server as its certificate does in `host`."
        case ssl.SSLError():
            what, hint = "no TLS with the mail server", 'Is `security` right? 465 is usually "tls", 587 "starttls".'
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            code, said = next(iter(refused.values()))
            what, hint = f"the mail server refused every recipient ({code} {_said(mail, said)})", ""
        case (
            smtplib.SMTPSenderRefused(smtp_code=code, smtp_error=said)
            | smtplib.SMTPDataError(smtp_code=code, smtp_error=said)
        ):
            what, hint = f"the mail server refused the letter ({code} {_said(mail, said)})", ""
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=said):
            what, hint = f"the mail server answered {code} {_said(mail, said)}", ""
        case smtplib.SMTPServerDisconnected() | TimeoutError():  # smtplib says the first of both
            seconds = mail.settings.timeout_seconds
            what, hint = f"the mail server closed the connection, or did not answer in {seconds:g} s", ""
        case UnicodeError():
            what, hint = "the mail server takes no user or password outside ASCII", ""
        case _:
            what, hint = f"the mail server cannot be reached: {_said(mail, str(error))}", ""
    of_letter = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
    of_letter |= isinstance(error, smtplib.SMTPSenderRefused) and error.smtp_code == 552  # too large, RFC 1870
    return UnsentError("letter" if of_letter else "server", Problem(what=what, where=where, hint=hint))


def _said(mail: Mail, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return _one_line(mail.secrets.hidden_in(text))[:_LONGEST_ANSWER]


def _one_line(text: str) -> str:
    """Return text without anything that could end a header or hide in it."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
