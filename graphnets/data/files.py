"""Files that are whole or absent: write under a temporary name, then rename."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it when the block ends well, remove it otherwise.

    Example:
        >>> with atomic_path("metrics.json") as temporary:
        ...     temporary.write_text("{}")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers choose their format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one piece."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: str | Path, block: int = 1 << 20) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(block):
            digest.update(chunk)
    return digest.hexdigest()


def combined_sha256(named: dict[str, str]) -> str:
    """One digest for a set of files: the SHA-256 over their sorted names and digests."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(named.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
