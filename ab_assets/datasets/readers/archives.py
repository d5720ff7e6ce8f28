"""Source files in an archive (zip, tar, tar.gz, tar.bz2, tar.xz): the declared members, and nothing else of it."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, TypeVar

from ab_assets.datasets.readers.layouts import nearest_hint
from ab_assets.datasets.readers.source import source_path
from ab_assets.errors import BadInputError, UnknownNameError, UnreadableFileError

if TYPE_CHECKING:
    from types import TracebackType

    from ab_assets.benchmarks.schema import Source

Member = TypeVar("Member")

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)


class SourceFiles:
    """Where the files of [source] can be read, until the `with` block ends.

    Members of an archive are copied into a temporary folder under the name that benchmark.toml declares, which cannot
    lead out of it; names, links and permissions that the archive gives decide nothing.
    """

    def __init__(self, source: Source, folder: Path) -> None:
        self._source = source
        self._folder = folder

    def __enter__(self) -> Self:
        self._unpacked = Path(tempfile.mkdtemp(prefix="ab-assets-")) if self._source.archive else None
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._unpacked is not None:
            shutil.rmtree(self._unpacked)

    def path(self, file: str) -> Path:
        """Return where a declared file is.

        Raises UnknownNameError when there is none, UnreadableFileError when the archive is damaged, BadInputError when
        the member is encrypted or no plain file.
        """
        if self._unpacked is None or self._source.archive is None:
            return source_path(self._folder, file)
        archive = source_path(self._folder, self._source.archive)
        target = self._unpacked / file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _unpack(archive, file, target, name=self._source.archive)
        except _DAMAGED as error:
            raise UnreadableFileError(
                what="this is no zip or tar archive, or it is truncated or damaged",
                where=self._source.archive,
                hint="Copy or download it again.",
            ) from error
        return target


def _unpack(archive: Path, member: str, target: Path, *, name: str) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            found = _one_of({info.filename: info for info in opened.infolist()}, member, name)
            if found.flag_bits & 1:
                raise BadInputError(
                    what="the member is encrypted", where=f"{name}:{member}", hint="Unpack it yourself."
                )
            with opened.open(found) as stream:
                _copy(stream, target)
        return
    with tarfile.open(archive) as opened_tar:
        entry = _one_of({info.name: info for info in opened_tar if info.isreg()}, member, name)
        unpacked = opened_tar.extractfile(entry)
        assert unpacked is not None  # noqa: S101 - plain files have content
        with unpacked:
            _copy(unpacked, target)


def _one_of(members: dict[str, Member], wanted: str, archive: str) -> Member:
    for spelled in (wanted, f"./{wanted}"):
        if spelled in members:
            return members[spelled]
    files = [name for name in members if not name.endswith("/")]
    raise UnknownNameError(
        what=f"the archive has no file {wanted!r}",
        where=archive,
        found=", ".join(map(repr, files[:12])) + (", ..." if len(files) > 12 else ""),
        hint=nearest_hint(wanted, files),
    )


def _copy(stream: IO[bytes], target: Path) -> None:
    with target.open("wb") as written:
        shutil.copyfileobj(stream, written, length=1 << 20)
