"""The command line of ``tools/profile.py``: which contestants it asks for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from graphnets import encoders
from graphnets.encoders import BlockEncoder, Encoder
from graphnets.encoders.fusion import MultiModalEncoder
from graphnets.spec import from_spec, import_class

TASKS = ("latency", "inference", "training")
TEXTBOOK = "textbook"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="profile.py", description="Measure encoders beside a textbook ST-GCN: size, speed, memory."
    )
    parser.add_argument(
        "encoders", nargs="+", metavar="ENCODER",
        help="a class of graphnets.encoders, an import path, or the YAML file of an experiment; arguments follow a "
        "colon: STGCN:frequency=true,kernel=7",
    )  # fmt: skip
    parser.add_argument("--skeleton", help="name or file (that of the first YAML file, else kinect20)")
    parser.add_argument("--channels", type=int, help="channels of the input (those of the first YAML file, else 3)")
    for name, default, text in (
        ("frames", 64, "frames of a clip"),
        ("batch", 16, "clips at once"),
        ("threads", 2, "CPU threads; the latency of one clip is always that of one thread"),
        ("rounds", 7, "turns of every contestant in each task"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (%(default)s)")
    parser.add_argument(
        "--precision", nargs="+", choices=("float32", "bf16"), default=["float32"],
        help="bf16 is autocast; the textbook to which ratios are taken stays in float32",
    )  # fmt: skip
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", action="store_true", help="every encoder once more through torch.compile")
    parser.add_argument("--fold", action="store_true", help="every encoder once more with its norms folded")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="what to time (all)")
    parser.add_argument(
        "--by", choices=("clock", "processor"), default="clock",
        help="the time that counts: processor is for a busy machine, and honest with --threads 1 only",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of all rounds there")
    options = parser.parse_args(arguments)
    for name in ("frames", "batch", "threads", "rounds", "channels"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ValueError(f"--{name} is {value}; at least 1")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch sees no GPU here")
    return options


def read_spec(text: str) -> dict[str, Any]:
    """What an ENCODER of the command line means: ``class_path`` and ``init_args``.

    Raises:
        ValueError: It is no encoder.
        OSError: The YAML file can't be read.
    """
    name, _, given = text.partition(":")
    if _is_file(text):
        spec: Any = _read_yaml(Path(text).read_text(encoding="utf-8"), text)
        for key in ("model", "encoder"):
            spec = spec.get(key) if isinstance(spec, dict) else None
        path, arguments = (spec.get("class_path"), spec.get("init_args") or {}) if isinstance(spec, dict) else ("", {})
        if not isinstance(path, str) or not path or not isinstance(arguments, dict):
            raise ValueError(f"{text}: no model.encoder with a class_path, or init_args that are no mapping")
    else:
        if "." not in name and name not in _names():
            raise ValueError(f"no encoder {name!r}; there are {', '.join(_names())}, or give an import path")
        path = name if "." in name else f"graphnets.encoders.{name}"
        arguments = _read_yaml("{" + given.replace("=", ": ") + "}", text)
    cls = import_class(path, Encoder)  # type: ignore[type-abstract]
    if issubclass(cls, MultiModalEncoder):
        raise ValueError(f"{text}: {cls.__name__} reads several modalities; profile the encoders it is made of")
    return {"class_path": path, "init_args": dict(arguments)}


def _is_file(text: str) -> bool:
    return text.endswith((".yaml", ".yml")) and "=" not in text


def _names() -> list[str]:
    """Encoders of one modality that can be made."""
    found = {n: c for n, c in vars(encoders).items() if isinstance(c, type) and issubclass(c, Encoder)}
    kinds = (Encoder, BlockEncoder)
    return sorted(n for n, c in found.items() if c not in kinds and not issubclass(c, MultiModalEncoder))


def _read_yaml(text: str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: can't be read: {' '.join(str(error).split())}") from None


def contestants(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The task of every worker, by the name of its row."""
    specs = {Path(text).stem if _is_file(text) else text: read_spec(text) for text in options.encoders}
    if TEXTBOOK in specs or len(specs) < len(options.encoders):
        raise ValueError(f"two contestants of one name: {', '.join([TEXTBOOK, *options.encoders])}")
    given = [spec["init_args"] for spec in specs.values()]
    skeleton = options.skeleton or next((a["skeleton"] for a in given if "skeleton" in a), "kinect20")
    channels = options.channels or next((a["in_channels"] for a in given if "in_channels" in a), 3)
    common = {name: getattr(options, name) for name in ("frames", "batch", "threads", "device")}
    common |= {"skeleton": skeleton, "channels": channels, "settings": True, "compile": False, "fold": False}
    for arguments in given:
        arguments |= {"skeleton": skeleton, "in_channels": channels}
    for name, spec in specs.items():
        try:  # a wrong argument shows now, not after minutes
            from_spec(spec, Encoder)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error
    plain = {**common, "spec": None, "precision": "float32"}
    rows = {TEXTBOOK: {**plain, "settings": False}, f"{TEXTBOOK}, our settings": plain}
    if "bf16" in options.precision:
        rows[f"{TEXTBOOK}, our settings, bf16"] = {**plain, "precision": "bf16"}
    variants = [{}, *([{"fold": True}] if options.fold else []), *([{"compile": True}] if options.compile else [])]
    for name, spec in specs.items():
        for precision in dict.fromkeys(options.precision):
            for variant in variants:
                extra = [{"fold": "folded", "compile": "compiled"}[key] for key in variant]
                label = ", ".join([name, *(["bf16"] if precision == "bf16" else []), *extra])
                rows[label] = {**common, "spec": spec, "precision": precision, **variant}
    return rows
