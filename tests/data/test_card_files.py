from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from graphnets.data.card import card_problems, load_card, skeleton_of
from graphnets.data.files import atomic_path, combined_sha256, sha256, write_text
from graphnets.skeleton import Skeleton


def test_a_sound_card(card: dict[str, Any], tmp_path: Path) -> None:
    assert card_problems(card) == []
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    assert load_card(tmp_path / "card.yaml") == card
    assert card_problems(card | {"labels": {}, "protocols": {}, "anything": "else"}) == []


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("licence",), None, "key 'licence' is missing"),
        (("modalities",), {}, "at least one modality"),
        (("modalities",), ["pose"], "'modalities' is list, not a mapping"),
        (("modalities", "pose"), "kinect20", "modality 'pose' is not a mapping"),
        (("modalities", "pose", "skeleton"), None, "modality 'pose' lacks 'skeleton'"),
        (("modalities", "pose", "skeleton"), "kinect99", "modality 'pose' has no usable skeleton: 'kinect99'"),
        (("modalities", "pose", "channels"), "xyz", "needs a list of different channels, not 'xyz'"),
        (("modalities", "pose", "channels"), ["x", "x"], "needs a list of different channels"),
        (("modalities", "pose", "channels"), ["x", False], r"has channels \[False\] that are no text"),
        (("modalities", "../pose"), {"skeleton": "kinect20", "channels": ["x"]}, "'../pose' can't name"),
        (("modalities", "pose.mask"), {"skeleton": "kinect20", "channels": ["x"]}, "'pose.mask' can't name"),
        (("labels", "subject"), {"classes": ["a"]}, "'subject' can't name"),
        (("labels", "pose"), {"classes": ["a"]}, "'pose' can't name"),
        (("labels", "x_dict"), {"classes": ["a"]}, "'x_dict' can't name"),
        (("labels", "exercise", "classes"), ["a", "a"], "needs a list of different classes"),
        (("labels", "exercise", "classes"), [], "needs a list of different classes"),
        (("labels", "exercise", "classes"), "ab", "needs a list of different classes"),
        (("labels", "exercise", "classes"), [True, "b"], r"classes \[True\] that are no text"),
        (("labels", "exercise", "classes"), ["", "b"], r"classes \[''\] that are no text"),
        (("protocols", "official", "train"), None, "protocol 'official' needs lists of subjects"),
        (("protocols", "official", "train"), "s1", "protocol 'official' needs lists of subjects"),
        (("protocols", "official", "dev"), ["s1"], "protocol 'official' needs lists of subjects"),
    ],
)
def test_what_is_wrong_with_a_card(card: dict[str, Any], where: tuple[str, ...], value: Any, message: str) -> None:
    at = card
    for key in where[:-1]:
        at = at[key]
    at.pop(where[-1], None)
    if value is not None:
        at[where[-1]] = value
    problems = card_problems(card)
    assert len(problems) == 1
    with pytest.raises(ValueError, match=message):
        raise ValueError(problems[0])


def test_all_problems_at_once(card: dict[str, Any], tmp_path: Path) -> None:
    del card["title"]
    card["labels"]["side"] = {"classes": None}
    card["modalities"]["imu"]["skeleton"] = "nothing"
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    with pytest.raises(ValueError, match=r"card.yaml: key 'title'.*; modality 'imu'.*; label 'side'"):
        load_card(tmp_path / "card.yaml")


@pytest.mark.parametrize(
    ("text", "message"), [("name: [", "not readable as YAML"), ("- a\n", "a card is a mapping"), ("", "NoneType")]
)
def test_files_that_are_no_card(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_card(tmp_path / "card.yaml")
    with pytest.raises(ValueError, match="no such card"):
        load_card(tmp_path / "other.yaml")


def test_a_card_does_not_run_code(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("!!python/object/apply:os.system ['touch hacked']")
    with pytest.raises(ValueError, match="not readable as YAML"):
        load_card(tmp_path / "card.yaml")


def test_a_skeleton_by_name_or_written_out() -> None:
    kinect = Skeleton.load("kinect20")
    assert skeleton_of({"skeleton": "kinect20"}) == kinect == skeleton_of({"skeleton": kinect.to_dict()})


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    write_text(path, "first")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".json" and path.read_text() == "first"
        raise RuntimeError
    assert path.read_text() == "first" and [p.name for p in path.parent.iterdir()] == ["file.json"]
    write_text(path, "sécond")
    assert path.read_text(encoding="utf-8") == "sécond"


def test_digests(tmp_path: Path) -> None:
    data = bytes(range(256)) * 41
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a", block=100) == hashlib.sha256(data).hexdigest()
    one, other = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert combined_sha256(one) == combined_sha256(other) == hashlib.sha256(b"a 1\nb 2\n").hexdigest()
    assert len({combined_sha256(d) for d in (one, {"a": "1"}, {"a": "2", "b": "1"}, {"a": "1", "c": "2"})}) == 4
