"""How mail leaves this home: `mail.toml`, and a user and password that only the environment knows."""

from __future__ import annotations

import base64
import html
import os
import re
import ssl
from dataclasses import dataclass
from datetime import time
from email.errors import MessageError
from email.headerregistry import Address
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ab_assets.settings import problems_in, read_toml, refused

if TYPE_CHECKING:
    from ab_assets.home import Home

FILE_NAME = "mail.toml"
USER, PASSWORD = "AB_ASSETS_SMTP_USER", "AB_ASSETS_SMTP_PASSWORD"

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_ELSEWHERE = dict.fromkeys(
    ("user", "username", "login", "password"), f"user and password come from the environment, {USER} and {PASSWORD}"
)
_NOT_SHOWN = ("ui", "report_url")  # someone may have written a password into them


def _address(text: str) -> str:
    try:
        parsed = Address(addr_spec=text)
        whole = bool(parsed.domain and parsed.username) and text.isascii() and text.isprintable()
    except (ValueError, IndexError, MessageError):
        whole = False
    if not whole:
        msg = "a mail address is written name@host, in ASCII, each in quotation marks of its own"
        raise ValueError(msg)
    return text


def _clock(value: object) -> object:
    if value == "" or isinstance(value, time):
        return value or None
    if isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        return time.fromisoformat(value)
    msg = 'a time of day is written as "07:00"'
    raise ValueError(msg)


def _zone(name: str) -> str:
    try:
        if name:
            ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        msg = 'there is no time zone of this name; write it as "Europe/Berlin", or leave it out for the machine\'s'
        raise ValueError(msg) from error
    return name


def _base(url: str) -> str:
    parts = urlsplit(url) if url else None
    if parts and (parts.scheme not in ("http", "https") or not parts.hostname or parts.password or parts.query):
        msg = "an address of a web page begins with http:// or https:// and has no password or query in it"
        raise ValueError(msg)
    return url.rstrip("/")


def _host(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", name):
        msg = "this is no name or address of a host"
        raise ValueError(msg)
    return name


MailAddress = Annotated[str, AfterValidator(_address)]
WebAddress = Annotated[str, AfterValidator(_base)]


class MailSettings(BaseModel):
    """All of mail.toml.

    `port`: 0 is the usual one of `security`. `certificates`: a PEM file with the authority that signed the server's
    certificate, where the machine does not know it; a relative path is relative to the home. `deadline`: when a letter
    goes out with what is there, None never. `time_zone`: "" is the machine's. `ui`: where people reach the Dagster UI,
    `report_url`: where they reach the home's folder; links follow from both. `stuck_hours`: a run that says nothing
    for longer is stuck. `timeout_seconds`: for each answer of the server.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: Annotated[str, AfterValidator(_host)]
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    security: Literal["starttls", "tls", "none"] = "starttls"
    certificates: str = ""
    sender: MailAddress
    recipients: Annotated[tuple[MailAddress, ...], Field(min_length=1, max_length=50)]
    deadline: Annotated[time | None, BeforeValidator(_clock)] = None
    time_zone: Annotated[str, AfterValidator(_zone)] = ""
    ui: WebAddress = ""
    report_url: WebAddress = ""
    stuck_hours: Annotated[float, Field(gt=0)] = 12
    timeout_seconds: Annotated[float, Field(gt=0, le=20)] = 10

    @model_validator(mode="after")
    def _with_port(self) -> Self:
        if not self.port:
            object.__setattr__(self, "port", _PORTS[self.security])
        return self

    @property
    def zone(self) -> ZoneInfo | None:
        """The time zone of the deadline, None for the machine's."""
        return ZoneInfo(self.time_zone) if self.time_zone else None

    @property
    def is_near(self) -> bool:
        """Whether the server is this machine: what is said to it passes no network."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """User and password; they are shown by nothing."""

    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Secrets({'given' if self.user else 'none'})"

    def hidden_in(self, text: str, *, user: bool = True) -> str:
        """Return text in which neither stands, in any spelling; a user's name may be a word of any letter."""
        for secret in filter(None, (self.password, self.user if user else "")):
            encoded = base64.b64encode(secret.encode()).decode()
            for spelling in sorted({secret, encoded, repr(secret)[1:-1], html.escape(secret)}, key=len, reverse=True):
                text = text.replace(spelling, "***")
        return text


@dataclass(frozen=True, slots=True)
class Mail:
    """Settings and secrets that go together."""

    settings: MailSettings
    secrets: Secrets


def read_mail(home: Home) -> Mail | None:
    """Return how mail leaves this home, or None when there is no mail.toml.

    Raises BadInputError with every problem of the file and of the environment at once.
    """
    path = home.root / FILE_NAME
    if not path.is_file():
        return None
    values = read_toml(path)
    secrets = Secrets(os.environ.get(USER, ""), os.environ.get(PASSWORD, ""))
    settings, problems = _settings(values, home.root)
    if bool(secrets.user) != bool(secrets.password):
        missing, given = (USER, PASSWORD) if secrets.password else (PASSWORD, USER)
        problems.append(f"the environment has {given} and not {missing}; give both or neither")
    if settings and secrets.user and settings.security == "none" and not settings.is_near:
        problems.append(
            'security = "none" would send user and password in the clear; say "starttls" or "tls", or unset '
            f"{USER} and {PASSWORD}"
        )
    if problems or settings is None:
        raise refused(path, problems, what="the mail settings")
    return Mail(settings, secrets)


def _settings(values: dict[str, Any], root: Path) -> tuple[MailSettings | None, list[str]]:
    """Return the settings, None where they cannot be had, and every problem of the file in words."""
    try:
        settings = MailSettings.model_validate(values)
    except ValidationError as error:
        problems = problems_in(error, MailSettings, elsewhere=_ELSEWHERE, hidden=_NOT_SHOWN)
        return None, [*problems, *_bad_certificates(values.get("certificates"), root)]
    path = str(root / Path(settings.certificates).expanduser()) if settings.certificates else ""
    return settings.model_copy(update={"certificates": path}), _bad_certificates(settings.certificates, root)


def _bad_certificates(name: object, root: Path) -> list[str]:
    if not name or not isinstance(name, str):
        return []
    path = root / Path(name).expanduser()
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ValueError):
        return [f"certificates: {path} is no PEM file with certificates"]
    return []
