from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphnets.data import pickles
from graphnets.data.pickles import plain_pickle, read_pickle
from graphnets.data.raw import BadFileError

POSES = np.random.default_rng(0).normal(size=(7, 3, 25))
LABELS = np.array([["SQUAT", "Vidit", "1", "0", str(frame)] for frame in range(7)])
CONTENT: dict[str, Any] = {
    "poses": POSES,
    "labels": LABELS,
    "fortran": np.asfortranarray(POSES),
    "turned": POSES.T,
    "objects": LABELS.astype(object),
    "big endian": POSES.astype(">f4"),
    "truth": POSES > 0,
    "empty": np.empty((0, 3)),
    "none": np.array(2.5),
    "bytes": np.array([b"ab", b"c"]),
    "umlaut": np.array(["ä", "\U0001f600"]),
    "scalar": np.float32(1.5),
    "word": np.str_("Lunges"),
    "plain": [1, 2.0, "three", None, True, b"\x00\xff", (4, 5), {"six": 7}, 2**100],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_come_back(protocol: int) -> None:
    read = plain_pickle(pickle.dumps(CONTENT, protocol))
    assert protocol < 4 or plain_pickle(pickle.dumps({1, 2}, protocol)) == {1, 2}
    assert read.keys() == CONTENT.keys() and read["plain"] == CONTENT["plain"]
    for name, value in CONTENT.items():
        if name != "plain":
            assert np.array_equal(read[name], value) and read[name].shape == np.shape(value), name
            assert read[name].dtype.kind == ("U" if name == "objects" else np.asarray(value).dtype.kind), name
    read["poses"][0] = 1  # an array of its own, not a view of the file


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_both_names_of_numpys_inside(core: str) -> None:
    data = pickle.dumps(POSES, 2)
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        data = data.replace(name, f"{core}.multiarray".encode())
    assert np.array_equal(plain_pickle(data), POSES)


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


NAMED: dict[str, Any] = {
    "posix.system": Calls(os.system, "touch pwned"),
    "builtins.eval": Calls(eval, "open('pwned', 'w')"),
    "builtins.exec": Calls(exec, "open('pwned', 'w')"),
    "builtins.getattr": Calls(getattr, "text", "format"),
    "io.open": Calls(open, "pwned", "w"),
    "numpy.fromfile": Calls(np.fromfile, "pwned"),
    "numpy.zeros": Calls(np.zeros, 3),
    "datetime.date": __import__("datetime").date(2020, 1, 1),
    "builtins.complex": 1j,
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", NAMED)
def test_no_other_name_is_admitted(name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"poses": POSES, "labels": NAMED[name]}, protocol)
    if protocol < 4 and b"posix" in data:
        data = data.replace(b"posix", b"os")  # this system's name for it
        name = "os.system"
    with pytest.raises(BadFileError, match="refused: this name is not that of an array; nothing was run") as refused:
        plain_pickle(data)
    module, _, attribute = name.rpartition(".")
    assert attribute in str(refused.value.value) and module in str(refused.value.value).replace(
        "__builtin__", "builtins"
    )
    assert list(tmp_path.iterdir()) == []


def raw_array(shape: Any = (2,), dtype: bytes = b"S'f8'\n", content: bytes = b"\0" * 16, state: str = "<") -> bytes:
    """An array, instruction by instruction."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    order = b"(I3\nS'" + state.encode() + b"'\nNNNI-1\nI-1\nI0\ntb"
    kind = b"cnumpy\ndtype\n(" + dtype + b"I0\nI1\ntR" + order
    axes = b"(" + b"".join(b"L%dL\n" % n for n in shape) + b"t"
    text = b"T" + struct.pack("<i", len(content)) + content
    return made + b"(I1\n" + axes + kind + b"I00\n" + text + b"tb."


def test_the_array_by_hand_is_one() -> None:
    assert np.array_equal(plain_pickle(raw_array()), [0.0, 0.0])


# A pickle, and a part of what must be said about it.
BAD: dict[str, tuple[bytes, str]] = {
    "dotted name": (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", "not that of an array"),
    "name that numpy has": (b"cnumpy.core.multiarray\nfromfile\n.", "not that of an array"),
    "extension": (b"\x80\x02\x82\x01.", "unregistered extension"),
    "persistent": (b"Pmodel\n.", "outside of the file"),
    "huge array": (raw_array((10**15,)), "takes 8000000000000000 bytes"),
    "negative": (raw_array((-2,)), "whole numbers"),
    "short content": (raw_array(content=b"\0" * 8), "takes 16 bytes"),
    "objects from bytes": (raw_array(dtype=b"S'O8'\n"), "all of them are text"),
    "records": (raw_array(dtype=b"S'V8'\n"), "numbers, truth values and text"),
    "no such type": (raw_array(dtype=b"S'f7'\n", content=b"\0" * 14), "no pickle of plain arrays"),
    "empty text": (raw_array((10**9,), b"S'U0'\n", b""), "numbers, truth values and text"),
    "no character": (raw_array(dtype=b"S'U1'\n", content=b"\xff" * 8), "no character"),
    "memo number": (b"\x80\x02Nr\xff\xff\xff\xff.", "memo number"),
    "long bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.", "damaged"),
    "long bytearray": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 35) + b"abc.", "damaged"),
    "long frame": (b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.", "damaged"),
    "deep tuples": (b"\x80\x02N" + b"\x85" * 1_000_000 + b".", "tuples"),
    "deep lists": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "deep"),
    "circle": (b"\x80\x02]q\x00h\x00a.", "circles"),
    "state of a type": (b"cnumpy\nndarray\n(NNNNNtb.", "no pickle of plain arrays"),
    "no argument": (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)\x81.", "without content"),
    "a type alone": (b"cnumpy\ndtype\n.", "no plain value"),
    "codec": (b"c_codecs\nencode\n(S'abc'\nS'hex'\ntR.", "latin1"),
    "nothing": (b"", "damaged"),
    "no stop": (b"\x80\x04N", "damaged"),
    "text": (b"<html>404</html>", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_would_do_harm_is_refused(name: str) -> None:
    data, said = BAD[name]
    with pytest.raises(BadFileError, match=said):
        plain_pickle(data)


def test_shared_lists_take_no_time() -> None:
    """Ten references to ten references to ...: 10^40 lists, were they not one each."""
    value: list[Any] = ["end"]
    for _ in range(40):
        value = [value] * 10
    assert plain_pickle(pickle.dumps(value))[9][9] is not None


def test_many_arrays_of_one_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "LARGEST", 10_000)
    arrays = [np.zeros(100)] * 200
    assert len(plain_pickle(pickle.dumps(arrays))) == 200  # one array
    with pytest.raises(BadFileError, match="at most 10000 bytes together"):
        plain_pickle(pickle.dumps([np.zeros(100) for _ in range(20)]))
    with pytest.raises(BadFileError, match="at most 10000 bytes together"):
        plain_pickle(pickle.dumps(np.array(["a" * 100, *"b" * 100], dtype=object)))


class Own:
    pass


def test_objects_that_are_no_text() -> None:
    with pytest.raises(BadFileError, match="all of them are text"):
        plain_pickle(pickle.dumps(np.array(["a", 1], dtype=object)))
    with pytest.raises(BadFileError, match="not that of an array"):
        plain_pickle(pickle.dumps(np.array([Own()], dtype=object)))
    with pytest.raises(BadFileError, match="numbers, truth values and text"):
        plain_pickle(pickle.dumps(np.zeros(2, dtype=[("a", "f8"), ("b", "i4")])))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_file_cut_anywhere_is_damaged(protocol: int) -> None:
    data = pickle.dumps({"poses": POSES, "labels": LABELS}, protocol)
    for end in np.linspace(0, len(data) - 1, 60).astype(int):
        with pytest.raises(BadFileError):
            plain_pickle(data[:end])


def test_damaged_bytes_end_in_a_message_or_in_plain_values() -> None:
    sound, rng, bad = pickle.dumps({"poses": POSES[:1], "labels": LABELS}, 4), np.random.default_rng(0), 0
    for _ in range(500):
        data = bytearray(sound)
        for at in rng.integers(0, 300 if rng.random() < 0.7 else len(data), 3):
            data[at] = rng.integers(256)
        try:
            plain_pickle(bytes(data))
        except BadFileError:
            bad += 1
    assert bad > 100


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.pickle"
    path.write_bytes(pickle.dumps(POSES))
    assert np.array_equal(read_pickle(path), POSES)
    monkeypatch.setattr(pickles, "LARGEST", 1000)
    with pytest.raises(BadFileError, match="at most 1000 bytes"):
        read_pickle(path)
