"""Where benchmarks lie: in the home's own directory, then in those that benchmarks.toml of the home names."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ab_assets.settings import problems_in, read_toml, refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

FILE_NAME = "benchmarks.toml"

_WHAT = "the directories of benchmarks"
_TAKEN = ("store", "models", "cache", "dagster", "work", "mail")


class Settings(BaseModel):
    """All of benchmarks.toml. A relative path is relative to the home, ~ is the user's own folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directories: tuple[Annotated[str, Field(min_length=1)], ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """All benchmark folders at one moment.

    `folders`: {name: the folder that counts}; `doubles`: {another folder of a name: the one that counts}; `absent`:
    {directory that cannot be looked into: why}. What lies in an absent one is not known.
    """

    folders: Mapping[str, Path] = field(default_factory=dict)
    doubles: Mapping[Path, Path] = field(default_factory=dict)
    absent: Mapping[Path, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """Each absent directory, in words."""
        return [f"{directory} {why}" for directory, why in self.absent.items()]


@dataclass(frozen=True, slots=True)
class Directories:
    """The home's own directory of benchmarks, and further ones; of several folders of one name the first counts."""

    own: Path
    further: tuple[Path, ...] = ()

    def folder(self, name: str) -> Path:
        """Return the folder of this name; where there is none, the one that it would have in the home."""
        if not self.further:
            return self.own / name
        folders = (directory / name for directory in (self.own, *self.further))
        return next((one for one in folders if os.path.isdir(one) or _is_broken(one)), self.own / name)  # noqa: PTH112

    def layout(self) -> Layout:
        """Look into every directory, once.

        A further directory that is empty counts as absent: so looks a mount point without its share.
        """
        own = _names_in(self.own, may_be_empty=True) if os.path.lexists(self.own) else frozenset[str]()
        further = {directory: _names_in(directory, may_be_empty=False) for directory in self.further}
        return laid_out({self.own: own, **further})


def laid_out(found: Mapping[Path, Set[str] | str]) -> Layout:
    """Return the layout of directories in their order, each with the names in it, or why it cannot be looked into."""
    folders: dict[str, Path] = {}
    doubles: dict[Path, Path] = {}
    for directory, names in found.items():
        for name in () if isinstance(names, str) else sorted(names):
            if name in folders:
                doubles[directory / name] = folders[name]
            elif not name.startswith("."):
                folders[name] = directory / name
    return Layout(folders, doubles, {place: why for place, why in found.items() if isinstance(why, str)})


def read_directories(root: Path) -> Directories:
    """Return the directories of a home. Raises BadInputError with every problem of benchmarks.toml."""
    path, own = root / FILE_NAME, root / "benchmarks"
    try:
        settings = Settings.model_validate(read_toml(path))
    except ValidationError as error:
        raise refused(path, problems_in(error, Settings), what=_WHAT) from error
    known = {_real(own): own}
    problems = []
    for text in settings.directories:
        try:
            said = Path(text).expanduser()
            real = _real(root / said)
        except (RuntimeError, ValueError, OSError) as error:
            problems.append(f"directories: this is no directory: {error} (found {text!r})")
            continue
        if why := _why_not(real, _real(root), known):
            problems.append(f"directories: {why} (found {text!r})")
        else:
            known.setdefault(real, said if said.is_absolute() else real)
    if problems:
        raise refused(path, problems, what=_WHAT)
    return Directories(own, tuple(known.values())[1:])


def _why_not(directory: Path, root: Path, known: Mapping[Path, Path]) -> str:
    """Return why benchmarks cannot lie in a directory, "" when they can."""
    if root.is_relative_to(directory):
        return "the home itself lies in it"
    if any(directory.is_relative_to(root / name) for name in _TAKEN):
        return "it is a part of the home that holds something else"
    for other, said in known.items():
        if directory != other and (directory.is_relative_to(other) or other.is_relative_to(directory)):
            return f"it and {said} lie one in the other"
    return ""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _names_in(directory: Path, *, may_be_empty: bool) -> Set[str] | str:
    """Return the names of all folders; or why it cannot be looked into."""
    try:
        with os.scandir(directory) as entries:
            every = list(entries)
    except FileNotFoundError:
        return "is not there (not mounted?)"
    except OSError as error:
        return f"cannot be looked into: {error.strerror}"
    if not every and not may_be_empty:
        return "is empty (not mounted?)"
    return frozenset(entry.name for entry in every if _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether it is a folder, or a link to one that cannot be seen now: that is no removal."""
    with suppress(OSError):
        return entry.is_dir() or _is_broken(Path(entry))
    return True


def _is_broken(link: Path) -> bool:
    return os.path.lexists(link) and not os.path.exists(link)  # noqa: PTH110 - False for an error
