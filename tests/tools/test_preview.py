"""The preview tool, end to end on a small store."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from graphnets.data import StoreWriter

SCRIPT = Path(__file__).parents[2] / "tools" / "preview.py"
CLASSES = ["squat", "lunge", "jump"]
Run = Callable[..., int]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("preview_tool", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine bodies, three of each class, one unlabelled, one never observed; only the first two wear a sensor."""
    path = tmp_path_factory.mktemp("stores") / "small"
    card = {
        "name": "small",
        "title": "Small",
        "description": "random poses",
        "licence": "none",
        "source": "made up",
        "citation": "",
        "modalities": {
            "pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"], "unit": "m"},
            "imu": {"skeleton": "imu_axes6", "channels": ["value"], "unit": "g"},
        },
        "labels": {"action": {"classes": CLASSES}, "mistake": {"classes": ["none", "knees"]}},
        "protocols": {},
    }
    random = np.random.default_rng(0)
    with StoreWriter(path, card) as writer:
        for i in range(9):
            x = random.normal(size=(6, 20, 3)).astype(np.float32)
            mask = np.full((6, 20), i != 7)
            modalities = {"pose": (x, mask, 30.0)}
            if i < 2:
                modalities["imu"] = (random.normal(size=(20, 6, 1)).astype(np.float32), np.ones((20, 6), bool), 50.0)
            labels = {"action": CLASSES[i % 3], "mistake": "knees"} if i != 8 else None
            writer.add(f"s1/clip{i}", "s1", modalities, labels)
    return path


@pytest.fixture
def run(tool: ModuleType, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the tool on the store in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, store: Path = store) -> int:
        return int(tool.main([str(store), *arguments]))

    return call


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_by_default_a_contact_sheet_and_a_gif_each(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--count", "2") == 0
    out = tmp_path / "previews" / "small"
    names = files(out)
    assert len(names) == 3 and names[0] == "contact_sheet.pose.png"
    assert all(name.startswith("s1%2Fclip") and name.endswith(".pose.gif") for name in names[1:])
    assert Image.open(out / names[1]).n_frames == 3  # type: ignore[attr-defined]
    printed = capsys.readouterr().out
    assert all(str(Path("previews") / "small" / name) in printed for name in names)
    assert "subject s1 · action" in printed and "mistake knees" in printed


def test_the_random_choice_repeats_with_its_seed(tool: ModuleType, store: Path) -> None:
    def rows(*arguments: str) -> list[int]:
        selected = tool.select(tool.Store(store), tool.parse([str(store), *arguments]), "pose")
        assert selected == sorted(selected)
        return list(selected)

    assert rows("--count", "4") == rows("--count", "4", "--seed", "0")
    assert len({tuple(rows("--count", "4", "--seed", str(i))) for i in range(10)}) > 1
    assert rows("--count", "100") == list(range(9))
    assert rows("--label", "action=squat", "--label", "action=jump") == [0, 2, 3, 5, 6]
    assert rows("--label", "action=squat", "--label", "mistake=knees") == [0, 3, 6]


def test_per_class_draws_so_many_of_every_class(tool: ModuleType, store: Path) -> None:
    def classes(*arguments: str) -> list[int]:
        rows = tool.select(tool.Store(store), tool.parse([str(store), *arguments]), "pose")
        return [row % 3 for row in rows if row != 8]

    assert classes("--per-class", "1") == [0, 1, 2]
    assert classes("--per-class", "2") == [0, 0, 1, 1, 2, 2]
    assert classes("--per-class", "1", "--label", "action=lunge") == [1]
    assert len(classes("--per-class", "3", "--by", "mistake")) == 3


def test_ids_in_their_order_as_film_strips_without_sheet_of_others(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--ids", "s1/clip4", "s1/clip0", "s1/clip4", "--format", "png", "--out", str(tmp_path / "o")) == 0
    assert files(tmp_path / "o") == ["contact_sheet.pose.png", "s1%2Fclip0.pose.png", "s1%2Fclip4.pose.png"]
    printed = capsys.readouterr().out
    assert printed.index("clip4") < printed.index("clip0") and "contact sheet of 2" in printed


def test_sheet_alone_and_sensors(run: Run, tmp_path: Path) -> None:
    assert run("--sheet", "--per-class", "1", "--out", "a") == 0
    assert files(tmp_path / "a") == ["contact_sheet.pose.png"]
    assert run("--modality", "imu", "--out", "b") == 0
    assert files(tmp_path / "b") == ["contact_sheet.imu.png", "s1%2Fclip0.imu.png", "s1%2Fclip1.imu.png"]


def test_recordings_that_were_never_observed_are_left_out_aloud(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--ids", "s1/clip7", "s1/clip0", "--sheet") == 0
    assert "s1/clip7 has no observed frame: left out" in capsys.readouterr().err
    assert run("--ids", "s1/clip7", "--sheet") == 2
    assert "none of the selected recordings has an observed frame" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ids", "clip0", "s1/clip1"], "no recording clip0; the 9 ids begin with s1/clip0, s1/clip1"),
        (["--ids", "s1/clip3", "--modality", "imu"], "s1/clip3: no modality 'imu'"),
        (["--label", "action=run"], "action has no class 'run'; allowed are squat, lunge, jump"),
        (["--label", "pose=squat"], "no label 'pose'; there are action, mistake"),
        (["--label", "squat"], "no label 'squat'; there are action, mistake"),
        (["--label", "mistake=none"], "no recording with mistake=none has modality 'pose'"),
        (["--label", "action=jump", "--modality", "imu"], "no recording with action=jump has modality 'imu'"),
        (["--modality", "emg"], "no modality 'emg'; there are pose, imu"),
        (["--per-class", "1", "--by", "tempo"], "no label 'tempo' for --per-class; there are action, mistake"),
        (["--per-class", "0"], "--count and --per-class are numbers of 1 or more"),
        (["--count", "-1"], "--count and --per-class are numbers of 1 or more"),
    ],
)
def test_errors_name_what_is_wrong_and_what_is_allowed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert files(tmp_path) == []


def test_missing_store_ffmpeg_and_folder(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(store=tmp_path / "nowhere") == 2
    assert "nowhere: no such store" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("--format", "mp4") == 2
    assert "ffmpeg" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run("--out", str(tmp_path / "file" / "deep")) == 2
    assert "is no folder to write to" in capsys.readouterr().err


def test_forces_are_drawn_for_stores_that_have_them(tool, tmp_path):
    import yaml

    from graphnets.simulation import Clip, Setup, render

    root = Path(__file__).parents[2]
    card = yaml.safe_load((root / "datasets" / "synthetic" / "card.yaml").read_text(encoding="utf-8"))
    names = ("pose", "pose2d_side", "imu", "grf", "cop")
    card["modalities"] = {name: card["modalities"][name] for name in names}
    made = render([Clip("squat", "correct", 1, 1)], fps=10.0, setup=Setup(names))[0]
    with StoreWriter(tmp_path / "store", card) as writer:
        streams = {name: (s.values, s.mask, s.fps) for name, s in made.streams.items()}
        writer.add(made.id, "s01", streams, {"exercise": "squat", "mistake": "correct"})
    out = tmp_path / "out"
    assert tool.main([str(tmp_path / "store"), "--forces", "--out", str(out)]) == 0
    assert (out / f"{made.id}.pose.forces.gif").stat().st_size > 10_000


def test_forces_need_a_store_that_has_them(tool, store, capsys):
    assert tool.main([str(store), "--forces"]) == 2
    assert "needs the modalities pose, grf and cop" in capsys.readouterr().err
