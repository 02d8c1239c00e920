from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, HeteroData
from torch_geometric.nn import GCNConv

from graphnets.data import MotionBatch, MotionSequence, Store
from graphnets.skeleton import Skeleton

KINECT, AXES = Skeleton.load("kinect20"), Skeleton.load("imu_axes6")
POSE = {"skeleton": KINECT, "channels": ("x", "y", "z"), "fps": 30.0}


def make_batch() -> MotionBatch:
    generator = torch.Generator().manual_seed(0)
    pose = torch.randn(3, 5, 20, 3, generator=generator)
    mask = torch.rand(3, 5, 20, generator=generator) > 0.3
    mask[0, 3:] = False
    imu = torch.randn(3, 9, 6, 1, generator=generator)
    return MotionBatch.from_arrays(
        {
            "pose": {**POSE, "x": pose, "mask": mask, "fps": torch.tensor([30.0, 25.0, 50.0])},
            "imu": {"x": imu, "skeleton": AXES, "channels": ["value"], "fps": 50},
        },
        {"action": [2, -1, 0]},
        ["a", "b", "c"],
        ["s1", "s1", "s2"],
    )


def test_a_batch_holds_what_it_was_made_of() -> None:
    batch = make_batch()
    assert len(batch) == 3 and batch.modalities == ["pose", "imu"]
    assert batch["pose"].x.shape == (3, 5, 20, 3) and batch["pose"].mask.dtype == torch.bool
    assert batch["imu"].mask.all() and batch["imu"].mask.shape == (3, 9, 6)
    assert batch["imu"].fps.tolist() == [50.0] * 3 and batch["pose"].fps.dtype == torch.float32
    assert batch["imu"].channels == ("value",) and batch["pose"].skeleton == KINECT
    assert batch.action.tolist() == [2, -1, 0] and batch.action.dtype == torch.int64
    assert batch.id == ["a", "b", "c"] and batch.subject == ["s1", "s1", "s2"]
    assert torch.equal(batch["pose", "bone", "pose"].edge_index, KINECT.edge_index())


def test_numpy_arrays_become_float32() -> None:
    sequence = MotionSequence.from_arrays({"pose": {**POSE, "x": np.zeros((4, 20, 3))}})
    assert sequence["pose"].x.dtype == torch.float32 and sequence["pose"].mask.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 5, 19, 3)}, "19, 3.*kinect20.*20 joints"),
        ({"x": torch.zeros(2, 5, 20, 2)}, "channels"),
        ({"x": torch.zeros(5, 20, 3)}, r"expected \[N, T, 20, 3\]"),
        ({"mask": torch.ones(2, 5, 19, dtype=torch.bool)}, "mask"),
        ({"mask": torch.ones(2, 5, 20)}, "torch.float32, expected torch.bool"),
        ({"fps": [30.0, 30.0, 30.0]}, "fps of pose.*3"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MotionBatch.from_arrays({"pose": {**POSE, "x": torch.zeros(2, 5, 20, 3), **change}})


def test_modalities_and_labels_must_have_the_same_number_of_recordings() -> None:
    pose, imu = {**POSE, "x": torch.zeros(2, 5, 20, 3)}, {"skeleton": AXES, "channels": ("value",), "fps": 50.0}
    with pytest.raises(ValueError, match=r"2 recordings.*imu.*3"):
        MotionBatch.from_arrays({"pose": pose, "imu": {**imu, "x": torch.zeros(3, 4, 6, 1)}})
    with pytest.raises(ValueError, match=r"action.*1"):
        MotionBatch.from_arrays({"pose": pose}, {"action": [1]})
    with pytest.raises(ValueError, match="at least one modality"):
        MotionBatch.from_arrays({})


def test_one_recording_of_a_batch() -> None:
    batch = make_batch()
    first, second = batch.sequence(0), batch.sequence(1)
    assert first["pose"].x.shape == (3, 20, 3) and second["pose"].x.shape == (5, 20, 3)
    assert torch.equal(first["pose"].x, batch["pose"].x[0, :3]) and torch.equal(
        first["pose"].mask, batch["pose"].mask[0, :3]
    )
    assert first["pose"].fps == 30.0 and second["pose"].fps == 25.0
    assert (first.id, first.subject, int(first.action)) == ("a", "s1", 2)
    assert first["imu"].x.shape == (9, 6, 1)


def test_to_moves_tensors_and_leaves_names_alone() -> None:
    moved = make_batch().to("meta")
    assert moved["pose"].x.is_meta and moved["pose"].mask.is_meta and moved["pose"].fps.is_meta and moved.action.is_meta
    assert moved["pose", "bone", "pose"].edge_index.is_meta
    assert moved["pose"].channels == ("x", "y", "z") and moved["pose"].skeleton == KINECT
    assert moved.id == ["a", "b", "c"] and isinstance(moved, MotionBatch)


def test_edges_follow_the_values_to_their_device() -> None:
    batch = make_batch()
    pose = batch["pose"]
    batch.set_modality("pose", pose.x.to("meta"), pose.mask.to("meta"), pose.fps, pose.skeleton, pose.channels)
    assert batch["pose", "bone", "pose"].edge_index.is_meta


@pytest.mark.parametrize("how", ["clone", "deepcopy", "pickle"])
def test_copies_are_independent(how: str) -> None:
    batch = make_batch()
    ways = {
        "clone": batch.clone,
        "deepcopy": lambda: copy.deepcopy(batch),
        "pickle": lambda: pickle.loads(pickle.dumps(batch)),
    }
    other = ways[how]()
    assert isinstance(other, MotionBatch) and len(other) == 3 and other["pose"].channels == ("x", "y", "z")
    assert torch.equal(other["pose"].x, batch["pose"].x) and other["pose"].skeleton == KINECT
    other["pose"].x.zero_()
    other["pose", "bone", "pose"].edge_index.zero_()
    assert batch["pose"].x.abs().sum() > 0 and batch["pose", "bone", "pose"].edge_index.any()


def test_a_shallow_copy_shares_tensors_but_not_attributes() -> None:
    batch = make_batch()
    other = copy.copy(batch)
    other["pose"].x = torch.zeros(3, 5, 20, 3)
    other.action = torch.zeros(3)
    assert batch["pose"].x.abs().sum() > 0 and batch.action.tolist() == [2, -1, 0]
    assert other["imu"].x is batch["imu"].x


def test_changed_edges_stay_with_their_recording(small_store: Store) -> None:
    small_store.read([0])["pose", "bone", "pose"].edge_index.fill_(0)
    assert torch.equal(small_store.read([0])["pose", "bone", "pose"].edge_index, KINECT.edge_index())


def test_printing_shows_shapes_and_the_skeleton_by_name() -> None:
    text = str(make_batch())
    assert "x=[3, 5, 20, 3]" in text and "skeleton=kinect20" in text and "action=[3]" in text
    assert "left_elbow" not in text and len(text.splitlines()) < 30


def test_pyg_sees_a_heterogeneous_graph() -> None:
    batch = make_batch()
    assert batch.metadata() == (["pose", "imu"], [("pose", "bone", "pose"), ("imu", "bone", "imu")])
    assert set(batch.x_dict) == {"pose", "imu"} and batch["pose"].num_nodes == 20
    assert batch.detach()["pose"].x.shape == (3, 5, 20, 3)


def reference_union(batch: MotionBatch) -> Batch:
    """PyG's own batching of one graph a recording, nodes first."""
    graphs = []
    for n in range(len(batch)):
        graph = HeteroData()
        for name in batch.modalities:
            graph[name].x = batch[name].x[n].transpose(0, 1)
            graph[name].mask = batch[name].mask[n].transpose(0, 1)
            graph[name, "bone", name].edge_index = batch[name].skeleton.edge_index()
        graphs.append(graph)
    return Batch.from_data_list(graphs)


def test_to_pyg_is_the_disjoint_union() -> None:
    batch = make_batch()
    union, reference = batch.to_pyg(), reference_union(batch)
    for name in ("pose", "imu"):
        for key in ("x", "mask", "batch", "ptr"):
            assert torch.equal(union[name][key], reference[name][key]), (name, key)
        assert torch.equal(union[name, "bone", name].edge_index, reference[name, "bone", name].edge_index)
    assert union.action.tolist() == [2, -1, 0] and union.id == ["a", "b", "c"]


def test_a_convolution_on_the_union_keeps_recordings_apart() -> None:
    torch.manual_seed(0)
    batch, convolution = make_batch(), GCNConv(15, 4)
    union = batch.to_pyg()
    joined = convolution(union["pose"].x.flatten(1), union["pose", "bone", "pose"].edge_index)
    for n in range(3):
        alone = convolution(batch["pose"].x[n].transpose(0, 1).flatten(1), KINECT.edge_index())
        torch.testing.assert_close(joined[20 * n : 20 * (n + 1)], alone)
