"""A letter on trial: sent, or written to a file as it would be now."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.errors import AbAssetsError, BadInputError, UnknownNameError
from jobs.launching import open_instance
from resources.mail import FILE_NAME, read_mail
from resources.smtp import UnsentError, send
from sensors.letters import Links, round_letter, trial_letter
from sensors.refresh import Models
from sensors.runs import under_way
from sensors.standing import found

if TYPE_CHECKING:
    from ab_assets.home import Home
    from ab_assets.reports.letter import Letter
    from sensors.rounds import Ending


def send_trial(home: Home) -> str:
    """Send a letter that says that letters arrive; return to whom. Raises AbAssetsError when it is not taken."""
    mail = read_mail(home)
    if mail is None:
        raise UnknownNameError(
            what=f"there is no {FILE_NAME}", where=str(home.root), hint="docs/automation.md has one to copy."
        )
    try:
        refused = send(mail, trial_letter(mail.settings), uuid.uuid4().hex)
    except UnsentError as error:
        raise AbAssetsError(what=error.problem.what, where=error.problem.where, hint=error.problem.hint) from None
    if refused:
        raise AbAssetsError(what=f"the mail server refused {', '.join(refused)}; the others have their letter")
    return ", ".join(mail.settings.recipients)


def write_preview(home: Home, name: str, output: Path | None) -> Path:
    """Write the letter that a benchmark would have now as one HTML file, and return its path."""
    benchmark = home.benchmark(name)
    try:
        mail = read_mail(home)
    except BadInputError:
        mail = None  # the letter can be looked at before the settings are right
    with open_instance(home) as instance:
        running = under_way(instance).running.get(name, frozenset())
        one = found(instance, home, Models(home.catalogue()), benchmark.name, running)
        if one is None:
            raise BadInputError(what=f"benchmark {name} is retired: no letter tells of it")
        ending: Ending = "expired" if one.standing.is_open else "completed"
        letter = round_letter(instance, home, one, ending, Links.of(home, mail.settings if mail else None))
    target = output or Path(f"{name}.mail.html")
    target.write_text(_alone(letter), encoding="utf-8")
    return target


def _alone(letter: Letter) -> str:
    """Return the HTML with its pictures in it, for a browser."""
    page = letter.html
    for name, png in letter.pictures.items():
        uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        page = page.replace(f'src="cid:{name}"', f'src="{uri}"')
    return page
