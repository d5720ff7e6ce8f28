"""mail.toml is read whole or refused with every problem; user and password are shown by nothing."""

from __future__ import annotations

import pickle
import re
from datetime import time
from pathlib import Path

import pytest
from mail_server import PASSWORD, USER, write_certificates

from ab_assets.errors import BadInputError, UnreadableFileError
from ab_assets.home import Home
from resources.mail import Mail, MailSettings, Secrets, read_mail

LEAST = 'host = "mail.lab.example"\nsender = "ab-assets@lab.example"\nrecipients = ["you@lab.example"]\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.delenv("AB_ASSETS_SMTP_USER", raising=False)
    monkeypatch.delenv("AB_ASSETS_SMTP_PASSWORD", raising=False)
    return Home(tmp_path)


def said(here, text: str, kind=BadInputError) -> str:
    (here.root / "mail.toml").write_text(text)
    with pytest.raises(kind) as caught:
        read_mail(here)
    return str(caught.value)


def settings(here, text: str):
    (here.root / "mail.toml").write_text(text)
    return read_mail(here).settings


def test_without_a_file_there_is_no_mail(here):
    assert read_mail(here) is None


def test_three_lines_are_enough(here):
    found = settings(here, LEAST)
    assert (found.port, found.security, found.deadline, found.zone) == (587, "starttls", None, None)


def test_the_documented_file_is_one(here):
    page = (Path(__file__).parents[2] / "docs" / "automation.md").read_text()
    [example] = [text for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "recipients" in text]
    assert settings(here, example).deadline == time(7)
    documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\|(.*?)\|", page))))
    assert set(MailSettings.model_fields) <= documented | set(re.findall(r"(?m)^(\w+) =", example))


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_is_the_usual_one_unless_it_is_said(here, security, port):
    assert settings(here, f'{LEAST}security = "{security}"').port == port
    assert settings(here, f'{LEAST}security = "{security}"\nport = 2525').port == 2525


def test_deadline_and_zone_are_read(here):
    found = settings(here, LEAST + 'deadline = "07:00"\ntime_zone = "Europe/Berlin"\nui = "https://dagster.example/"')
    assert (found.deadline, str(found.zone), found.ui) == (time(7), "Europe/Berlin", "https://dagster.example")


def test_all_problems_are_named_at_once_with_the_nearest_names(here):
    text = said(
        here,
        'host = "bad host"\nrecipient = ["x"]\nport = 70000\nsecurity = "ssl"\nsender = "nobody"\n'
        'deadline = "7 o\'clock"\ntime_zone = "Europe/Berln"\nui = "ftp://x"\ncertificates = "no.pem"\n',
    )
    assert "10 problem(s)" in text
    for words in (
        "host: this is no name",
        "recipients is missing",
        "unknown key recipient. Did you mean 'recipients'?",
        "port: ",
        "security: ",
        "sender: a mail address is written name@host",
        'deadline: a time of day is written as "07:00"',
        "time_zone: there is no time zone",
        "ui: an address of a web page",
        "no.pem is no PEM file",
    ):
        assert words in text


def test_what_is_no_toml_is_refused(here):
    assert "no TOML file" in said(here, "host = ", UnreadableFileError)
    (here.root / "mail.toml").write_bytes(b"\xff")
    with pytest.raises(UnreadableFileError):
        read_mail(here)


@pytest.mark.parametrize(
    "address", ["a@b\\nBcc: c@d", "a b@c", "a@b, c@d", "<a@b>", "@b", "a@", "", "\\u00e4@b.example", "a@b\\u202e"]
)
def test_what_is_no_single_address_is_refused(here, address):
    assert "recipients.0" in said(here, LEAST.replace("you@lab.example", address))


def test_a_password_does_not_belong_into_the_file_and_is_not_repeated(here):
    text = said(here, LEAST + f'password = "{PASSWORD}"\nui = "https://me:{PASSWORD}@dagster.example"')
    assert "AB_ASSETS_SMTP_PASSWORD" in text
    assert PASSWORD not in text


@pytest.mark.parametrize("name", ["AB_ASSETS_SMTP_USER", "AB_ASSETS_SMTP_PASSWORD"])
def test_user_and_password_come_together(here, monkeypatch, name):
    monkeypatch.setenv(name, PASSWORD)
    text = said(here, LEAST)
    assert "give both or neither" in text
    assert PASSWORD not in text


def test_no_password_goes_over_a_network_in_the_clear(here, monkeypatch):
    monkeypatch.setenv("AB_ASSETS_SMTP_USER", USER)
    monkeypatch.setenv("AB_ASSETS_SMTP_PASSWORD", PASSWORD)
    text = said(here, LEAST + 'security = "none"')
    assert "in the clear" in text
    assert USER not in text
    assert PASSWORD not in text
    for near in ("127.0.0.1", "::1", "localhost"):
        assert settings(here, LEAST.replace("mail.lab.example", near) + 'security = "none"').is_near
    assert not settings(here, LEAST).is_near


def test_an_own_authority_is_read_from_the_home(here):
    write_certificates(here.root, "localhost")
    found = settings(here, LEAST + 'certificates = "authority.pem"')
    assert found.certificates == str(here.root / "authority.pem")


def test_secrets_are_shown_by_nothing(here, monkeypatch):
    monkeypatch.setenv("AB_ASSETS_SMTP_USER", USER)
    monkeypatch.setenv("AB_ASSETS_SMTP_PASSWORD", PASSWORD)
    (here.root / "mail.toml").write_text(LEAST)
    mail = read_mail(here)
    assert mail.secrets == Secrets(USER, PASSWORD)
    for text in (repr(mail), str(mail), f"{mail.secrets}", repr([mail.secrets]), f"{Mail(mail.settings, Secrets())}"):
        assert USER not in text
        assert PASSWORD not in text
    assert pickle.loads(pickle.dumps(mail.secrets)) == mail.secrets  # noqa: S301 - these bytes are our own


def test_a_secret_is_hidden_in_any_spelling():
    secrets = Secrets("me", 'a"b\\c&d')
    for spelling in ('a"b\\c&d', "a&quot;b\\c&amp;d", "YSJiXGMmZA==", 'a"b\\\\c&d'):
        assert secrets.hidden_in(f"[{spelling}]") == "[***]"
    assert secrets.hidden_in("me and me") == "*** and ***"
    assert secrets.hidden_in("me and you", user=False) == "me and you"
    assert Secrets().hidden_in("nothing to hide") == "nothing to hide"
