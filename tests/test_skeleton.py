from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components, shortest_path

from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec

COUNTS = {  # joints, edges
    "body20": (20, 19),
    "body25": (25, 24),
    "coco17": (17, 19),
    "ec3d19": (19, 18),
    "h36m17": (17, 16),
    "imu_axes6": (6, 9),
    "kinect20": (20, 19),
    "kinect22": (22, 21),
    "kinetics5": (5, 4),
    "mediapipe19": (19, 23),
    "mediapipe33": (33, 35),
    "mhad_imu6": (6, 5),
    "mmact_axes9": (9, 15),
    "openpose18": (18, 17),
    "tan_imu8": (8, 7),
    "tan_video11": (11, 11),
    "vicon39": (39, 62),
}
# Order and edges of the released ST-GCN code for Kinetics (18 joints) and NTU RGB+D (25 joints, centre 20).
STGCN18 = "4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14"
STGCN25 = (
    "0-1 1-20 2-20 3-2 4-20 5-4 6-5 7-6 8-20 9-8 10-9 11-10 12-0 13-12 14-13 15-14 16-0 17-16 18-17 19-18 "
    "21-22 22-7 23-24 24-11"
)

chain = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1), ((0, 1), (1, 2)))


@st.composite
def skeletons(draw: st.DrawFn, tree_edges: bool | None = None, min_joints: int = 1) -> Skeleton:
    """A random tree in random joint order with its bones as edges, or with any edges at all."""
    count = draw(st.integers(min_joints, 9))
    order = draw(st.permutations(range(count)))
    parents = [-1] * count
    for position in range(1, count):
        parents[order[position]] = order[draw(st.integers(0, position - 1))]
    bones = [(parent, child) for child, parent in enumerate(parents) if parent >= 0]
    if tree_edges is None:
        tree_edges = draw(st.booleans())
    pairs = list(itertools.combinations(range(count), 2))
    edges = bones if tree_edges or not pairs else draw(st.lists(st.sampled_from(pairs), unique=True))
    return Skeleton("random", tuple(f"j{i}" for i in range(count)), tuple(parents), tuple(edges))


def components(skeleton: Skeleton) -> np.ndarray:
    return connected_components(skeleton.adjacency().numpy(), directed=False)[1]


def scipy_hops(matrix: torch.Tensor) -> np.ndarray:
    hops = shortest_path(matrix.numpy(), directed=False, unweighted=True)
    return np.where(np.isinf(hops), -1, hops).astype(int)


def released_stgcn_counts(skeleton: Skeleton) -> list[int]:
    """Entries of the two neighbour subsets in the released ST-GCN code, whose hops end at 1."""
    adjacency = skeleton.adjacency().numpy()
    hops = np.where(np.eye(len(adjacency)) > 0, 0, np.where(adjacency > 0, 1, np.inf))
    near = far = 0
    for i, j in zip(*np.nonzero(adjacency), strict=True):
        if hops[j, skeleton.root] <= hops[i, skeleton.root]:
            near += 1
        else:
            far += 1
    return [near, far]


def from_text(text: str, root: int) -> Skeleton:
    """A tree given by its edges."""
    edges = [(int(a), int(b)) for a, b in (pair.split("-") for pair in text.split())]
    parents, todo = {root: -1}, [root]
    while todo:
        joint = todo.pop()
        for neighbour in {i for edge in edges if joint in edge for i in edge} - set(parents):
            parents[neighbour] = joint
            todo.append(neighbour)
    joints = tuple(str(i) for i in range(len(parents)))
    return Skeleton("stgcn", joints, tuple(parents[i] for i in range(len(parents))), tuple(edges))


# Built-in skeletons


def test_available_lists_the_built_in_skeletons() -> None:
    assert Skeleton.available() == sorted(COUNTS)


@pytest.mark.parametrize("name", sorted(COUNTS))
class TestBuiltIn:
    def test_counts_name_and_description(self, name: str) -> None:
        skeleton = Skeleton.load(name)
        assert (skeleton.num_joints, len(skeleton.edges)) == COUNTS[name]
        assert skeleton.name == name
        assert skeleton.description

    def test_round_trips(self, name: str, tmp_path: Path) -> None:
        skeleton = Skeleton.load(name)
        plain = skeleton.to_dict()
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(plain))
        for twin in (
            Skeleton.from_dict(plain),
            Skeleton.load(tmp_path / "own.yaml"),
            from_spec(to_spec(skeleton)),
            copy.deepcopy(skeleton),
            pickle.loads(pickle.dumps(skeleton)),
        ):
            assert twin == skeleton
            assert hash(twin) == hash(skeleton)
            assert twin.description == skeleton.description

    def test_mirror_is_an_involution_that_keeps_the_graph(self, name: str) -> None:
        skeleton = Skeleton.load(name)
        mirror = skeleton.mirror_permutation()
        assert torch.equal(mirror[mirror], torch.arange(skeleton.num_joints))
        assert torch.equal(skeleton.adjacency()[mirror][:, mirror], skeleton.adjacency())
        parents = [skeleton.parents[i] for i in mirror]
        if mirror[skeleton.root] == skeleton.root:  # no tree over pairs alone is its own mirror image
            assert parents == [-1 if p < 0 else mirror[p] for p in skeleton.parents]
        swapped = {joint: skeleton.joints[mirror[i]] for i, joint in enumerate(skeleton.joints)}
        for joint, other in swapped.items():
            if joint.startswith(("left_", "right_")):
                assert {joint[:4], other[:4]} == {"left", "righ"}
                assert joint.split("_", 1)[1] == other.split("_", 1)[1]

    def test_edges_join_what_the_description_says(self, name: str) -> None:
        expected = 3 if name == "mediapipe33" else 1
        assert components(Skeleton.load(name)).max() + 1 == expected

    def test_center_is_there_for_bodies_only(self, name: str) -> None:
        assert bool(Skeleton.load(name).center) == (not name.endswith(("imu6", "imu8", "axes6", "axes9", "kinetics5")))

    def test_tree_edges_give_as_many_centripetal_as_centrifugal_entries(self, name: str) -> None:
        skeleton = Skeleton.load(name)
        near, far = skeleton.partitions(normalize=False).sum((1, 2)).tolist()[1:]
        assert near == far
        if len(skeleton.edges) == skeleton.num_joints - 1:
            assert near == len(skeleton.edges)


def test_known_orders() -> None:
    kinect, ec3d = Skeleton.load("kinect20"), Skeleton.load("ec3d19")
    assert kinect.joints[:5] == ("head", "neck", "spine", "pelvis", "left_shoulder")
    assert [kinect.index(j) for j in ("left_hand", "right_hand", "left_foot", "right_foot")] == [
        7,
        11,
        15,
        19,
    ]
    assert kinect.joints[kinect.root] == "pelvis"
    published = "0-1 1-2 2-3 3-4 1-5 5-6 6-7 1-8 8-9 9-10 10-11 8-12 12-13 13-14 11-17 11-18 14-15 14-16"
    assert {frozenset(edge) for edge in ec3d.edges} == {
        frozenset(int(i) for i in pair.split("-")) for pair in published.split()
    }
    assert Skeleton.load("openpose18").joints[1] == "neck"
    assert Skeleton.load("mediapipe33").joints[31:] == ("left_foot_index", "right_foot_index")
    assert Skeleton.load("vicon39").joints[23:27] == ("LASI", "RASI", "LPSI", "RPSI")


def test_mediapipe_has_three_components_and_five_cycles() -> None:
    skeleton = Skeleton.load("mediapipe33")
    count = components(skeleton).max() + 1
    assert count == 3
    assert len(skeleton.edges) - skeleton.num_joints + count == 5


def test_axis_graph_is_two_cliques_joined_by_axis() -> None:
    clique = torch.ones(3, 3) - torch.eye(3)
    expected = torch.cat([torch.cat([clique, torch.eye(3)], 1), torch.cat([torch.eye(3), clique], 1)])
    assert torch.equal(Skeleton.load("imu_axes6").adjacency(), expected)


def test_vicon_names_fit_the_recorded_positions() -> None:
    raw = os.environ.get("GRAPHNETS_RAW")
    if not raw:
        pytest.skip("GRAPHNETS_RAW is unset: no UI-PRMD recordings to check the marker names with")
    with tarfile.open(Path(raw) / "ui_prmd_vicon_m01-m06.tar.xz", "r|xz") as archive:
        files = (archive.extractfile(m) for m in archive if m.name.endswith(".txt"))
        x = np.loadtxt(next(f for f in files if f is not None), delimiter=",").reshape(-1, 39, 3)
    vicon = Skeleton.load("vicon39")
    place = {name: x[:, i] for i, name in enumerate(vicon.joints)}
    forward = (place["LFHD"] + place["RFHD"] - place["LBHD"] - place["RBHD"]).mean(0)[:2]
    for left, right in vicon.mirror_pairs:
        to_left = (x[:, left] - x[:, right]).mean(0)[:2]
        assert forward[0] * to_left[1] - forward[1] * to_left[0] > 0, vicon.joints[left]
    down = ["LFHD", "C7", "T10", "LASI", "LTHI", "left_knee", "LTIB", "left_ankle", "left_foot"]
    heights = [place[name][:, 2].mean() for name in down]
    assert heights == sorted(heights, reverse=True)
    for a, b in (("LFHD", "LBHD"), ("left_shoulder", "left_elbow"), ("left_elbow", "LWRA"), ("RWRA", "RWRB")):
        length = np.linalg.norm(place[a] - place[b], axis=1)
        assert length.std() / length.mean() < 0.05, (a, b)


# A value


def test_is_a_value() -> None:
    twin = Skeleton("chain", ["a", "b", "c"], [-1, 0, 1], [[0, 1], [1, 2]], description="lists, not tuples")  # type: ignore[arg-type]
    assert twin == chain
    assert {chain: 1}[twin] == 1
    assert twin != dataclasses.replace(chain, composed={"ab": ("a", "b")})
    assert twin != dataclasses.replace(chain, edges=())


def test_cannot_be_changed() -> None:
    loose: dict[str, Any] = {"composed": {"ab": ["a", "b"]}, "center": "ab"}
    skeleton = dataclasses.replace(chain, **loose)
    assert skeleton.center == ("ab",)
    with pytest.raises(dataclasses.FrozenInstanceError):
        skeleton.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        skeleton.composed["ab"] = ("a", "c")  # type: ignore[index]


def test_structure() -> None:
    skeleton = Skeleton("star", ("b", "root", "a"), (2, -1, 1), ((1, 2),))
    assert skeleton.root == 1
    assert skeleton.bones == ((0, 2), (2, 1))
    assert skeleton.depths == (2, 0, 1)
    assert skeleton.edge_index().tolist() == [[1, 2], [2, 1]]
    assert skeleton.hop_distances().tolist() == [[0, -1, -1], [-1, 0, 1], [-1, 1, 0]]


def test_no_edges_are_allowed() -> None:
    skeleton = dataclasses.replace(chain, edges=())
    assert skeleton.edge_index().shape == (2, 0)
    assert skeleton.edge_index().dtype == torch.int64
    for strategy in ("uniform", "distance", "spatial"):
        assert torch.equal(skeleton.partitions(strategy).sum(0), torch.eye(3))
        assert torch.equal(skeleton.partitions(strategy)[0], torch.eye(3))


# Partitions


@settings(max_examples=40, deadline=None)
@given(skeletons())
def test_hop_distances_are_shortest_paths(skeleton: Skeleton) -> None:
    assert np.array_equal(skeleton.hop_distances().numpy(), scipy_hops(skeleton.adjacency()))


@settings(max_examples=40, deadline=None)
@given(skeletons(), st.integers(0, 3), st.sampled_from(["uniform", "distance", "spatial"]), st.booleans())
def test_partitions_match_brute_force(skeleton: Skeleton, max_hop: int, strategy: str, normalize: bool) -> None:
    count = skeleton.num_joints
    hops = scipy_hops(skeleton.adjacency())
    union = skeleton.adjacency()
    for child, parent in skeleton.bones:
        union[child, parent] = union[parent, child] = 1
    depth = scipy_hops(union)[skeleton.root]
    expected = np.zeros(({"uniform": 1, "distance": max_hop + 1, "spatial": 3}[strategy], count, count))
    for i in range(count):
        reach = [j for j in range(count) if 0 <= hops[i, j] <= max_hop]
        for j in reach:
            k = 0
            if strategy == "distance":
                k = hops[i, j]
            elif strategy == "spatial" and depth[j] != depth[i]:
                k = 1 if depth[j] < depth[i] else 2
            expected[k, i, j] = 1 / len(reach) if normalize else 1
    result = skeleton.partitions(strategy, max_hop, normalize)  # type: ignore[arg-type]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(skeletons())
def test_partitions_sum_to_the_normalised_adjacency(skeleton: Skeleton) -> None:
    full = skeleton.adjacency() + torch.eye(skeleton.num_joints)
    for strategy in ("uniform", "distance", "spatial"):
        torch.testing.assert_close(skeleton.partitions(strategy).sum(0), full / full.sum(1, keepdim=True))


@settings(max_examples=30, deadline=None)
@given(skeletons(tree_edges=True))
def test_trees_have_one_entry_an_edge_in_each_direction(skeleton: Skeleton) -> None:
    root, near, far = skeleton.partitions(normalize=False)
    assert torch.equal(root, torch.eye(skeleton.num_joints))
    assert torch.equal(near, far.T)
    # Row i is the receiver: each joint but the root receives centripetally from its parent.
    assert {(i, j) for i, j in near.nonzero().tolist()} == set(skeleton.bones)


@pytest.mark.parametrize(("text", "root", "released", "right"), [(STGCN18, 1, [25, 9], 17), (STGCN25, 20, [40, 8], 24)])
def test_counts_against_the_released_stgcn(text: str, root: int, released: list[int], right: int) -> None:
    skeleton = from_text(text, root)
    assert released_stgcn_counts(skeleton) == released
    assert skeleton.partitions(normalize=False).sum((1, 2)).tolist()[1:] == [right, right]


def test_openpose_counts() -> None:
    assert Skeleton.load("openpose18").partitions(normalize=False).sum((1, 2)).tolist() == [18, 17, 17]
    assert Skeleton.load("body25").partitions(normalize=False).sum((1, 2)).tolist() == [25, 24, 24]


def test_bad_partitions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'spatail' is unknown.*'uniform', 'distance', 'spatial'"):
        chain.partitions("spatail")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_hop is -1; it must be 0 or more"):
        chain.partitions(max_hop=-1)


# Subset


@settings(max_examples=60, deadline=None)
@given(skeletons(), st.data())
def test_subset_keeps_order_tree_and_connections(skeleton: Skeleton, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(skeleton.joints), min_size=1, unique=True))
    part = skeleton.subset(names)
    assert part.joints == tuple(names)
    old = [skeleton.index(name) for name in names]
    kept = {frozenset((names[i], names[j])) for i, j in part.edges}
    for i, j in skeleton.edges:
        if i in old and j in old:
            assert {skeleton.joints[i], skeleton.joints[j]} in kept
    before, after = components(skeleton)[old], components(part)
    for i, j in itertools.combinations(range(len(names)), 2):
        assert after[i] == after[j] or before[i] != before[j]
    # Parents are the nearest kept ancestors.
    for i, joint in enumerate(old):
        ancestor = skeleton.parents[joint]
        while ancestor >= 0 and ancestor not in old:
            ancestor = skeleton.parents[ancestor]
        assert part.parents[i] in ((old.index(ancestor),) if ancestor >= 0 else (-1, part.root))
    assert skeleton.depths[old[part.root]] == min(skeleton.depths[i] for i in old)


@settings(max_examples=30, deadline=None)
@given(skeletons(tree_edges=True), st.data())
def test_subset_of_a_tree_is_its_new_tree(skeleton: Skeleton, data: st.DataObject) -> None:
    part = skeleton.subset(data.draw(st.lists(st.sampled_from(skeleton.joints), min_size=1, unique=True)))
    assert {frozenset(edge) for edge in part.edges} == {frozenset(bone) for bone in part.bones}


def test_subset_of_all_joints_is_the_skeleton() -> None:
    for name in Skeleton.available():
        skeleton = Skeleton.load(name)
        assert skeleton.subset(skeleton.joints) == skeleton


def test_subset_bridges_a_removed_elbow_and_a_removed_root() -> None:
    kinect = Skeleton.load("kinect20")
    arm = kinect.subset(["left_wrist", "left_shoulder", "neck"])
    assert arm.parents == (1, 2, -1)
    assert {frozenset(edge) for edge in arm.edges} == {frozenset((0, 1)), frozenset((1, 2))}
    legs = kinect.subset(["right_hip", "left_hip", "left_knee", "spine"])
    assert legs.parents == (-1, 0, 1, 0)
    assert legs.mirror_pairs == ((1, 0),)
    assert legs.center == ()


def test_subset_keeps_the_points_that_can_be_computed() -> None:
    part = Skeleton.load("mediapipe33").subset(["left_hip", "right_hip", "left_heel", "left_foot_index"])
    assert dict(part.composed) == {
        "pelvis": ("left_hip", "right_hip"),
        "left_foot": ("left_heel", "left_foot_index"),
        "left_big_toe": ("left_foot_index",),
    }
    assert part.center == ("left_hip", "right_hip")
    vicon = Skeleton.load("vicon39")
    assert vicon.subset(["LASI", "RASI", "LPSI", "RPSI", "C7"]).center == ("pelvis",)
    assert vicon.subset(["LASI", "RASI", "C7"]).center == ()


def test_subset_refuses_nothing_strangers_and_twins() -> None:
    with pytest.raises(ValueError, match=r"'chain': a subset needs at least one of \['a', 'b', 'c'\]"):
        chain.subset([])
    with pytest.raises(ValueError, match=r"'chain' has no joint 'd'; joints are \['a', 'b', 'c'\]"):
        chain.subset(["a", "d"])
    with pytest.raises(ValueError, match="'a' appears 2 times"):
        chain.subset(["a", "a"])


# Remap


def test_remap_mediapipe_to_openpose() -> None:
    source, target = Skeleton.load("mediapipe33"), Skeleton.load("openpose18")
    joint_map = source.remap(target)
    x = torch.randn(2, 5, 33, 3, dtype=torch.float64)
    y, mask = joint_map(x)
    assert y.shape == (2, 5, 18, 3)
    assert mask.all()
    assert joint_map.missing == ()
    torch.testing.assert_close(y[..., target.index("neck"), :], (x[..., 11, :] + x[..., 12, :]) / 2)
    assert torch.equal(y[..., target.index("right_knee"), :], x[..., 26, :])
    torch.testing.assert_close(y, joint_map.weights.double() @ x)


def test_remap_takes_a_joint_before_a_composed_point() -> None:
    source = Skeleton("s", ("a", "b", "c"), (-1, 0, 0), (), composed={"ab": ("a", "b")})
    target = Skeleton("t", ("ab", "c"), (-1, 0), ())
    assert source.remap(target).weights.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]


def test_remap_reads_nothing_through_the_mask() -> None:
    source, target = Skeleton.load("mediapipe33"), Skeleton.load("openpose18")
    joint_map = source.remap(target)
    x, mask = torch.randn(4, 33, 3), torch.ones(4, 33, dtype=torch.bool)
    mask[1, source.index("left_shoulder")] = False
    mask[2] = False
    clean, observed = joint_map(x, mask)
    expected = torch.ones(4, 18, dtype=torch.bool)
    expected[1, [target.index("left_shoulder"), target.index("neck")]] = False
    expected[2] = False
    assert torch.equal(observed, expected)
    poisoned = x.masked_fill(~mask[..., None], float("nan"))
    assert torch.equal(joint_map(poisoned, mask)[0], clean)
    assert clean[~expected].abs().sum() == 0


def test_remap_without_a_mask_keeps_a_nan_to_its_joint() -> None:
    source, target = Skeleton.load("coco17"), Skeleton.load("openpose18")
    x = torch.zeros(17, 2)
    x[source.index("left_wrist")] = float("nan")
    y, mask = source.remap(target)(x)
    assert mask.all()
    assert y.isnan().any(-1).nonzero().flatten().tolist() == [target.index("left_wrist")]


def test_remap_of_missing_joints() -> None:
    source, target = Skeleton.load("openpose18"), Skeleton.load("kinect20")
    hands_and_feet = ["left_hand", "right_hand", "left_foot", "right_foot"]
    with pytest.raises(ValueError, match=r"'openpose18' lacks \['left_hand', .*'right_foot'\] of 'kinect20'.*'nose'"):
        source.remap(target)
    joint_map = source.remap(target, allow_missing=True)
    assert sorted(joint_map.missing) == sorted(hands_and_feet)
    y, mask = joint_map(torch.ones(3, 18, 2))
    lost = [target.index(name) for name in hands_and_feet]
    assert not mask[:, lost].any()
    assert y[:, lost].abs().sum() == 0
    assert mask.sum() == 3 * 16
    nothing = Skeleton.load("imu_axes6").remap(target, allow_missing=True)
    assert not nothing(torch.ones(6, 1))[1].any()


@pytest.mark.parametrize("source", ["mediapipe33", "vicon39"])
def test_full_bodies_reach_kinect(source: str) -> None:
    assert Skeleton.load(source).remap(Skeleton.load("kinect20")).missing == ()


@settings(max_examples=20, deadline=None)
@given(skeletons(), st.data())
def test_remap_to_a_subset_selects(skeleton: Skeleton, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(skeleton.joints), min_size=1, unique=True))
    x = torch.arange(2.0 * skeleton.num_joints).reshape(1, -1, 2)
    mask = torch.tensor(
        [data.draw(st.lists(st.booleans(), min_size=len(skeleton.joints), max_size=len(skeleton.joints)))]
    )
    y, observed = skeleton.remap(skeleton.subset(names))(x, mask)
    index = [skeleton.index(name) for name in names]
    assert torch.equal(observed, mask[:, index])
    assert torch.equal(y, torch.where(mask[:, index, None], x[:, index], torch.zeros(())))


def test_joint_map_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"x \(2, 4, 3\) and mask None don't fit 'chain'.*\[..., 3, C\]"):
        chain.remap(chain)(torch.zeros(2, 4, 3))
    with pytest.raises(ValueError, match=r"mask \(3,\)"):
        chain.remap(chain)(torch.zeros(2, 3, 3), torch.ones(3, dtype=torch.bool))


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": ("a", "b", "a")}, "joint name 'a' appears 2 times, but names must be unique"),
        ({"joints": ("a", "", "c")}, "joint name '' is no non-empty string"),
        ({"joints": ("a", True, "c")}, "joint name True is no non-empty string"),
        ({"joints": (), "parents": (), "edges": ()}, "it needs at least one joint"),
        ({"parents": (-1, 0)}, "it has 3 joints but 2 parents"),
        ({"parents": (-1, 0, 3)}, "the parent of 'c' is 3, allowed are -1 .root. to 2"),
        ({"parents": (-1, 0, -2)}, "the parent of 'c' is -2"),
        ({"parents": (-1, 0, -1)}, r"the roots are \['a', 'c'\], but exactly one"),
        ({"parents": (1, 2, 0)}, r"the roots are \[\], but exactly one"),
        ({"parents": (-1, 2, 1)}, "the parents of 'b' run in a circle, not to the root 'a'"),
        ({"parents": (-1, 0, 2)}, "the parents of 'c' run in a circle"),
        ({"edges": ((0, 3),)}, r"edge \(0, 3\) needs two indices of 0 to 2"),
        ({"edges": ((0, 1, 2),)}, r"edge \(0, 1, 2\) needs two indices"),
        ({"edges": ((1, 1),)}, r"edge \('b', 'b'\) needs two different joints"),
        ({"edges": ((0, 1), (1, 0))}, r"edge \('b', 'a'\) repeats an earlier one"),
        ({"mirror_pairs": ((0, 0),)}, r"mirror pair \('a', 'a'\) needs two different joints"),
        ({"mirror_pairs": ((0, 1), (1, 2))}, r"mirror pair \('b', 'c'\) repeats an earlier one"),
        ({"composed": {"a": ("b", "c")}}, "composed point 'a' is a joint already and needs another name"),
        ({"composed": {"p": ("b", "x")}}, "part 'x' of the composed point 'p' is no joint"),
        ({"composed": {"p": ()}}, r"composed point 'p' needs joints as parts, each once, not \[\]"),
        ({"composed": {"p": ("a", "a")}}, r"needs joints as parts, each once, not \['a', 'a'\]"),
        ({"center": ("x",)}, "center 'x' is neither a joint nor a composed point"),
    ],
)
def test_invalid_skeletons_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^skeleton 'chain': .*{message}.*; joints are"):
        dataclasses.replace(chain, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"unknown keys \['colour'\], missing keys \[\]; allowed are \['name'"),
        (
            {"parents": {"a": None, "b": "a"}},
            r"parents must map every joint.*differs in \['c'\]; joints are \['a'",
        ),
        ({"parents": {"a": None, "b": "a", "c": "x"}}, "'x' in the parent of 'c' is no joint; joints are"),
        ({"parents": ["a", "b"]}, "parents must map every joint"),
        ({"edges": [["a", "x"]]}, "'x' in edges is no joint; joints are"),
        ({"edges": "bones"}, "edges is 'bones'; it must be 'tree' or a list of pairs"),
        ({"mirror": [["a", "x"]]}, "'x' in mirror is no joint; joints are"),
    ],
)
def test_invalid_files_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^skeleton 'chain': .*{message}"):
        Skeleton.from_dict({**chain.to_dict(), **change})


def test_missing_keys_are_named() -> None:
    with pytest.raises(ValueError, match=r"missing keys \['joints', 'parents'\]"):
        Skeleton.from_dict({"name": "n"})


def test_tree_is_the_default_of_edges() -> None:
    plain = {"name": "chain", "joints": ["a", "b", "c"], "parents": {"a": None, "b": "a", "c": "b"}}
    assert Skeleton.from_dict(plain) == Skeleton.from_dict({**plain, "edges": "tree"}) == chain
    assert Skeleton.from_dict({**plain, "edges": []}).edges == ()


def test_unknown_names_list_the_built_in_skeletons(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'kinect' is neither a built-in skeleton nor a YAML file.*'kinect20'"):
        Skeleton.load("kinect")
    (tmp_path / "list.yaml").write_text("[a, b]")
    with pytest.raises(ValueError, match="must hold a mapping with the keys"):
        Skeleton.load(tmp_path / "list.yaml")


# Joined skeletons


def test_join_hangs_root_below_root() -> None:
    body, sensor = Skeleton.load("kinect20"), Skeleton.load("imu_axes6")
    joined = body.join(sensor)
    assert joined == Skeleton.load("kinect20+imu_axes6")
    assert joined.name == "kinect20+imu_axes6" and joined.joints == body.joints + sensor.joints
    assert joined.center == body.center and joined.composed == body.composed
    assert joined.mirror_pairs == body.mirror_pairs
    assert joined.parents[joined.index("acc_x")] == joined.root == body.root
    # One edge between them: at the pelvis, not at a limb, since where the sensor sits gives the action away.
    matrix = joined.adjacency()
    assert torch.equal(matrix[:20, :20], body.adjacency()) and torch.equal(matrix[20:, 20:], sensor.adjacency())
    assert matrix[:20, 20:].nonzero().tolist() == [[joined.index("pelvis"), 0]]


def test_join_at_named_places() -> None:
    body, sensors = Skeleton.load("kinect20"), Skeleton.load("imu_axes6")
    joined = body.join(sensors, links=[("right_wrist", "acc_x"), ("right_hand", "gyro_x")])
    between = joined.adjacency()[:20, 20:].nonzero().tolist()
    assert between == [[body.index("right_wrist"), 0], [body.index("right_hand"), 3]]
    assert joined.parents[20] == body.index("right_wrist"), "the tree follows the link to the root"
    apart = body.join(sensors, links=[])
    assert not apart.adjacency()[:20, 20:].any() and apart.parents[20] == body.root
    for links, message in (([("wrist", "acc_x")], "no joint 'wrist'"), ([("head", "acc")], "no joint 'acc'")):
        with pytest.raises(ValueError, match=message):
            body.join(sensors, links=links)


def test_join_renames_what_clashes() -> None:
    first = Skeleton("a", ("hip", "knee"), (-1, 0), ((0, 1),), composed={"leg": ("hip", "knee")}, center=("leg",))
    second = Skeleton(
        "b", ("leg", "knee", "toe"), (-1, 0, 1), ((0, 1), (1, 2)), ((1, 2),), composed={"hip": ("knee", "toe")}
    )
    joined = first.join(second)
    assert joined.joints == ("hip", "knee", "b.leg", "b.knee", "toe")
    assert dict(joined.composed) == {"leg": ("hip", "knee"), "b.hip": ("b.knee", "toe")}
    assert joined.mirror_pairs == ((3, 4),) and joined.center == ("leg",)
    twice = Skeleton.load("kinect20+kinect20")
    assert twice.num_joints == 40 and twice.joints[20:22] == ("kinect20.head", "kinect20.neck")
    with pytest.raises(ValueError, match=r"'kinect20.head' appears 2 times"):
        Skeleton.load("kinect20+kinect20+kinect20")


@settings(max_examples=25, deadline=None)
@given(skeletons(), skeletons())
def test_join_keeps_both_graphs_and_round_trips(first: Skeleton, second: Skeleton) -> None:
    second = dataclasses.replace(second, name="other")
    joined = first.join(second)
    v = first.num_joints
    assert torch.equal(joined.adjacency()[:v, :v], first.adjacency())
    assert torch.equal(joined.adjacency()[v:, v:], second.adjacency())
    assert joined.adjacency()[:v, v:].sum() == 1
    # Depths below the link are those of before plus what leads there.
    depths = joined.depths
    assert depths[:v] == first.depths and depths[v:] == tuple(1 + d for d in second.depths)
    back = joined.subset(first.joints)
    assert (back.joints, back.parents, back.edges) == (first.joints, first.parents, first.edges)
    for twin in (Skeleton.from_dict(joined.to_dict()), from_spec(to_spec(joined)), pickle.loads(pickle.dumps(joined))):
        assert twin == joined


def test_join_of_files_by_name(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(chain.to_dict()))
    joined = Skeleton.load(f"imu_axes6+{tmp_path / 'own.yaml'}")
    assert joined.name == "imu_axes6+chain" and joined.joints[6:] == ("a", "b", "c")
    (tmp_path / "a+b.yaml").write_text(yaml.safe_dump(chain.to_dict()))
    assert Skeleton.load(tmp_path / "a+b.yaml") == chain, "a file's name may have a plus in it"
    with pytest.raises(ValueError, match="'kinect21' is neither a built-in skeleton nor a YAML file"):
        Skeleton.load("imu_axes6+kinect21")
