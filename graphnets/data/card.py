"""The card of a data set: what is in it, under which licence, and how subjects are split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from graphnets.skeleton import Skeleton

# Names become files and columns: letters, digits and underscores. PyG gives a meaning of its own to *_dict and __.
_NAME = re.compile(r"(?!.*__)(?!.*_dict$)[A-Za-z][A-Za-z0-9_]*")
_TAKEN = ("id", "subject", "gaps")
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
    modalities, labels = _mapping(card, "modalities", problems), _mapping(card, "labels", problems)
    if "modalities" in card and not card["modalities"]:
        problems.append("a store needs at least one modality")
    for name in {**modalities, **labels}:
        twice = name in modalities and name in labels
        if twice or name in _TAKEN or not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(f"{name!r} can't name a modality or label: a word of letters, digits and _, given once")
    for name, modality in modalities.items():
        problems += [f"modality {name!r} {problem}" for problem in _modality_problems(modality)]
    for name, label in labels.items():
        classes = label.get("classes") if isinstance(label, Mapping) else None
        if not _is_list(classes) or not classes or len(set(map(str, classes))) != len(classes):
            problems.append(f"label {name!r} needs a list of different classes, not {classes!r}")
        elif odd := [c for c in classes if isinstance(c, bool) or not isinstance(c, (str, int)) or c == ""]:
            problems.append(f"label {name!r} has classes {odd} that are no text; YAML wants quotes around yes and no")
    for name, protocol in _mapping(card, "protocols", problems).items():
        sides = protocol if isinstance(protocol, Mapping) else {}
        named = {"train", "test"} <= set(sides) <= {"train", "val", "test"}
        if not named or not all(_is_list(subjects) for subjects in sides.values()):
            problems.append(f"protocol {name!r} needs lists of subjects train, test and optionally val")
    return problems


def _modality_problems(modality: Any) -> list[str]:
    if not isinstance(modality, Mapping):
        return ["is not a mapping with skeleton and channels"]
    problems = [f"lacks {key!r}" for key in ("skeleton", "channels") if key not in modality]
    channels = modality.get("channels", ["x"])
    if not _is_list(channels) or not channels or len(set(map(str, channels))) != len(channels):
        problems.append(f"needs a list of different channels, not {channels!r}")
    elif odd := [channel for channel in channels if not isinstance(channel, str)]:
        problems.append(f"has channels {odd} that are no text")
    if "skeleton" in modality:
        try:
            skeleton_of(modality)
        except ValueError as error:
            problems.append(f"has no usable skeleton: {error}")
    return problems


def skeleton_of(modality: Mapping[str, Any]) -> Skeleton:
    """The skeleton of a card's modality: a built-in name, a file, or written out."""
    given = modality["skeleton"]
    return Skeleton.from_dict(given) if isinstance(given, Mapping) else Skeleton.load(given)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _mapping(card: Mapping[str, Any], key: str, problems: list[str]) -> Mapping[str, Any]:
    value = card.get(key) or {}
    if isinstance(value, Mapping):
        return value
    problems.append(f"{key!r} is {type(value).__name__}, not a mapping")
    return {}
