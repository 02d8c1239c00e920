from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from graphnets.data import archives
from graphnets.data.archives import each_file, read_file, text_lines
from graphnets.data.files import combined_sha256
from graphnets.data.raw import BadFileError, RawFiles

FILES = {"set/b/2.txt": b"two\n" * 1000, "set/a/1.txt": b"one", "set/c.txt": b""}
HIDDEN = {"set/._c.txt": b"macOS", "__MACOSX/set/c.txt": b"macOS", ".cache/x.txt": b"ours"}


def make(kind: str, folder: Path) -> Path:
    """The files as a folder, a folder of packed files, or an archive."""
    path, content = folder / f"data{kind}", {**FILES, **HIDDEN}
    if kind in ("", "gz"):
        for name, data in content.items():
            file = path / (f"{name}.gz" if kind else name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(gzip.compress(data) if kind else data)
    elif kind == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("set")
            for name, data in content.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:" + kind.rpartition(".")[2].replace("tar", "")) as tar:
            for name, data in content.items():
                info = tarfile.TarInfo(f"./{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            link = tarfile.TarInfo("set/link.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
    return path


@pytest.mark.parametrize("kind", ["", "gz", ".zip", ".tar", ".tar.gz", ".tar.xz"])
def test_the_same_files_wherever_they_lie(kind: str, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    assert {file.name: file.read() for file in each_file(path)} == FILES
    (tmp_path / "around").mkdir()
    path.rename(tmp_path / "around" / path.name)
    around = "data" if kind == "" else "datagz" if kind == "gz" else ""
    assert {file.name: file.read() for file in each_file(tmp_path / "around")} == {
        str(Path(around) / name): data for name, data in FILES.items()
    }


def test_folders_and_zips_are_sorted(tmp_path: Path) -> None:
    for kind in ("", ".zip"):
        assert [file.name for file in each_file(make(kind, tmp_path))] == sorted(FILES)


def test_what_is_no_folder_or_archive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent: no such file or folder"):
        list(each_file(tmp_path / "absent"))
    (tmp_path / "data.rar").write_bytes(b"Rar!")
    with pytest.raises(ValueError, match=r"data\.rar is neither a folder nor an archive: allowed are \.zip, \.tar, "):
        list(each_file(tmp_path / "data.rar"))


@pytest.mark.parametrize("kind", [".zip", ".tar.gz", ".tar.xz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_a_cut_archive_is_damaged(kind: str, share: float, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=rf"data\{kind}: damaged archive"):
        for file in each_file(path):
            file.read()


def test_a_locked_zip(tmp_path: Path) -> None:
    path = make(".zip", tmp_path)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        begin = data.find(mark)
        while begin >= 0:
            data[begin + at] |= 1
            begin = data.find(mark, begin + 4)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged archive: .*password"):
        [file.read() for file in each_file(path)]


def test_a_damaged_packed_file_is_a_problem_of_its_own(tmp_path: Path) -> None:
    make("gz", tmp_path)
    (tmp_path / "datagz" / "set" / "c.txt.gz").write_bytes(b"404")
    raw, content = RawFiles(), {}
    for file in each_file(tmp_path / "datagz"):
        content[file.name] = read_file(raw, file.name, file, len)
    assert content == {"set/a/1.txt": 3, "set/b/2.txt": 4000, "set/c.txt": None}
    (problem,) = raw.problems
    assert (problem.file, problem.value) == ("set/c.txt", "3 bytes") and "not packed by gzip" in problem.message


def test_digests_are_those_of_the_content(tmp_path: Path) -> None:
    digests = []
    for kind in ("", "gz", ".tar.xz"):
        raw = RawFiles()
        for file in each_file(make(kind, tmp_path)):
            read_file(raw, file.name, file, len)
        digests.append(combined_sha256(raw.digests))
    assert len(set(digests)) == 1


def test_a_reader_that_refuses(tmp_path: Path) -> None:
    def refuse(data: bytes) -> None:
        raise BadFileError("one", "must be two", 7)

    raw = RawFiles()
    file = next(each_file(make("", tmp_path)))
    assert read_file(raw, "called", file, refuse) is None
    assert str(raw.problems[0]) == "called, row 7: 'one': must be two" and "called" in raw.digests


def test_what_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST", 3000)
    for kind in ("gz", ".zip", ".tar.xz"):
        with pytest.raises(ValueError, match="unpacks to more than 3,000 bytes"):
            [file.read() for file in each_file(make(kind, tmp_path))]


def test_lines() -> None:
    assert text_lines(b"\xef\xbb\xbfa\nb\xff\n\n  \n") == ["a", "b\N{REPLACEMENT CHARACTER}"]
    assert text_lines(b"") == []
