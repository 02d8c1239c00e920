from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from graphnets.data import MotionDataModule, Store, StoreWriter, validate
from graphnets.data.files import combined_sha256, sha256
from graphnets.data.protocols import named_protocol
from graphnets.data.scripts import run_script

RECIPE = Path(__file__).parents[2] / "datasets" / "utd_mhad" / "prepare.py"
ACTIONS = (1, 8, 23)


def load_recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("utd_mhad_prepare", RECIPE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The recipe for a release of three actions with one trial each, and one more recording that is missing."""
    module = load_recipe()
    clips = {module.Clip(action, subject, 1) for action in ACTIONS for subject in range(1, 9)}
    monkeypatch.setattr(module, "EVERY_CLIP", clips | {module.Clip(8, 1, 4)})
    return module


def matrices(action: int, subject: int, trial: int) -> tuple[np.ndarray, np.ndarray]:
    """``d_skel [20, 3, T]`` and ``d_iner [T, 6]`` as they are released, of random numbers."""
    rng = np.random.default_rng([action, subject, trial])
    return rng.normal(size=(20, 3, 3 + subject)), rng.normal(size=(7 + action, 6))


def write_clip(root: Path, action: int, subject: int, trial: int) -> None:
    skeleton, inertial = matrices(action, subject, trial)
    name = f"a{action}_s{subject}_t{trial}"
    # Compressed, as the released files are.
    savemat(root / "Skeleton" / f"{name}_skeleton.mat", {"d_skel": skeleton}, do_compression=True)
    savemat(root / "Inertial" / f"{name}_inertial.mat", {"d_iner": inertial}, do_compression=True)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for folder in ("Skeleton", "Inertial"):
        (root / folder).mkdir(parents=True)
    for action in ACTIONS:
        for subject in range(1, 9):
            write_clip(root, action, subject, 1)
    (root / "Skeleton" / "Skeleton_joint_order.txt").write_text("1. head;")
    (root / "Skeleton" / "._a1_s1_t1_skeleton.mat").write_bytes(b"what macOS leaves in archives")
    return root


def run(recipe: ModuleType, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and all that was printed, as a shell sees them."""
    with pytest.raises(SystemExit) as exit:
        run_script(recipe.main, [str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return int(exit.value.code or 0), printed.out + printed.err


def test_a_store_from_raw_files(recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any) -> None:
    code, printed = run(recipe, capsys, raw, tmp_path / "store")
    assert code == 0 and validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert len(store) == 24 and store.ids[:2].tolist() == ["a01_s1_t1", "a01_s2_t1"] and store.ids[-1] == "a23_s8_t1"
    for row, id in enumerate(store.ids):
        action, subject, trial = (int(part[1:]) for part in id.split("_"))
        sequence = store[row]
        skeleton, inertial = (m.astype(np.float32) for m in matrices(action, subject, trial))
        assert sequence.subject == str(subject) and store.index["trial"][row] == "1"
        assert store.labels["action"][int(sequence.action)] == {1: "swipe_left", 8: "draw_x", 23: "walk"}[action]
        for frame in range(skeleton.shape[2]):
            assert np.array_equal(sequence["pose"].x[frame].numpy(), skeleton[:, :, frame])
        for sample in range(len(inertial)):
            assert np.array_equal(sequence["imu"].x[sample, :, 0].numpy(), inertial[sample])
        assert (len(sequence["pose"].x), len(sequence["imu"].x)) == (skeleton.shape[2], len(inertial))
        assert (sequence["pose"].fps, sequence["imu"].fps) == (30.0, 50.0)
    assert "24 sequences" in printed and store.checksum in printed and str(tmp_path / "store") in printed


def test_the_store_says_what_it_was_made_from(recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any) -> None:
    _, printed = run(recipe, capsys, raw, tmp_path / "store")
    card = Store(tmp_path / "store").card
    files = {f"{p.parent.name}/{p.name}": sha256(p) for p in raw.glob("*/a*.mat")}
    assert card["source_files"] == 48 and card["source_checksum"] == combined_sha256(files)
    assert card["missing"] == ["a08_s1_t4"]
    assert "not the raw files that this recipe was checked with" in printed and card["source_checksum"] in printed


def test_no_warning_for_the_known_files(
    recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{p.parent.name}/{p.name}": sha256(p) for p in raw.glob("*/a*.mat")}
    known = recipe.load_card(recipe.CARD) | {"source_checksum": combined_sha256(files)}
    monkeypatch.setattr(recipe, "load_card", lambda path: dict(known))
    assert "not the raw files" not in run(recipe, capsys, raw, tmp_path / "store")[1]


def test_the_folder_around_the_data_will_do(recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "around").mkdir()
    raw.rename(tmp_path / "around" / "UTD-MHAD")
    (tmp_path / "around" / "other").mkdir()
    assert run(recipe, capsys, tmp_path / "around", tmp_path / "store")[0] == 0
    (tmp_path / "around" / "other" / "Inertial").mkdir()
    code, printed = run(recipe, capsys, tmp_path / "around", tmp_path / "again")
    assert code == 1 and "found" not in printed and "it has UTD-MHAD, other" in printed
    code, printed = run(recipe, capsys, tmp_path / "absent", tmp_path / "again")
    assert code == 1 and "absent: no such folder" in printed
    code, printed = run(recipe, capsys, raw.parent / "around" / "UTD-MHAD" / "Skeleton", tmp_path / "again")
    assert code == 1 and "must hold the folders Skeleton and Inertial" in printed


def test_a_complete_store_is_left_alone(recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any) -> None:
    run(recipe, capsys, raw, tmp_path / "store")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store").iterdir()}
    code, printed = run(recipe, capsys, raw, tmp_path / "store")
    assert code == 0 and "is complete already: 24 sequences" in printed
    assert before == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store").iterdir()}


def test_something_else_is_not_overwritten(
    recipe: ModuleType, raw: Path, tmp_path: Path, store_path: Path, capsys: Any
) -> None:
    code, printed = run(recipe, capsys, raw, store_path)
    assert code == 1 and "holds the data set 'small'; choose another folder" in printed
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    code, printed = run(recipe, capsys, raw, tmp_path / "mine")
    assert code == 1 and "card.yaml: no such card" in printed


def test_an_interrupted_run_goes_on(
    recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recipe, capsys, raw, tmp_path / "whole")
    original, added = StoreWriter.add, iter(range(100))

    def interrupted(self: StoreWriter, *arguments: Any) -> None:
        if next(added) == 10:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(StoreWriter, "add", interrupted)
    code, printed = run(recipe, capsys, raw, tmp_path / "store")
    assert code == 130 and "run the same command again" in printed and not (tmp_path / "store").exists()
    assert run(recipe, capsys, raw, tmp_path / "store")[0] == 0
    assert next(added) == 11 + 14, "recordings that were there were written again"
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "store" / file.name).read_bytes()


def test_a_full_disk_is_a_message(
    recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: StoreWriter, *arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoreWriter, "add", full)
    code, printed = run(recipe, capsys, raw, tmp_path / "store")
    assert code == 1 and "No space left on device" in printed and not (tmp_path / "store").exists()


def nan_in(root: Path) -> None:
    skeleton, _ = matrices(8, 2, 1)
    skeleton[11, 2, 3] = np.nan
    skeleton[11, 2, 4] = np.inf
    savemat(root / "Skeleton" / "a8_s2_t1_skeleton.mat", {"d_skel": skeleton})


def rewrite(name: str, **content: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        savemat(root / name, content)

    return change


def cut(name: str, share: float) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(len(data) * share)])

    return change


def move(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / old).rename(root / new)

    return change


# What is done to the raw folder, and the parts of the line that must be printed about it.
FAULTS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "nan": (nan_in, ("Skeleton/a8_s2_t1_skeleton.mat", "nan", "frame 3, right_hand, z, and 1 more")),
    "too large": (
        rewrite("Inertial/a1_s1_t1_inertial.mat", d_iner=np.full((9, 6), 1e39)),
        ("Inertial/a1_s1_t1_inertial.mat", "inf", "frame 0, acc_x, value, and 53 more"),
    ),
    "half a pair": (
        lambda root: (root / "Inertial" / "a1_s4_t1_inertial.mat").unlink(),
        ("Inertial/a1_s4_t1_inertial.mat", "missing, though its pair Skeleton/a1_s4_t1_skeleton.mat is there"),
    ),
    "truncated": (cut("Skeleton/a1_s3_t1_skeleton.mat", 0.6), ("Skeleton/a1_s3_t1_skeleton.mat", "damaged")),
    "empty": (cut("Inertial/a1_s3_t1_inertial.mat", 0), ("Inertial/a1_s3_t1_inertial.mat", "0 bytes", "damaged")),
    "no MATLAB": (
        lambda root: (root / "Skeleton" / "a1_s5_t1_skeleton.mat").write_text("<html>404</html>" * 50) and None,
        ("Skeleton/a1_s5_t1_skeleton.mat", "800 bytes", "no MATLAB 5 file"),
    ),
    "other variable": (
        rewrite("Inertial/a1_s6_t1_inertial.mat", d_skel=np.zeros((9, 6))),
        ("Inertial/a1_s6_t1_inertial.mat", "has no variable d_iner"),
    ),
    "turned": (
        rewrite("Skeleton/a1_s7_t1_skeleton.mat", d_skel=np.zeros((3, 20, 9))),
        ("Skeleton/a1_s7_t1_skeleton.mat", "3 x 20 x 9", "d_skel must be 20 joints x 3 coordinates x frames"),
    ),
    "five axes": (
        rewrite("Inertial/a1_s7_t1_inertial.mat", d_iner=np.zeros((9, 5))),
        ("Inertial/a1_s7_t1_inertial.mat", "9 x 5", "d_iner must be frames x 6 axes"),
    ),
    "no frames": (
        rewrite("Inertial/a1_s8_t1_inertial.mat", d_iner=np.zeros((0, 6))),
        ("Inertial/a1_s8_t1_inertial.mat", "0 x 6", "d_iner must be frames x 6 axes"),
    ),
    "words": (
        rewrite("Inertial/a8_s1_t1_inertial.mat", d_iner="none"),
        ("Inertial/a8_s1_t1_inertial.mat", "d_iner must hold real numbers"),
    ),
    "objects": (
        rewrite("Inertial/a8_s4_t1_inertial.mat", d_iner={"acc": 1.0}),
        ("Inertial/a8_s4_t1_inertial.mat", "d_iner must hold real numbers"),
    ),
    "strange name": (
        move("Skeleton/a8_s5_t1_skeleton.mat", "Skeleton/a8_s5_t1.mat"),
        ("Skeleton/a8_s5_t1.mat", "not a name like a1_s1_t1_skeleton.mat"),
    ),
    "in the wrong folder": (
        move("Skeleton/a8_s6_t1_skeleton.mat", "Inertial/a8_s6_t1_skeleton.mat"),
        ("Inertial/a8_s6_t1_skeleton.mat", "not a name like a1_s1_t1_inertial.mat"),
    ),
    "out of range": (
        move("Skeleton/a8_s7_t1_skeleton.mat", "Skeleton/a28_s9_t5_skeleton.mat"),
        (
            "Skeleton/a28_s9_t5_skeleton.mat",
            "action 28 is not one of 1 to 27; subject 9 is not one of 1 to 8; trial 5 is",
        ),
    ),
    "zeros in front": (
        move("Skeleton/a8_s8_t1_skeleton.mat", "Skeleton/a08_s8_t1_skeleton.mat"),
        ("Skeleton/a08_s8_t1_skeleton.mat", "not a name like"),
    ),
}


def line_with(printed: str, parts: tuple[str, ...]) -> bool:
    return any(all(part in line for part in parts) for line in printed.splitlines())


def test_everything_that_is_wrong_is_listed_at_once(recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any) -> None:
    for inject, _ in FAULTS.values():
        inject(raw)
    for clip in ("Skeleton/a23_s8_t1_skeleton.mat", "Inertial/a23_s8_t1_inertial.mat"):
        (raw / clip).unlink()
    code, printed = run(recipe, capsys, raw, tmp_path / "store")
    assert code == 1 and "nothing was written" in " ".join(printed.split())
    for name, (_, parts) in FAULTS.items():
        assert line_with(printed, parts), f"{name}: {printed}"
    assert line_with(printed, ("1 missing", "a23_s8_t1; --allow-missing goes on without"))
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize("share", np.linspace(0.01, 0.99, 25).tolist())
def test_a_file_cut_anywhere_is_damaged(recipe: ModuleType, raw: Path, share: float) -> None:
    cut("Skeleton/a1_s1_t1_skeleton.mat", share)(raw)
    with pytest.raises(recipe.BadFileError, match=r"damaged|no variable"):
        recipe.read_matrix(raw / "Skeleton" / "a1_s1_t1_skeleton.mat", recipe.SOURCES[0], range(20), "xyz")


def test_damaged_bytes_end_in_a_message_or_in_numbers(recipe: ModuleType, raw: Path) -> None:
    path = raw / "Skeleton" / "a1_s1_t1_skeleton.mat"
    sound, rng, bad = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(200):
        data = bytearray(sound)
        for at in rng.integers(0, 160 if rng.random() < 0.7 else len(data), 3):
            data[at] = rng.integers(256)
        path.write_bytes(bytes(data))
        try:
            values = recipe.read_matrix(path, recipe.SOURCES[0], range(20), "xyz")
            assert values.shape[1:] == (20, 3) and np.isfinite(values).all()
        except recipe.BadFileError:
            bad += 1
    assert bad > 20


def test_missing_folders(recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any) -> None:
    for file in (raw / "Inertial").iterdir():
        file.unlink()
    code, printed = run(recipe, capsys, raw, tmp_path / "store")
    assert code == 1 and line_with(printed, ("Inertial/", "no file with a name like a1_s1_t1_inertial.mat"))
    (raw / "Inertial").rmdir()
    code, printed = run(recipe, capsys, raw, tmp_path / "store")
    assert code == 1 and line_with(printed, ("Inertial/", "this folder is missing"))


def test_missing_recordings_need_a_word(recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any) -> None:
    for clip in ("a1_s1_t1", "a23_s6_t1"):
        (raw / "Skeleton" / f"{clip}_skeleton.mat").unlink()
        (raw / "Inertial" / f"{clip}_inertial.mat").unlink()
    code, printed = run(recipe, capsys, raw, tmp_path / "store")
    assert code == 1 and line_with(printed, ("2 missing", "a01_s1_t1, a23_s6_t1; --allow-missing"))
    code, printed = run(recipe, capsys, raw, tmp_path / "store", "--allow-missing")
    assert code == 0 and "2 recordings are missing: a01_s1_t1, a23_s6_t1" in printed
    store = Store(tmp_path / "store")
    assert len(store) == 22 and store.card["missing"] == ["a01_s1_t1", "a08_s1_t4", "a23_s6_t1"]


def test_half_a_pair_is_wrong_even_when_recordings_may_miss(
    recipe: ModuleType, raw: Path, tmp_path: Path, capsys: Any
) -> None:
    (raw / "Inertial" / "a1_s4_t1_inertial.mat").unlink()
    code, printed = run(recipe, capsys, raw, tmp_path / "store", "--allow-missing")
    assert code == 1 and "though its pair" in printed


def test_as_a_command(raw: Path, tmp_path: Path) -> None:
    (raw / "Inertial" / "a1_s4_t1_inertial.mat").unlink()
    command = [sys.executable, str(RECIPE), str(raw), str(tmp_path / "store")]
    # An environment of its own: readline, which pytest imports, tells child processes that there are 80 columns.
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert line_with(result.stdout, ("Inertial/a1_s4_t1_inertial.mat", "missing"))
    assert line_with(result.stdout, ("837 missing", "a01_s1_t2"))


def test_the_card_speaks_of_the_release() -> None:
    module = load_recipe()
    card = module.load_card(module.CARD)
    assert len(card["labels"]["action"]["classes"]) == 27 and len(module.EVERY_CLIP) == 864
    assert {clip.id for clip in module.MISSING_IN_RELEASE} == {"a08_s1_t4", "a23_s6_t4", "a27_s8_t4"}
    assert {"licence", "source", "citation", "traps"} <= set(card)


# The real files ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(raw_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("real") / "utd_mhad"
    assert load_recipe().main([str(raw_root / "utd_mhad"), str(path)]) == 0
    yield Store(path)


def test_the_real_release(real: Store) -> None:
    assert len(real) == 861 and validate(real.path) == []
    for modality, bounds in (("pose", (41, 125)), ("imu", (107, 326))):
        length = real.arrays(modality).length
        assert (int(length.min()), int(length.max())) == bounds and real.arrays(modality).observed is None
    assert real.card["source_checksum"] == load_recipe().load_card(load_recipe().CARD)["source_checksum"]
    assert real.card["source_files"] == 1722 and real.card["missing"] == ["a08_s1_t4", "a23_s6_t4", "a27_s8_t4"]
    ratio = real.arrays("imu").length / real.arrays("pose").length
    assert 2.3 < ratio.min() < 2.5 and 4.4 < ratio.max() < 4.6


def test_the_real_protocols(real: Store) -> None:
    official = named_protocol(real.card, "cross_subject").split(real.index)
    assert (len(official.train), len(official.val), len(official.test)) == (431, 0, 430)
    validated = named_protocol(real.card, "cross_subject_val7").split(real.index)
    assert np.array_equal(validated.test, official.test)
    assert sorted([*validated.train, *validated.val]) == official.train.tolist()
    assert set(real.index["subject"].iloc[validated.val]) == {"7"}
    batch = next(iter(MotionDataModule(real, "cross_subject").train_dataloader()))
    assert batch["pose"].x.shape[0] == 32 and set(batch.subject) <= set("1357")


def test_the_real_joints_are_where_their_names_say(real: Store) -> None:
    """y points up, z away from the camera, which the people face; their right hand does what right hands do."""
    skeleton = real.skeleton("pose")
    x = real.arrays("pose").values.view(-1, 20, 3)
    joint = {name: x[:, i] for i, name in enumerate(skeleton.joints)}
    up = (joint["head"] - joint["left_foot"]).mean(0)
    assert up[1] > 1.2 and up[0].abs() < 0.1 and up[2].abs() < 0.2
    assert 0.25 < float((joint["right_shoulder"] - joint["left_shoulder"]).mean(0)[0]) < 0.4
    assert float((joint["left_foot"] - joint["left_ankle"]).mean(0)[2]) < -0.02, "toes point to the camera"
    for child, parent in skeleton.bones:
        if not skeleton.joints[child].endswith("hand"):  # 7 cm long: noise is a third of it
            length = [
                (s["pose"].x[:, child] - s["pose"].x[:, parent]).norm(dim=-1)
                for s in map(real.__getitem__, range(0, 861, 9))
            ]
            assert np.median([float(bone.std() / bone.mean()) for bone in length]) < 0.1, skeleton.joints[child]
    hands = skeleton.index("left_hand"), skeleton.index("right_hand")
    for name in ("swipe_left", "swipe_right", "wave", "throw", "draw_x", "draw_triangle", "knock", "catch"):
        code = real.labels["action"].index(name)
        rows = np.flatnonzero(real.codes("action").numpy() == code)
        moved = [[float(real[row]["pose"].x[:, hand].diff(dim=0).norm(dim=-1).sum()) for hand in hands] for row in rows]
        left, right = np.median(moved, axis=0)
        assert right > 4 * left, name
