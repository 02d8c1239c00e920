from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from graphnets.data import Store, StoreWriter, validate
from graphnets.data.protocols import named_protocol
from graphnets.simulation import EXERCISES, MODALITIES, VIEWS, Clip, mistake_classes, plan, render
from graphnets.simulation.contact import CONTACTS
from graphnets.simulation.streams import MOMENTS
from graphnets.skeleton import Skeleton

RECIPE = Path(__file__).parents[2] / "datasets" / "synthetic" / "prepare.py"
SMALL = ("--subjects", "3", "--repetitions", "1")


def load_recipe():
    spec = importlib.util.spec_from_file_location("synthetic_prepare", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("synthetic") / "store"
    done = subprocess.run([sys.executable, RECIPE, path, *SMALL], capture_output=True, text=True, check=True)
    for words in ("push_up", "walking", "141 sequences in", str(path), "checksum"):
        assert words in done.stdout
    return path


@pytest.fixture(scope="module")
def store(store_path):
    return Store(store_path)


def test_the_store_is_sound_and_holds_the_plan(store):
    assert validate(store.path) == []
    assert list(store.ids) == [c.id for c in plan(3, 1)]
    assert store.modalities == ["pose", "pose2d"]
    assert store.labels == {"exercise": list(EXERCISES), "mistake": mistake_classes()}
    assert store.card["settings"] == {
        "generator": 2,
        **{"subjects": 3, "repetitions": 1, "seed": 0, "fps": 30.0, "exercises": list(EXERCISES)},
        **{"modalities": ["pose", "pose2d"], "skeleton": "kinect20", "distortion": 0.05},
    }
    for modality, unit, channels in (("pose", "m", ("x", "y", "z")), ("pose2d", "px", ("x", "y", "confidence"))):
        arrays = store.arrays(modality)
        assert (arrays.skeleton.name, arrays.unit, arrays.channels) == ("kinect20", unit, channels)


def test_recordings_come_back_as_they_were_generated(store):
    clip = Clip("lunge", "trunk_bent", 2, 1)
    made = render([c for c in plan(3, 1, ["lunge"]) if c.subject == 2])
    wanted = next(r for r in made if r.clip == clip)
    read = store[list(store.ids).index(clip.id)]
    np.testing.assert_array_equal(read["pose"].x.numpy(), wanted.pose)
    np.testing.assert_array_equal(read["pose2d"].x.numpy(), wanted.pose2d)
    np.testing.assert_array_equal(read["pose2d"].mask.numpy(), wanted.pose2d_mask)
    assert read["pose"].mask.all()
    assert read.subject == "s02"


def test_the_extra_columns_name_pair_severity_tempo_height_and_camera(store):
    index = store.index.set_index("id")
    assert {"pair", "severity", "repetition", "tempo", "height", "heading", "camera_azimuth"} <= set(index.columns)
    assert all(index.loc[pair, "mistake"] == "correct" for pair in index["pair"])
    assert all(index.loc[row.pair, "subject"] == row.subject for row in index.itertuples())
    severity = index["severity"].astype(float)
    assert ((severity == 0) == (index["mistake"] == "correct")).all()
    tempo, length = index["tempo"].astype(float), index["pose.length"].astype(float)
    np.testing.assert_allclose(length, 30 / tempo + 1, atol=0.51)


def test_the_protocol_splits_by_subject(store):
    split = named_protocol(store.card, "by_subject").split(store.index)
    assert [set(store.subjects[rows]) for rows in (split.train, split.val, split.test)] == [{"s01"}, {"s02"}, {"s03"}]


@pytest.mark.parametrize(("subjects", "sizes"), [(3, (1, 1, 1)), (5, (3, 1, 1)), (10, (6, 2, 2)), (20, (12, 4, 4))])
def test_sixty_twenty_twenty(subjects, sizes):
    recipe = load_recipe()
    settings = {"subjects": subjects, "repetitions": 1, "seed": 0, "fps": 30.0, "exercises": ["squat"]}
    split = recipe.store_card(yaml.safe_load(RECIPE.with_name("card.yaml").read_text(encoding="utf-8")), settings)[
        "protocols"
    ]["by_subject"]
    assert tuple(len(split[side]) for side in ("train", "val", "test")) == sizes
    assert len({s for side in split.values() for s in side}) == subjects


def test_the_card_names_the_classes_of_the_library():
    card = yaml.safe_load(RECIPE.with_name("card.yaml").read_text(encoding="utf-8"))
    assert card["labels"]["exercise"]["classes"] == list(EXERCISES)
    assert card["labels"]["mistake"]["classes"] == mistake_classes()


def test_an_interrupted_run_goes_on_to_the_same_store(tmp_path, store, monkeypatch, capsys):
    recipe, add = load_recipe(), StoreWriter.add
    path = tmp_path / "store"

    def failing(self, *args, **kwargs):
        if len(self.done) == 29:  # in the middle of an exercise of the second subject
            raise OSError("no space left on device")
        add(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(StoreWriter, "add", failing)
        recipe.main([str(path), *SMALL])
    assert not path.exists()
    assert recipe.main([str(path), *SMALL]) == 0
    assert Store(path).checksum == store.checksum
    assert recipe.main([str(path), *SMALL]) == 0
    assert "complete already" in capsys.readouterr().out


def test_a_store_of_other_settings_is_not_taken_for_this_one(store_path):
    with pytest.raises(ValueError, match="settings"):
        load_recipe().main([str(store_path), *SMALL, "--seed", "1"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--subjects", "2"), "subjects is 2; allowed are 3 to 999"),
        (("--subjects", "1000"), "subjects is 1000; allowed are 1 to 999"),
        (("--repetitions", "0"), "repetitions is 0; allowed are 1 to 999"),
        (("--seed", "-1"), "seed is -1; allowed are 0 and above"),
        (("--fps", "1000"), "fps is 1000.0; allowed are 5 to 240"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_written(tmp_path, arguments, words):
    with pytest.raises(ValueError, match=words):
        load_recipe().main([str(tmp_path / "store"), *arguments])
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_defaults(capsys):
    with pytest.raises(SystemExit) as end:
        load_recipe().main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for words in ("--subjects", "default: 20", "default: 4", "--seed", "--fps"):
        assert words in text


MECHANICS = ("--subjects", "3", "--repetitions", "1", "--exercises", "squat", "walking", "--modalities", "all")


@pytest.fixture(scope="module")
def mechanics(tmp_path_factory):
    path = tmp_path_factory.mktemp("mechanics") / "store"
    assert load_recipe().main([str(path), *MECHANICS, "--imu-rate", "50"]) == 0
    return Store(path)


def test_all_modalities_make_a_sound_store_with_units_and_axes(mechanics):
    assert validate(mechanics.path) == []
    assert mechanics.modalities == [m for m in MODALITIES if m not in VIEWS[2:]]
    for name in mechanics.modalities:
        assert mechanics.arrays(name).unit and mechanics.card["modalities"][name]["axes"]
    assert mechanics.labels["exercise"] == ["squat", "walking"]
    assert mechanics.labels["mistake"] == mistake_classes(["squat", "walking"])
    assert mechanics.skeleton("imu").joints == Skeleton.load("tan_imu8").joints
    assert set(mechanics.arrays("imu").fps.tolist()) == {50.0} and set(mechanics.arrays("grf").fps.tolist()) == {30.0}
    assert {"camera_azimuth", "pose2d_side_azimuth", "mass"} <= set(mechanics.index.columns)


def test_forces_of_the_store_move_the_mass_of_the_store(mechanics):
    """In walking and squats the mean vertical force is about body weight; the centre of pressure lies by the feet."""
    for row in range(len(mechanics)):
        read = mechanics[row]
        assert float(read["grf"].x[:, :, 1].sum(1).mean()) == pytest.approx(1.0, abs=0.06)
        ankle = [Skeleton.load("kinect20").index(f"{side}_ankle") for side in ("left", "right")]
        way = read["cop"].x[:, :2, [0, 2]] - read["pose"].x[:, ankle][..., [0, 2]]
        mask = read["cop"].mask[:, :2]
        assert float(way.norm(dim=-1)[mask].quantile(0.9)) < 0.4
        assert not read["cop"].mask[:, 2:].any() and not read["grf"].x[:, 2:].any()


def test_workers_make_the_same_store(tmp_path, mechanics):
    assert load_recipe().main([str(tmp_path / "s"), *MECHANICS, "--imu-rate", "50", "--workers", "2"]) == 0
    assert Store(tmp_path / "s").checksum == mechanics.checksum


def test_cameras_sensors_and_skeleton_are_chosen(tmp_path):
    recipe = load_recipe()
    small = ["--subjects", "3", "--repetitions", "1", "--exercises", "calf_raise", "--skeleton", "coco17"]
    chosen = ["--modalities", "pose", "imu", "--cameras", "3", "--sensors", "right_wrist", "waist"]
    assert recipe.main([str(tmp_path / "s"), *small, *chosen]) == 0
    store = Store(tmp_path / "s")
    assert store.modalities == ["pose", "pose2d", "pose2d_side", "pose2d_back", "imu"]
    assert store.skeleton("pose2d_back").joints == Skeleton.load("coco17").joints
    assert store.skeleton("imu").joints == ("right_wrist", "waist")


def test_the_card_describes_what_the_library_records():
    card = yaml.safe_load(RECIPE.with_name("card.yaml").read_text(encoding="utf-8"))
    assert list(card["modalities"]) == list(MODALITIES)
    assert tuple(card["modalities"]["grf"]["skeleton"]["joints"]) == tuple(CONTACTS)
    assert tuple(card["modalities"]["moment"]["skeleton"]["joints"]) == tuple(joint for joint, _ in MOMENTS)
