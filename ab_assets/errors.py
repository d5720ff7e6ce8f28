"""Every error a user can meet, as one tree.

AbAssetsError
├── BadInputError                what the user gave is wrong            exit code 2
│   ├── InvalidBenchmarkError    benchmark.toml or its data, all problems at once
│   ├── UnknownNameError         a benchmark, model or file that does not exist
│   └── UnreadableFileError      truncated, not the declared format, not text
├── LeakageError                 test rows too similar to training rows exit code 3
├── InfeasibleSplitError         no split keeps the bound at the declared cost   3
├── UnavailableError             weights or data are not on this machine         4
├── CorruptArtifactError         a stored file is not what its manifest says     5
├── MissingArtifactError         an upstream result has not been made yet        6
├── ComputeFailedError           the place where a model ran ended the work      1
├── FitFailedError               training produced no usable model               1
└── InterruptedFitError          a fit was told to stop, and can go on later     1

A message says what, where, found against expected, and the next step.
"""

from __future__ import annotations

import copyreg
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in the words of the person who can mend it."""

    what: str
    where: str = ""
    found: str = ""
    expected: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        details = [f"found {self.found}" if self.found else "", f"expected {self.expected}" if self.expected else ""]
        if any(details):
            text += f" ({', '.join(d for d in details if d)})"
        text += "" if text.endswith((".", "?", "!")) else "."
        return f"{text} {self.hint}".strip()


class AbAssetsError(Exception):
    """Anything this project refuses or fails at, said in words a user can act on."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *, what: str, where: str = "", found: str = "", expected: str = "", hint: str = "") -> None:
        self.problem = Problem(what=what, where=where, found=found, expected=expected, hint=hint)
        super().__init__(str(self.problem))

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments are not kept by exceptions, so a copy in another process is filled in, not called again.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class BadInputError(AbAssetsError):
    """What the user gave cannot be used."""

    exit_code = 2


class InvalidBenchmarkError(BadInputError):
    """A benchmark folder has problems; all of them are in `problems`."""

    def __init__(self, *, name: str, problems: Sequence[Problem]) -> None:
        self.name = name
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(what=f"benchmark {name} has {len(self.problems)} problem(s):\n{lines}")


class UnknownNameError(BadInputError):
    """A benchmark, model or file was named that does not exist."""


class UnreadableFileError(BadInputError):
    """A file is truncated, is not the declared format, or is not text."""


class LeakageError(AbAssetsError):
    """Test or validation rows are more similar to training rows than the split declares."""

    exit_code = 3


class InfeasibleSplitError(AbAssetsError):
    """No split keeps the declared bound at the declared cost."""

    exit_code = 3


class UnavailableError(AbAssetsError):
    """Weights or data that are needed are not on this machine and cannot be fetched."""

    exit_code = 4


class CorruptArtifactError(AbAssetsError):
    """A stored file is not what its manifest says."""

    exit_code = 5


class MissingArtifactError(AbAssetsError):
    """An upstream result that is needed has not been made yet."""

    exit_code = 6


class ComputeFailedError(AbAssetsError):
    """Where a model ran, something other than the work ended it; `cause` is its name, such as OutOfMemory."""

    def __init__(self, *, cause: str, what: str, where: str = "", found: str = "", hint: str = "") -> None:
        self.cause = cause
        super().__init__(what=what, where=where, found=found, hint=hint)


class FitFailedError(AbAssetsError):
    """Training produced no usable model."""


class InterruptedFitError(AbAssetsError):
    """A fit was told to stop; what it had reached is stored, and the same fit goes on from there."""
