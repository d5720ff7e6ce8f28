"""Of an archive the declared members are read, and nothing it says about paths is believed."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from ab_assets.datasets.readers import read_source

TABLE = "heavy,light,label\nEVQLV,DIQMT,1\n"


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def write_tar(path, members, *, link=None):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
        if link:
            info = tarfile.TarInfo(link[0])
            info.type, info.linkname = tarfile.SYMTYPE, link[1]
            archive.addfile(info)


WRITERS = {"raw.zip": write_zip, "raw.tar": write_tar, "raw.tar.gz": write_tar}


@pytest.fixture
def benchmark(table_benchmark):
    def make(archive, *files):
        return table_benchmark(list(files), source={"archive": archive})

    return make


@pytest.mark.parametrize("archive", WRITERS)
def test_declared_members_are_read_by_their_own_name(benchmark, tmp_path, archive):
    WRITERS[archive](tmp_path / archive, {"deep/a.csv": TABLE, "b.csv": TABLE, "other.txt": "no table"})
    rows = read_source(benchmark(archive, "deep/a.csv", "b.csv"), tmp_path).rows
    assert rows.select("file", "vh").rows() == [("deep/a.csv", "EVQLV"), ("b.csv", "EVQLV")]
    assert [path.name for path in tmp_path.iterdir()] == [archive]


@pytest.mark.parametrize("archive", WRITERS)
def test_a_missing_member_is_named_with_the_nearest(benchmark, problems_of, tmp_path, archive):
    WRITERS[archive](tmp_path / archive, {"data/antibodies.csv": TABLE})
    (problem,) = problems_of(benchmark(archive, "antibodies.csv"), tmp_path)
    assert "Did you mean 'data/antibodies.csv'?" in problem.hint


@pytest.mark.parametrize("archive", WRITERS)
def test_paths_that_lead_out_of_the_archive_are_never_followed(benchmark, tmp_path, archive):
    folder = tmp_path / "folder"
    folder.mkdir()
    WRITERS[archive](folder / archive, {"../evil.csv": TABLE, "/abs.csv": TABLE, "a.csv": TABLE})
    read_source(benchmark(archive, "a.csv"), folder)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [archive]


def test_a_link_is_no_member(benchmark, problems_of, tmp_path):
    write_tar(tmp_path / "raw.tar", {}, link=("a.csv", "/etc/passwd"))
    (problem,) = problems_of(benchmark("raw.tar", "a.csv"), tmp_path)
    assert "no file 'a.csv'" in problem.what


@pytest.mark.parametrize("archive", WRITERS)
def test_a_truncated_archive_is_refused(benchmark, problems_of, tmp_path, archive):
    WRITERS[archive](tmp_path / archive, {"a.csv": TABLE + "EVQLV,DIQMT,0\n" * 5000})
    whole = (tmp_path / archive).read_bytes()
    (tmp_path / archive).write_bytes(whole[: len(whole) // 2])
    (problem,) = problems_of(benchmark(archive, "a.csv"), tmp_path)
    assert archive in problem.where


def test_something_else_is_no_archive(benchmark, problems_of, tmp_path):
    (tmp_path / "raw.zip").write_text("hello")
    (problem,) = problems_of(benchmark("raw.zip", "a.csv"), tmp_path)
    assert "no zip or tar archive" in problem.what


def test_the_archive_itself_has_to_be_there(benchmark, problems_of, tmp_path):
    (problem,) = problems_of(benchmark("raw.zip", "a.csv"), tmp_path)
    assert (problem.what, problem.where) == ("there is no such file", "raw.zip")
