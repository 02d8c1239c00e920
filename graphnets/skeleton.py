"""Skeletons: what the nodes of a motion graph are called, how they are joined, and the way between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import torch
import yaml
from torch import Tensor

from graphnets.partitions import (
    Partition,
    adjacency,
    ancestors,
    hop_distances,
    merge_removed,
    neighbour_partitions,
)

_BUILT_IN = Path(__file__).parent / "skeletons"
_KEYS = ("name", "description", "joints", "parents", "edges", "mirror", "composed", "center")


@dataclass(frozen=True, eq=True)
class Skeleton:
    """The nodes and edges of a motion graph: a value, validated when made, equal and hashable by content.

    Attributes:
        name: Name of the skeleton.
        joints: Names of the V nodes, in the order of the data. A node may be a joint, a marker, a sensor or a
            sensor axis.
        parents: Index of every joint's parent in one rooted tree over all joints; the root has -1.
        edges: Undirected edges for message passing and drawing. They may have cycles, leave joints apart, or
            be empty: some published graphs do.
        mirror_pairs: (left, right) indices of joints that swap places in a mirror.
        composed: Points that are no joints here but the mean of some: ``{"pelvis": (left_hip, right_hip)}``.
        center: Joints or composed points whose mean is the body's centre; empty where there is none.
        description: What the skeleton is and where its order comes from; no part of its identity.

    Raises:
        ValueError: The parts don't fit together; the message names the joint.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    mirror_pairs: tuple[tuple[int, int], ...] = ()
    composed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    center: tuple[str, ...] = ()
    description: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        """Freeze the containers, then check them."""
        frozen = {
            "joints": tuple(self.joints),
            "parents": tuple(self.parents),
            "edges": tuple(tuple(pair) for pair in self.edges),
            "mirror_pairs": tuple(tuple(pair) for pair in self.mirror_pairs),
            "composed": MappingProxyType({point: _names(parts) for point, parts in self.composed.items()}),
            "center": _names(self.center),
        }
        for attribute, value in frozen.items():
            object.__setattr__(self, attribute, value)
        self._check_joints()
        self._check_tree()
        self._check_pairs("edge", self.edges)
        self._check_pairs("mirror pair", self.mirror_pairs)
        self._check_points()

    def __hash__(self) -> int:
        """Hash of the content, so that a skeleton can be a dictionary key."""
        return hash((self.name, self.joints, self.parents, self.edges, self.mirror_pairs, self.center))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through the constructor: a mapping proxy can't be pickled."""
        head = (self.name, self.joints, self.parents, self.edges, self.mirror_pairs)
        return type(self), (*head, dict(self.composed), self.center, self.description)

    @classmethod
    def available(cls) -> list[str]:
        """Names of the built-in skeletons."""
        return sorted(path.stem for path in _BUILT_IN.glob("*.yaml"))

    @classmethod
    def load(cls, name_or_path: str | Path) -> Skeleton:
        """Load a built-in skeleton by name, or one of your own from a YAML file, or several of them joined.

        Args:
            name_or_path: A name of :meth:`available`, or the path of a YAML file (see :meth:`from_dict`), or several
                of these with a plus between them, such as ``"kinect20+imu_axes6"``, which are joined in this order
                (see :meth:`join`).

        Raises:
            ValueError: Neither a built-in name nor an existing file, or the file's content is invalid.
        """
        built_in = str(name_or_path) in cls.available()
        path = _BUILT_IN / f"{name_or_path}.yaml" if built_in else Path(name_or_path)
        if "+" in str(name_or_path) and not path.is_file():
            return reduce(cls.join, map(cls.load, str(name_or_path).split("+")))
        if not path.is_file():
            raise ValueError(
                f"{str(name_or_path)!r} is neither a built-in skeleton nor a YAML file; built in are {cls.available()}"
            )
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"skeleton file {str(path)!r} must hold a mapping with the keys {list(_KEYS)}")
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Skeleton:
        """Build a skeleton from plain data that calls joints by name, as the YAML files do.

        Args:
            d: ``name``, ``joints`` (list), ``parents`` (mapping from every joint to its parent, null for the
                root) and, as needed, ``description``, ``edges`` (list of pairs; or ``"tree"``, the default),
                ``mirror`` (list of [left, right]), ``composed`` (mapping from point to list of joints) and
                ``center`` (list).

        Raises:
            ValueError: A key is missing or unknown, something named is no joint, or the skeleton is invalid.
        """
        name = d.get("name", "(unnamed)")
        unknown, absent = [k for k in d if k not in _KEYS], {"name", "joints", "parents"} - set(d)
        if unknown or absent:
            raise ValueError(
                f"skeleton {name!r}: unknown keys {unknown}, missing keys {sorted(absent)}; allowed are {list(_KEYS)}"
            )
        joints, given = tuple(d["joints"]), d["parents"]

        def find(joint: Any, where: str) -> int:
            if joint not in joints:
                raise ValueError(f"skeleton {name!r}: {joint!r} in {where} is no joint; joints are {list(joints)}")
            return joints.index(joint)

        def find_pairs(key: str) -> Iterable[tuple[int, ...]]:
            return tuple(tuple(find(joint, key) for joint in pair) for pair in d.get(key) or ())

        if not isinstance(given, Mapping) or set(given) != set(joints):
            wrong = sorted(map(str, set(given) ^ set(joints)))
            raise ValueError(
                f"skeleton {name!r}: parents must map every joint, and nothing else, to its parent (null for "
                f"the root); it differs in {wrong}; joints are {list(joints)}"
            )
        parents = tuple(-1 if given[j] is None else find(given[j], f"the parent of {j!r}") for j in joints)
        edges: Any = d.get("edges", "tree")
        if isinstance(edges, str) and edges != "tree":
            raise ValueError(f"skeleton {name!r}: edges is {edges!r}; it must be 'tree' or a list of pairs")
        tree = tuple((parent, child) for child, parent in enumerate(parents) if parent >= 0)
        return cls(
            name=name,
            joints=joints,
            parents=parents,
            edges=tree if edges == "tree" else find_pairs("edges"),  # type: ignore[arg-type]  # checked when made
            mirror_pairs=find_pairs("mirror"),  # type: ignore[arg-type]
            composed=d.get("composed") or {},
            center=d.get("center") or (),
            description=d.get("description") or "",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dictionaries and strings that :meth:`from_dict` turns back into this skeleton."""
        names = self.joints
        return {
            "name": self.name,
            "description": self.description,
            "joints": list(names),
            "parents": {j: None if p < 0 else names[p] for j, p in zip(names, self.parents, strict=True)},
            "edges": [[names[i], names[j]] for i, j in self.edges],
            "mirror": [[names[i], names[j]] for i, j in self.mirror_pairs],
            "composed": {point: list(parts) for point, parts in self.composed.items()},
            "center": list(self.center),
        }

    @property
    def num_joints(self) -> int:
        """Number of joints V."""
        return len(self.joints)

    @property
    def root(self) -> int:
        """Index of the tree's root."""
        return self.parents.index(-1)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) of every joint but the root, in joint order."""
        return tuple((child, parent) for child, parent in enumerate(self.parents) if parent >= 0)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Number of bones between every joint and the root of the tree."""
        return tuple(len(ancestors(self.parents, joint)) for joint in range(self.num_joints))

    def index(self, name: str) -> int:
        """Index of a joint.

        Raises:
            ValueError: The skeleton has no such joint.
        """
        if name not in self.joints:
            raise ValueError(f"skeleton {self.name!r} has no joint {name!r}; joints are {list(self.joints)}")
        return self.joints.index(name)

    def adjacency(self) -> Tensor:
        """Symmetric 0/1 adjacency of the edges, float32 [V, V], no self loops."""
        return adjacency(self.num_joints, self.edges)

    def edge_index(self) -> Tensor:
        """Edges in both directions, int64 [2, 2E], as PyTorch Geometric wants them."""
        forward = torch.tensor(self.edges, dtype=torch.long).reshape(-1, 2).t()
        return torch.cat([forward, forward.flip(0)], dim=1)

    def hop_distances(self) -> Tensor:
        """Shortest path along the edges between every two joints, int64 [V, V]; -1 = unreachable."""
        return hop_distances(self.adjacency())

    def mirror_permutation(self) -> Tensor:
        """Index of every joint's mirror image, int64 [V]; joints without a partner map to themselves."""
        permutation = list(range(self.num_joints))
        for left, right in self.mirror_pairs:
            permutation[left], permutation[right] = right, left
        return torch.tensor(permutation)

    def partitions(self, strategy: Partition = "spatial", max_hop: int = 1, normalize: bool = True) -> Tensor:
        r"""Split every joint's neighbourhood into K subsets, each of which gets weights of its own.

        ``P[k, i, j] > 0`` means that joint *i* receives from joint *j* in subset *k*, so that a spatial graph
        convolution (Yan et al., *Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action
        Recognition*, AAAI 2018, arXiv 1801.07455, Eq. 10) is

        .. math:: y_i = \sum_k \sum_j P_{kij} \, x_j W_k .

        The strategies (section 3.3 there), over all joints up to ``max_hop`` hops away:

        - ``"uniform"``, K = 1: the joint and all its neighbours alike.
        - ``"distance"``, K = max_hop + 1: subset *k* holds the joints exactly *k* hops away.
        - ``"spatial"``, K = 3: the joint itself and neighbours as near to the root as it is; centripetal
          (neighbours nearer to the root); centrifugal (farther from it).

        Nearness to the root is the hop distance in the union of tree and edges, hence defined for joints that
        the edges leave apart. On a tree with E edges both directed subsets have E entries: 17 and 17 for
        ``openpose18``, 24 and 24 for ``body25``. The widely copied ST-GCN code has 25 and 9, 40 and 8, in its
        graphs of 18 and 25 joints: its distances are infinite past one hop, so that pairs farther from the
        root tie, and it counts them as centripetal in both directions.

        Args:
            strategy: How to split.
            max_hop: Radius of the neighbourhood, in hops along the edges.
            normalize: Divide row *i* by the size of joint *i*'s whole neighbourhood, itself included, so that
                each row sums to 1 over all subsets and senders; a joint without edges keeps itself alone.

        Returns:
            Float32 tensor [K, V, V].

        Raises:
            ValueError: Unknown strategy or a negative ``max_hop``.
        """
        union = adjacency(self.num_joints, self.edges + self.bones)
        depth = hop_distances(union)[self.root]
        return neighbour_partitions(self.hop_distances(), depth, strategy, max_hop, normalize)

    def subset(self, names: Sequence[str]) -> Skeleton:
        """Keep some joints, in the order given.

        A removed joint is merged into its nearest kept ancestor or, where all its ancestors go, into the new
        root: the kept joint nearest to the old root (of equals, the first given). Parents and edges follow: a
        wrist whose elbow went hangs on the shoulder, and what was connected stays so. Composed points stay if
        all their parts do, and the centre if it can still be computed.

        Args:
            names: Joints to keep.

        Raises:
            ValueError: No joint is named, one that doesn't exist, or one twice.
        """
        kept = [self.index(name) for name in names]
        if not kept:
            raise ValueError(f"skeleton {self.name!r}: a subset needs at least one of {list(self.joints)}")
        merged = merge_removed(self.parents, kept)
        # The new root is the one kept joint that has no parent other than itself.
        parents = [-1 if self.parents[old] < 0 else merged[self.parents[old]] for old in kept]
        # A dictionary for its order: of several edges that merge into one, the first decides the direction.
        edges: dict[frozenset[int], tuple[int, int]] = {}
        for i, j in ((merged[i], merged[j]) for i, j in self.edges):
            if i != j:
                edges.setdefault(frozenset((i, j)), (i, j))
        composed = {point: parts for point, parts in self.composed.items() if set(parts) <= set(names)}
        return Skeleton(
            name=self.name,
            joints=tuple(names),
            parents=tuple(-1 if parent == new else parent for new, parent in enumerate(parents)),
            edges=tuple(edges.values()),
            mirror_pairs=tuple((merged[i], merged[j]) for i, j in self.mirror_pairs if {i, j} <= set(kept)),
            composed=composed,
            center=self.center if set(self.center) <= {*names, *composed} else (),
            description=self.description,
        )

    def join(self, other: Skeleton, links: Sequence[tuple[str, str]] | None = None) -> Skeleton:
        """Put another skeleton's joints behind those of this one, e.g. worn sensors behind a body.

        Joints and composed points keep their names; one of ``other`` whose name is taken here gets the name of its
        skeleton in front: ``"kinect20.head"``. In the tree the root of ``other`` hangs below the first joint that
        ``links`` join it to, or else below the root. The centre stays that of this skeleton.

        Args:
            other: The skeleton to add.
            links: Edges between the two, as pairs of a joint here and one of ``other``, by the names they have there.
                None joins root to root, which says nothing of where on the body a sensor sits; an empty list leaves
                the two apart.

        Raises:
            ValueError: A link names a joint that doesn't exist, or a name is taken even with its skeleton in front.
        """
        own, taken = self.num_joints, {*self.joints, *self.composed}
        renamed = {name: f"{other.name}.{name}" if name in taken else name for name in (*other.joints, *other.composed)}
        if links is None:
            links = [(self.joints[self.root], other.joints[other.root])]
        pairs = tuple((self.index(here), own + other.index(there)) for here, there in links)
        parent_of_root = next((here for here, there in pairs if there == own + other.root), self.root)

        def moved(pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
            return tuple((i + own, j + own) for i, j in pairs)

        return Skeleton(
            name=f"{self.name}+{other.name}",
            joints=self.joints + tuple(renamed[joint] for joint in other.joints),
            parents=self.parents + tuple(parent_of_root if p < 0 else own + p for p in other.parents),
            edges=self.edges + pairs + moved(other.edges),
            mirror_pairs=self.mirror_pairs + moved(other.mirror_pairs),
            composed={
                **self.composed,
                **{renamed[point]: tuple(renamed[part] for part in parts) for point, parts in other.composed.items()},
            },
            center=self.center,
            description=f"{self.name} and {other.name}, joined. {self.description} {other.description}".strip(),
        )

    def remap(self, target: Skeleton, allow_missing: bool = False) -> JointMap:
        """Plan how to turn data of this skeleton into data of another, by joint name.

        A target joint comes from the joint of that name here, or else from the composed point of that name.

        Args:
            target: The skeleton to go to.
            allow_missing: Leave target joints that can't be had unobserved, instead of refusing.

        Raises:
            ValueError: Target joints can't be had and ``allow_missing`` is False.
        """
        weights = torch.zeros(target.num_joints, self.num_joints)
        missing = []
        for row, name in zip(weights, target.joints, strict=True):
            parts = (name,) if name in self.joints else self.composed.get(name, ())
            row[[self.index(part) for part in parts]] = 1.0 / max(len(parts), 1)
            if not parts:
                missing.append(name)
        if missing and not allow_missing:
            raise ValueError(
                f"skeleton {self.name!r} lacks {missing} of {target.name!r}; it has the joints "
                f"{list(self.joints)} and the composed points {list(self.composed)}"
            )
        return JointMap(self, target, weights, tuple(missing))

    def _refuse(self, problem: str) -> NoReturn:
        raise ValueError(f"skeleton {self.name!r}: {problem}; joints are {list(self.joints)}")

    def _check_joints(self) -> None:
        if not self.joints:
            self._refuse("it needs at least one joint")
        for joint in self.joints:
            if not isinstance(joint, str) or not joint:
                self._refuse(f"joint name {joint!r} is no non-empty string; in YAML, quote names such as 'y'")
            if (times := self.joints.count(joint)) > 1:
                self._refuse(f"joint name {joint!r} appears {times} times, but names must be unique")

    def _check_tree(self) -> None:
        count = self.num_joints
        if len(self.parents) != count:
            self._refuse(f"it has {count} joints but {len(self.parents)} parents, one a joint is allowed")
        for joint, parent in zip(self.joints, self.parents, strict=True):
            if not -1 <= parent < count:
                self._refuse(f"the parent of {joint!r} is {parent}, allowed are -1 (root) to {count - 1}")
        roots = [joint for joint, parent in zip(self.joints, self.parents, strict=True) if parent < 0]
        if len(roots) != 1:
            self._refuse(f"the roots are {roots}, but exactly one joint must have no parent")
        for i, joint in enumerate(self.joints):
            if i != self.root and self.root not in ancestors(self.parents, i):
                self._refuse(f"the parents of {joint!r} run in a circle, not to the root {roots[0]!r}")

    def _check_pairs(self, what: str, pairs: tuple[tuple[int, int], ...]) -> None:
        seen: set[Any] = set()
        for pair in pairs:
            if len(pair) != 2 or not all(0 <= i < self.num_joints for i in pair):
                self._refuse(f"{what} {pair} needs two indices of 0 to {self.num_joints - 1}")
            names = tuple(self.joints[i] for i in pair)
            if pair[0] == pair[1]:
                self._refuse(f"{what} {names} needs two different joints")
            # Two edges may share one joint, but a joint has only one mirror image.
            keys: set[Any] = {frozenset(pair)} if what == "edge" else set(pair)
            if keys & seen:
                self._refuse(f"{what} {names} repeats an earlier one, once in either direction is allowed")
            seen |= keys

    def _check_points(self) -> None:
        for point, parts in self.composed.items():
            if point in self.joints:
                self._refuse(f"composed point {point!r} is a joint already and needs another name")
            if not parts or len(set(parts)) < len(parts):
                self._refuse(f"composed point {point!r} needs joints as parts, each once, not {list(parts)}")
            for part in parts:
                if part not in self.joints:
                    self._refuse(f"part {part!r} of the composed point {point!r} is no joint")
        for name in self.center:
            if name not in self.joints and name not in self.composed:
                self._refuse(f"center {name!r} is neither a joint nor a composed point {list(self.composed)}")


@dataclass(frozen=True, eq=False)
class JointMap:
    """Turns data of one skeleton into data of another; made by :meth:`Skeleton.remap`.

    Attributes:
        source: Skeleton of the input.
        target: Skeleton of the output.
        weights: Row *t* says which source joints make target joint *t*, float32 [V_target, V_source].
        missing: Target joints that the source can't provide; they come out zero and unobserved.
    """

    source: Skeleton
    target: Skeleton
    weights: Tensor
    missing: tuple[str, ...] = ()

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor]:
        """Shares and source indices of every target joint's parts, both [V_target, P]; share 0 = no part."""
        most = int((self.weights > 0).sum(dim=1).max())
        shares, sources = self.weights.topk(max(most, 1), dim=1)
        return shares, sources

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data; every target joint is the weighted sum of its parts, as in ``weights @ x``.

        Args:
            x: [..., V_source, C].
            mask: Bool [..., V_source], True = observed; None = all observed.

        Returns:
            The mapped data [..., V_target, C], zero where unobserved, and its mask [..., V_target]. A target
            joint is observed if all its parts are.

        Raises:
            ValueError: ``x`` or ``mask`` doesn't have the source's joints.
        """
        if x.shape[-2] != self.source.num_joints or (mask is not None and mask.shape != x.shape[:-1]):
            shapes = f"x {tuple(x.shape)} and mask {None if mask is None else tuple(mask.shape)}"
            raise ValueError(
                f"{shapes} don't fit {self.source.name!r}: x must be [..., {self.source.num_joints}, C], "
                "the mask the same without C"
            )
        shares, sources = (part.to(x.device) for part in self._parts)
        is_part = shares > 0
        if mask is None:
            mask = x.new_ones(x.shape[:-1], dtype=torch.bool)
        observed = (mask[..., sources] | ~is_part).all(dim=-1) & is_part.any(dim=-1)
        # Gathered, not multiplied by the matrix: joints that only change place keep their bits under TF32 and
        # autocast, and a NaN can't spread to other joints through a weight of zero.
        blank = ~(observed[..., None] & is_part)
        parts = x[..., sources, :].masked_fill(blank[..., None], 0.0)
        return (parts * shares[..., None].to(x.dtype)).sum(dim=-2), observed


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several, as a tuple: ``center: pelvis`` means ``center: [pelvis]``."""
    return (value,) if isinstance(value, str) else tuple(value)
