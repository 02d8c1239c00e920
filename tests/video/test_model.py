from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from graphnets.video import MODEL_VARIABLE, PoseDetector, find_model


def test_the_argument_goes_before_the_environment(
    mock_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path / "another.task"))
    assert find_model(mock_model) == mock_model
    monkeypatch.setenv(MODEL_VARIABLE, str(mock_model))
    assert find_model() == mock_model


def test_without_a_model_it_says_what_to_download_and_where_to_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    with pytest.raises(ValueError, match=r"no pose model: download pose_landmarker_full.task .* --model .*POSE_MODEL"):
        find_model()


@pytest.mark.parametrize("content", ["absent", "empty", "html", "other", "folder"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.task"
    if content == "folder":
        path.mkdir()
    elif content == "other":
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("hand_detector.tflite", b"")
    elif content != "absent":
        path.write_text("<html>not found</html>" if content == "html" else "")
    message = {
        "absent": "no such pose model", "folder": "no such pose model", "empty": "no bundle of a pose landmarker",
        "html": "no bundle of a pose landmarker", "other": "this bundle lacks pose_detector.tflite",
    }[content]  # fmt: skip
    with pytest.raises(ValueError, match=f"{message}.*download"):
        find_model(path)


def test_a_broken_model_ends_in_a_message(mock_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    with pytest.raises(ValueError, match=r"mock.task: MediaPipe can't use this model"):
        PoseDetector(mock_model)
    assert capfd.readouterr().err == ""
