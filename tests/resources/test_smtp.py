"""Letters reach a real server: STARTTLS, TLS, neither; right password, wrong one, none; and what fails is said."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest
from mail_server import PASSWORD, USER, free_port, mail_server, write_certificates

from ab_assets.reports.letter import Letter
from resources.mail import Mail, MailSettings, Secrets
from resources.smtp import UnsentError, message_of, send

LETTER = Letter(
    "a subject", "plain\n", '<p>rich</p><img src="cid:strip-0">', {"strip-0": b"\x89PNG"}, {"s.svg": "<svg/>"}
)
SECRETS = Secrets(USER, PASSWORD)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return write_certificates(tmp_path_factory.mktemp("certificates"), "localhost", "127.0.0.1")


def mail(port, security="none", *, secrets=None, certificates="", **more) -> Mail:
    return Mail(
        MailSettings.model_validate(
            {
                "host": "127.0.0.1",
                "port": port,
                "security": security,
                "certificates": str(certificates),
                "sender": "ab-assets@lab.example",
                "recipients": ["you@lab.example", "me@lab.example"],
                "timeout_seconds": 5,
                **more,
            }
        ),
        secrets or Secrets(),
    )


def refused(mail: Mail, letter: Letter = LETTER) -> UnsentError:
    with pytest.raises(UnsentError) as caught:
        send(mail, letter, "id")
    for shown in (str(caught.value), repr(caught.value), repr(caught.value.__cause__)):
        assert PASSWORD not in shown
        assert USER not in shown
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("auth", [True, False])
def test_a_letter_travels_encrypted_with_and_without_a_password(certificates, security, auth):
    authority, server = certificates
    with mail_server(security, server, auth=auth and security == "starttls") as box:
        given = mail(
            box.port, security, secrets=SECRETS if auth and security == "starttls" else None, certificates=authority
        )
        assert send(given, LETTER, "id") == ()
    [(envelope, message)] = box.messages
    assert box.tls == [True]
    assert envelope.rcpt_tos == ["you@lab.example", "me@lab.example"]
    assert message["Message-ID"] == "<id@lab.example>"


def test_a_password_is_said_over_tls_from_the_first_byte(certificates):
    authority, server = certificates
    with mail_server("tls", server, auth=True) as box:
        assert send(mail(box.port, "tls", secrets=SECRETS, certificates=authority), LETTER, "id") == ()
    assert len(box.messages) == 1


def test_this_machine_is_told_a_password_without_encryption():
    with mail_server(auth=True) as box:
        send(mail(box.port, secrets=SECRETS), LETTER, "id")
    assert box.tls == [False]


def test_what_arrives_is_text_html_with_its_picture_and_a_drawing():
    with mail_server() as box:
        send(mail(box.port), LETTER, "id")
    [(_, message)] = box.messages
    assert message.get_body(("plain",)).get_content().splitlines() == ["plain"]
    assert message.get_body(("html",)).get_content().strip() == LETTER.html
    parts = {part.get_content_type(): part for part in message.walk()}
    assert parts["image/png"]["Content-ID"] == "<strip-0>"
    assert parts["image/png"].get_content() == b"\x89PNG"
    assert parts["image/svg+xml"].get_filename() == "s.svg"
    assert message["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("auth", [Secrets(USER, "wrong"), Secrets("wrong", PASSWORD)])
def test_a_wrong_password_is_said_to_be_one_and_not_what_it_is(certificates, auth):
    authority, server = certificates
    with mail_server("starttls", server, auth=True) as box:
        error = refused(mail(box.port, "starttls", secrets=auth, certificates=authority))
    assert "refused user and password (535)" in str(error)
    assert error.because_of == "server"
    assert "wrong" not in str(error)


def test_a_missing_password_is_told(certificates):
    authority, server = certificates
    with mail_server("starttls", server, auth=True) as box:
        assert "530" in str(refused(mail(box.port, "starttls", certificates=authority)))


def test_a_server_without_starttls_or_passwords_gets_neither_letter_nor_password():
    with mail_server() as box:
        assert "STARTTLS" in str(refused(mail(box.port, "starttls", secrets=SECRETS)))
        assert "does not offer" in str(refused(mail(box.port, secrets=SECRETS)))
    assert box.messages == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_ends_it(certificates, security):
    with mail_server(security, certificates[1]) as box:
        assert "certificate cannot be verified" in str(refused(mail(box.port, security)))
    assert box.messages == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_for_another_name_ends_it(tmp_path, security):
    authority, server = write_certificates(tmp_path, "mail.elsewhere.example")
    with mail_server(security, server) as box:
        assert "certificate cannot be verified" in str(refused(mail(box.port, security, certificates=authority)))
    assert box.messages == []


def test_tls_with_a_server_that_speaks_none_is_told():
    with mail_server() as box:
        assert "no TLS" in str(refused(mail(box.port, "tls")))


def test_a_server_that_is_not_there_is_told():
    error = refused(mail(free_port()))
    assert "cannot be reached" in str(error)
    assert error.because_of == "server"


def test_a_server_that_says_nothing_is_not_waited_for_for_ever():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert "did not answer" in str(refused(mail(silent.getsockname()[1], timeout_seconds=0.2)))


@pytest.mark.parametrize(
    ("answer", "because_of"),
    [("554 no spam", "letter"), ("552 too large", "letter"), ("451 later", "server"), ("421 going", "server")],
)
def test_a_letter_that_is_refused_is_told_from_a_server_that_is(answer, because_of):
    with mail_server() as box:
        box.answers = [answer]
        error = refused(mail(box.port))
    assert error.because_of == because_of
    assert answer[:3] in str(error)


def test_recipients_that_are_refused_are_named_and_the_others_have_their_letter():
    with mail_server() as box:
        box.refused = {"me@lab.example"}
        assert send(mail(box.port), LETTER, "id") == ("me@lab.example",)
        box.refused = {"me@lab.example", "you@lab.example"}
        assert "every recipient" in str(refused(mail(box.port)))
    assert len(box.messages) == 1


def test_a_connection_that_breaks_after_the_letter_was_taken_does_not_send_it_again():
    """It takes the letter and closes instead of answering QUIT."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve():
            connection, _ = listening.accept()
            with connection, connection.makefile("rwb") as stream:
                stream.write(b"220 here\r\n")
                stream.flush()
                for line in stream:
                    if line.upper().startswith(b"DATA"):
                        stream.write(b"354 go\r\n")
                        stream.flush()
                        while stream.readline() != b".\r\n":
                            pass
                    elif line.upper().startswith(b"QUIT"):
                        return
                    stream.write(b"250 ok\r\n")
                    stream.flush()

        thread = threading.Thread(target=serve)
        thread.start()
        assert send(mail(listening.getsockname()[1]), LETTER, "id") == ()
        thread.join()


@pytest.mark.parametrize(
    "subject", ["a\r\nBcc: evil@x.example", "a\nX-Evil: 1\n\nbody", "a\x00b\u2028c\u202ed", "x" * 5000]
)
def test_no_subject_becomes_another_header(subject):
    with mail_server() as box:
        send(mail(box.port), Letter(subject, "text\n", "<p></p>"), "id")
    [(envelope, message)] = box.messages
    assert envelope.rcpt_tos == ["you@lab.example", "me@lab.example"]
    assert message["Bcc"] is None
    assert message["X-Evil"] is None
    assert len(message["Subject"]) <= 150
    assert message["Subject"].isprintable()


def test_the_password_stands_in_no_letter_whatever_error_it_tells_of(certificates):
    authority, server = certificates
    leak = Letter(f"s {PASSWORD}", f"t {PASSWORD}\n", "<p>s3cret&amp;p&lt;ss&gt;word</p>")
    with mail_server("starttls", server, auth=True) as box:
        send(mail(box.port, "starttls", secrets=SECRETS, certificates=authority), leak, "id")
    [(_, message)] = box.messages
    shown = [message["Subject"], *(message.get_body((kind,)).get_content() for kind in ("plain", "html"))]
    assert [text.strip() for text in shown] == ["s ***", "t ***", "<p>***</p>"]


def test_letters_beyond_ascii_arrive_as_they_are():
    with mail_server() as box:
        send(mail(box.port), Letter("Bindung β≥δ", "Größe ≥ 1 " + "lang " * 400 + "\n", "<p>≥</p>"), "id")
    [(_, message)] = box.messages
    assert message["Subject"] == "Bindung β≥δ"
    assert message.get_body(("plain",)).get_content().startswith("Größe ≥ 1 lang")


def test_the_context_verifies(certificates):
    from resources.smtp import _verifying

    context = _verifying(mail(1, "tls", certificates=certificates[0]).settings)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert message_of(LETTER, mail(1).settings, "x")["From"] == "ab-assets@lab.example"
