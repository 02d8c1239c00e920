"""Reading pickles of plain arrays without running anything that is in them.

A pickle is a program: ``pickle.load`` calls whatever it names. Here nothing that a pickle names is ever called, NumPy's
own functions neither: each of the few names that an array needs stands for a note of what it was to be called with, and
the arrays are made from the notes afterwards, with every size checked against the bytes that are there.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, Self

import numpy as np

from graphnets.data.raw import BadFileError

LARGEST = 1 << 30
"""Bytes. A larger file is refused before it is read."""
_MOST_INSTRUCTIONS = 5_000_000
_MOST_TUPLES = 10_000
_DEPTH = 50
_DTYPE = re.compile(r"[<>|=]?[biufSU][1-9]\d{0,5}")
_BROKEN = (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError, LookupError, OverflowError,
           MemoryError, RecursionError, AssertionError)  # fmt: skip


class _Note:
    """What a pickle wants to have called: the arguments, and the state that it wants to set."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Self:
        note = super().__new__(cls)
        note.args, note.state = args, None
        return note

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _ArrayType(_Note):
    """``numpy.ndarray`` itself, which stands among the arguments of an array."""


class _Dtype(_Note):
    """``numpy.dtype("f8", False, True)``, then a state with the byte order."""


class _Array(_Note):
    """``_reconstruct(ndarray, (0,), b"b")``, then a state ``(version, shape, dtype, Fortran order, content)``."""


class _Buffer(_Note):
    """``_frombuffer(content, dtype, shape, order)``, as protocol 5 has it."""


class _Scalar(_Note):
    """``scalar(dtype, content)``."""


class _Encoded(_Note):
    """``_codecs.encode(text, "latin1")``, or ``bytes()``: bytes, as protocols up to 2 have them."""


_NUMPY = {"_reconstruct": _Array, "scalar": _Scalar}
_ADMITTED: dict[tuple[str, str], type[_Note]] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encoded,
    ("builtins", "bytes"): _Encoded,
    ("__builtin__", "bytes"): _Encoded,
    **{(f"numpy.{core}.multiarray", name): note for core in ("core", "_core") for name, note in _NUMPY.items()},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Buffer for core in ("core", "_core")},
}


class _RefusedError(Exception):
    """A pickle that holds something else than arrays; the value that shows it."""

    def __init__(self, value: object, message: str) -> None:
        super().__init__(message)
        self.value = value


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _RefusedError(f"{module}.{name}"[:80], "this name is not that of an array; nothing was run")
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(str(pid)[:80], "refers to something outside of the file; nothing was run")


def read_pickle(path: Path) -> Any:
    """The content of a pickle that holds plain arrays, in plain containers or alone; see :func:`plain_pickle`.

    Raises:
        BadFileError: It is too large, damaged, or holds anything else; nothing of it has been run.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise BadFileError(f"{size} bytes", f"a pickle of at most {LARGEST} bytes is read")
    return plain_pickle(path.read_bytes())


def plain_pickle(data: bytes) -> Any:
    """The arrays, numbers, text, lists, tuples, sets and dictionaries that a pickle holds.

    Arrays may hold real numbers, truth values or text; those of objects are admitted where every object is text, and
    become arrays of text.

    Args:
        data: A pickle of any protocol.

    Raises:
        BadFileError: It is damaged, or names, or would build, anything else. Nothing of it has been run.
    """
    try:
        _scan(data)
        return _Plain().value(_Unpickler(io.BytesIO(data), encoding="latin1").load())
    except _RefusedError as refused:
        raise BadFileError(refused.value, f"refused: {refused}") from None
    except _BROKEN as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise BadFileError(f"{len(data)} bytes", f"damaged, or no pickle of plain arrays: {reason}") from error


def _scan(data: bytes) -> None:
    """Look at a pickle's instructions without following them, for those that would use up the memory or the stack.

    Raises:
        ValueError: It is cut off, or no pickle.
    """
    tuples = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        tuples += opcode.name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
        # The memo is a table as long as its highest number, whether filled or not.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument not in range(count + 1):
            raise _RefusedError(argument, f"a memo number after {count} instructions; nothing was run")
        # The hash of a tuple of tuples of tuples takes the stack, without a limit.
        if tuples > _MOST_TUPLES or count > _MOST_INSTRUCTIONS:
            many = f"{tuples} tuples, {count} instructions"
            most = f"at most {_MOST_TUPLES} tuples and {_MOST_INSTRUCTIONS} instructions are read; nothing was run"
            raise _RefusedError(many, most)


class _Plain:
    """Turns what was unpickled into plain values; of two places with the same object, one value."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}
        self.begun: set[int] = set()
        self.bytes = 0

    def value(self, given: Any, depth: int = 0) -> Any:
        """The plain value.

        Raises:
            _RefusedError: It is none.
        """
        if given is None or isinstance(given, (bool, int, float, str, bytes)):
            return given
        if isinstance(given, bytearray):
            return bytes(given)
        if id(given) not in self.made:
            if id(given) in self.begun or depth > _DEPTH:
                raise _RefusedError(type(given).__name__, f"containers in circles, or more than {_DEPTH} deep")
            self.begun.add(id(given))
            self.made[id(given)] = self._new(given, depth + 1)
        return self.made[id(given)]

    def _new(self, given: Any, depth: int) -> Any:
        if isinstance(given, dict):
            return {self.value(k, depth): self.value(v, depth) for k, v in given.items()}
        if isinstance(given, (list, tuple, set, frozenset)):
            return type(given)(self.value(part, depth) for part in given)
        if isinstance(given, _Encoded):
            text, codec = given.args or ("", "latin1")
            if codec not in ("latin1", "latin-1"):
                raise _RefusedError(str(codec)[:80], "bytes are written by the codec latin1")
            return str(text).encode("latin1")
        if isinstance(given, _Array):
            if given.state is None or len(given.state) != 5:
                raise _RefusedError("", "an array without content")
            _, shape, dtype, fortran, content = given.state
            return self._array(shape, dtype, "F" if fortran else "C", content, depth)
        if isinstance(given, _Buffer):
            content, dtype, shape, order = given.args
            return self._array(shape, dtype, "F" if order == "F" else "C", content, depth)
        if isinstance(given, _Scalar):
            dtype, content = given.args
            return self._array((), dtype, "C", content, depth)[()]
        name = type(given).__name__.lstrip("_").lower()
        raise _RefusedError(name, "is no plain value; allowed are arrays, numbers, text and containers of these")

    def _array(self, shape: Any, dtype: Any, order: Any, content: Any, depth: int) -> np.ndarray:
        """An array of the given shape; its content has to be exactly as long as that takes."""
        if not isinstance(shape, tuple) or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
            raise _RefusedError(str(shape)[:80], "the shape of an array must be whole numbers >= 0")
        code, size = _dtype_code(dtype), math.prod(shape)
        if code == "O":
            words = [self.value(part, depth) for part in content] if isinstance(content, list) else []
            if len(words) != size or not all(isinstance(word, str) for word in words):
                raise _RefusedError("object", "an array of objects is admitted where all of them are text")
            self._take(4 * size * max(map(len, words), default=0))
            return np.array([str(word) for word in words], dtype=np.str_).reshape(shape, order=order)
        raw = self.value(content, depth)
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        kind = np.dtype(code)
        if not isinstance(raw, bytes) or len(raw) != size * kind.itemsize:
            have = f"{len(raw)} bytes" if isinstance(raw, bytes) else type(raw).__name__
            raise _RefusedError(have, f"an array {shape} of {code} takes {size * kind.itemsize} bytes")
        self._take(len(raw))
        if kind.kind == "U" and raw and np.frombuffer(raw, kind.str[0] + "u4").max() > 0x10FFFF:
            raise _RefusedError(code, "an array of text holds what is no character")
        return (
            np.frombuffer(raw, kind, count=size).reshape(shape, order=order).copy() if size else np.empty(shape, kind)
        )

    def _take(self, size: int) -> None:
        """Many arrays can share one content in the file, and not in the memory."""
        self.bytes += size
        if self.bytes > LARGEST:
            raise _RefusedError(f"{self.bytes} bytes", f"arrays of at most {LARGEST} bytes together are made")


def _dtype_code(dtype: Any) -> str:
    """``<f8`` and the like, or ``O`` for objects.

    Raises:
        _RefusedError: It is the type of anything but numbers, truth values or text.
    """
    code = dtype.args[0] if isinstance(dtype, _Dtype) and dtype.args else dtype
    code = code.decode("latin1") if isinstance(code, bytes) else code
    if code in ("O", "O8", "|O"):
        return "O"
    state = dtype.state if isinstance(dtype, _Dtype) else None
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise _RefusedError(str(code)[:80], "arrays of numbers, truth values and text are admitted")
    if isinstance(state, tuple) and len(state) > 1:
        # (version, byte order, sub-array, names, fields, ...): the middle three make a type of parts.
        if len(state) > 4 and any(part is not None for part in state[2:5]):
            raise _RefusedError(code, "arrays of numbers, truth values and text are admitted, not of records")
        if state[1] in ("<", ">", b"<", b">") and code[0] not in "<>":
            order = state[1].decode() if isinstance(state[1], bytes) else state[1]
            code = order + code.lstrip("|=")
    return code
