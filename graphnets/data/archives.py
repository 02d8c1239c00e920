"""Raw files wherever they lie: in a folder, in an archive as it was downloaded, or in archives inside of a folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, TypeVar, cast

from graphnets.data.raw import BadFileError, RawFiles

T = TypeVar("T")

LARGEST = 1 << 30
"""Bytes. No single file of the data sets here comes near it: a member that unpacks to more is no data."""
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz")
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError,
            NotImplementedError, RuntimeError)  # fmt: skip


class RawFile(NamedTuple):
    """A file: its name below what was given, and how to read it.

    Attributes:
        name: With slashes, without ``.gz``.
        read: Gives the content, unpacked; to be called before the next file is asked for.
    """

    name: str
    read: Callable[[], bytes]


def each_file(path: Path) -> Iterator[RawFile]:
    """Every file of a folder or an archive, sorted by name in a folder and in a zip, in its own order in a tar.

    What ends in ``.gz`` is unpacked, archives that lie in a folder count like folders, and the hidden files and
    ``__MACOSX`` folders that some systems leave behind are passed over. Nothing is written to the disk.

    Args:
        path: A folder, a ``.zip``, or a ``.tar`` with or without compression (gzip, xz).

    Raises:
        ValueError: There is nothing at ``path``, it is no folder or archive, or an archive is damaged.
    """
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            inside = file.relative_to(path)
            if _hidden(inside.as_posix()):
                continue
            if _is_archive(file):
                for member in each_file(file):
                    yield RawFile((inside.parent / member.name).as_posix(), member.read)
            else:
                yield _raw_file(inside.as_posix(), partial(_plain, file), file)
    elif not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    elif not _is_archive(path):
        raise ValueError(f"{path} is neither a folder nor an archive: allowed are .zip, {', '.join(_TAR)}")
    else:
        try:
            yield from _zipped(path) if path.suffix.lower() == ".zip" else _tarred(path)
        except _DAMAGED as error:
            raise ValueError(f"{path}: damaged archive: {error}") from error


def read_file(raw: RawFiles, name: str, file: RawFile, reader: Callable[[bytes], T]) -> T | None:
    """Read one file and note its digest; where it is bad, note the problem and return None.

    The digest is that of the unpacked content, so that a folder and an archive of the same files have the same.

    Args:
        raw: Where to note both.
        name: What to call the file there.
        file: Of :func:`each_file`.
        reader: Turns the content into something, or raises :class:`~graphnets.data.raw.BadFileError`.
    """
    try:
        data = file.read()
        raw.digests[name] = hashlib.sha256(data).hexdigest()
        return reader(data)
    except BadFileError as bad:
        raw.report(name, bad.value, str(bad), bad.row)
    except OSError as error:
        raw.report(name, "", f"can't be read: {error}")
    return None


def text_lines(data: bytes) -> list[str]:
    """The lines of a text without the empty ones at its end; bytes that are no text become question marks."""
    lines = data.decode("utf-8-sig", errors="replace").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith((".zip", *_TAR))


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts if part != ".")


def _zipped(path: Path) -> Iterator[RawFile]:
    with zipfile.ZipFile(path) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if not info.is_dir() and not _hidden(info.filename):
                yield _raw_file(info.filename, partial(archive.open, info), path)


def _tarred(path: Path) -> Iterator[RawFile]:
    # As a stream: to go back in a compressed tar means to unpack it again from the start.
    with _unpacked(path) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                name = str(PurePosixPath(info.name))
                if info.isfile() and not _hidden(name):
                    yield _raw_file(name, partial(_member, archive, info), path)
        while stream.read(1 << 20):  # the checksum of the whole comes at the end
            pass


def _unpacked(path: Path) -> IO[bytes]:
    if path.name.lower().endswith("gz"):
        return cast(IO[bytes], gzip.open(path))
    return cast(IO[bytes], lzma.open(path)) if path.name.lower().endswith("xz") else _plain(path)


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None  # it is for folders and devices alone
    return file


def _raw_file(name: str, opened: Callable[[], IO[bytes]], path: Path) -> RawFile:
    packed = name.lower().endswith(".gz")
    return RawFile(name[: -len(".gz")] if packed else name, partial(_content, opened, packed, path))


def _content(opened: Callable[[], IO[bytes]], packed: bool, path: Path) -> bytes:
    """What is in a file; damage of an archive ends everything, damage of one packed file is a problem of its own."""
    try:
        with opened() as file:
            data = file.read(LARGEST + 1)
    except _DAMAGED as error:
        raise ValueError(f"{path}: damaged archive: {error}") from error
    if packed:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as unzipped:
                data = unzipped.read(LARGEST + 1)
        except (*_DAMAGED, OSError) as error:
            raise BadFileError(f"{len(data)} bytes", f"damaged, or not packed by gzip: {error}") from error
    if len(data) > LARGEST:
        raise ValueError(f"{path}: a file in it unpacks to more than {LARGEST:,} bytes; that is no raw data")
    return data
