"""The card of a data set: what is in it, under which licence, and how subjects are split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from graphnets.skeleton import Skeleton

REQUIRED = ("name", "title", "description", "licence", "source", "modalities", "labels")


def load_card(path: Path) -> dict[str, Any]:
    """Read a card.

    Raises:
        ValueError: The file is missing, is no YAML mapping, or lacks a required key; all problems in one message.
    """
    try:
        card = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such card") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML: {error}") from error
    problems = card_problems(card)
    if problems:
        raise ValueError(f"{path}: " + "; ".join(problems))
    return card


def card_problems(card: Any) -> list[str]:
    """Everything wrong with a card, in words."""
    if not isinstance(card, Mapping):
        return [f"a card is a mapping with the keys {', '.join(REQUIRED)}, not {type(card).__name__}"]
    problems = [f"key {key!r} is missing" for key in REQUIRED if key not in card]
    for name, modality in _mapping(card, "modalities", problems).items():
        if not isinstance(modality, Mapping):
            problems.append(f"modality {name!r} is not a mapping with skeleton and channels")
            continue
        problems += [f"modality {name!r} lacks {k!r}" for k in ("skeleton", "channels") if k not in modality]
        channels = modality.get("channels", [])
        if len(set(channels)) != len(channels):
            problems.append(f"modality {name!r} has duplicate channels {channels}")
        if "skeleton" in modality:
            try:
                skeleton_of(modality)
            except ValueError as error:
                problems.append(f"modality {name!r}: {error}")
    for name, label in _mapping(card, "labels", problems).items():
        classes = label.get("classes") if isinstance(label, Mapping) else None
        if not isinstance(classes, list) or not classes or len(set(map(str, classes))) != len(classes):
            problems.append(f"label {name!r} needs a list of different classes, not {classes!r}")
    for name, protocol in _mapping(card, "protocols", problems).items():
        if not isinstance(protocol, Mapping) or not {"train", "test"} <= set(protocol) <= {"train", "val", "test"}:
            problems.append(f"protocol {name!r} needs lists of subjects train, test and optionally val")
    return problems


def skeleton_of(modality: Mapping[str, Any]) -> Skeleton:
    """The skeleton of a card's modality: a built-in name, a file, or written out."""
    given = modality["skeleton"]
    return Skeleton.from_dict(given) if isinstance(given, Mapping) else Skeleton.load(given)


def _mapping(card: Mapping[str, Any], key: str, problems: list[str]) -> Mapping[str, Any]:
    value = card.get(key) or {}
    if isinstance(value, Mapping):
        return value
    problems.append(f"{key!r} is {type(value).__name__}, not a mapping")
    return {}
