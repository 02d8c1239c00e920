"""Transforms of inertial sensors: mounting, and one sensor as a graph over its axes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.skeleton import Skeleton
from graphnets.transforms.base import RandomTransform, Transform, in_range
from graphnets.transforms.masking import finite

AXES = ("x", "y", "z")
KINDS = (("acc",), ("gyr", "gyro"))
"""Accelerometer and gyroscope, by the names their channels have: ``acc_x``, ``gyr_x`` or ``gyro_x``."""
AXIS_GRAPH = "imu_axes6"


def axis_channels(names: tuple[str, ...], what: str) -> list[list[int]]:
    """Where the axes of each reading are: a list of three places for each that is there, in the order of the names.

    A reading is ``acc_x``, ``acc_y``, ``acc_z`` or with a sensor before it, ``watch_acc_x``.

    Args:
        names: Of channels, or of the nodes of an axis graph.
        what: Whose names they are, for the message.

    Raises:
        ValueError: There is no whole triple.
    """
    kinds = [kind for names_of in KINDS for kind in names_of]
    found = []
    for name in names:
        sensor, _, last = name.rpartition("_")
        if last == AXES[0] and any(sensor == kind or sensor.endswith(f"_{kind}") for kind in kinds):
            triple = [f"{sensor}_{axis}" for axis in AXES]
            if set(triple) <= set(names):
                found.append([names.index(axis) for axis in triple])
    if not found:
        raise ValueError(f"{what} {names} hold no acc_x, acc_y, acc_z and no gyr_x, gyr_y, gyr_z")
    return found


class RandomMounting(RandomTransform):
    r"""Turn each sensor in its mounting: acceleration and angular rate by the same random rotation :math:`R`.

    .. math:: a' = R\,a, \qquad \omega' = R\,\omega

    The axis is uniform on the sphere and the angle uniform up to the limit; 180 degrees about a random axis reach any
    attitude. Both layouts are read: sensors as nodes with the axes as channels, and the axes of sensors as nodes.
    Normalise after it, not before, or gravity turns into something else.
    """

    def __init__(self, degrees: float = 20.0, probability: float = 1.0, modality: str = "imu") -> None:
        """Choose the largest angle.

        Args:
            degrees: 0 to 180.
            probability: The chance of each clip to be changed.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.degrees = in_range("degrees", degrees, 0, 180)

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Turn the sensors of all clips.

        Returns:
            ``x [N, T, V, C]`` and the mask, in which of axes as nodes all three are observed or none.

        Raises:
            ValueError: Neither channels nor nodes are axes of sensors.
        """
        x: Tensor = store.x
        as_nodes = x.shape[-1] == 1
        names = tuple(store.skeleton.joints) if as_nodes else tuple(store.channels)
        values = x.transpose(2, 3) if as_nodes else x  # [N, T, sensors, axes]
        triples = axis_channels(names, "the nodes" if as_nodes else "the channels")
        devices = [names[triple[0]].rpartition("_")[0].rpartition("_")[0] for triple in triples]
        several = list(dict.fromkeys(devices))  # the axes of one device turn together
        turn = self._turns(x, len(x), len(several) if as_nodes else values.shape[2])
        out, mask = values.clone(), store.mask.clone() if as_nodes else store.mask
        for triple, device in zip(triples, devices, strict=True):
            place = several.index(device)
            turned = turn[:, None, place : place + 1] if as_nodes else turn[:, None]  # [N, 1, sensors, 3, 3]
            # An axis that isn't known leaves none of the three known.
            seen = store.mask[..., triple].all(-1, keepdim=True) if as_nodes else store.mask
            part = finite(values[..., triple], seen)
            out[..., triple] = (turned * part[..., None, :]).sum(-1)
            if as_nodes:
                mask[..., triple] = seen
        return (out.transpose(2, 3) if as_nodes else out), mask

    def _turns(self, x: Tensor, n: int, sensors: int) -> Tensor:
        """Rodrigues' formula for random axes and angles, ``[N, sensors, 3, 3]``."""
        axis = torch.randn(n, sensors, 3, device=x.device, dtype=x.dtype)
        axis = axis / axis.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        limit = torch.deg2rad(x.new_tensor(self.degrees))
        angle = limit * torch.rand(n, sensors, 1, 1, device=x.device, dtype=x.dtype)
        zero = torch.zeros_like(axis[..., 0])
        a, b, c = axis.unbind(-1)
        cross = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero], -1).view(n, sensors, 3, 3)
        eye = torch.eye(3, device=x.device, dtype=x.dtype)
        outer = (cross[..., None] * cross[..., None, :, :]).sum(-2)
        return eye + angle.sin() * cross + (1 - angle.cos()) * outer


class RandomBias(RandomTransform):
    r"""Add to each node and channel of a clip an offset of its own: :math:`x + b`, :math:`b` normal.

    A sensor's bias drifts from day to day. After ``Normalize`` its size is in standard deviations of the signal.
    """

    def __init__(self, std: float = 0.05, probability: float = 1.0, modality: str = "imu") -> None:
        """Choose the size.

        Args:
            std: Standard deviation of the offsets, 0 or more, in the unit of the signal.
            probability: The chance of each clip to be changed.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.std = in_range("std", std, 0)

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Shift all clips.

        Returns:
            ``x [N, T, V, C]`` and the mask as it was.
        """
        x: Tensor = store.x
        offset = torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device, dtype=x.dtype)
        return x + self.std * offset, store.mask


class RandomGain(RandomTransform):
    r"""Multiply each node and channel of a clip by a factor of its own: :math:`(1 + g)\,x`, :math:`g` uniform.

    Sensors differ in sensitivity. Before ``Normalize`` it scales about 0, after it about the mean.
    """

    def __init__(self, factor: float = 0.05, probability: float = 1.0, modality: str = "imu") -> None:
        """Choose the range.

        Args:
            factor: Gains are 1 - factor to 1 + factor; 0 to below 1.
            probability: The chance of each clip to be changed.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.factor = in_range("factor", factor, 0, 1, "[)")

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Scale all clips.

        Returns:
            ``x [N, T, V, C]`` and the mask as it was.
        """
        x: Tensor = store.x
        gain = 2 * torch.rand(x.shape[0], 1, *x.shape[2:], device=x.device, dtype=x.dtype) - 1
        return x * (1 + self.factor * gain), store.mask


class AxisGraph(Transform):
    """Make of one sensor, out of several, the graph over its own six axes: :data:`AXIS_GRAPH`.

    Where a sensor sits says much about the movement, and in some data sets about the label. The axis graph knows
    nothing of the place, so an encoder of it takes any sensor. In training each clip shows one of ``sensors`` by
    chance; in evaluation the first of them that was observed.
    """

    def __init__(self, sensors: list[str], modality: str = "imu") -> None:
        """Choose the sensors.

        Args:
            sensors: Names of nodes, e.g. ``["right_wrist", "right_thigh"]``.
            modality: The node type that is changed; its channels are acc_x ... gyr_z.

        Raises:
            ValueError: There is no sensor, or one twice.
        """
        super().__init__(modality)
        if not sensors or len(set(sensors)) < len(sensors):
            raise ValueError(f"sensors are {sensors}; give different names, at least one")
        self.sensors = list(sensors)

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x`` by ``[N, T, 6, 1]``, mask, skeleton and channels.

        Raises:
            ValueError: A sensor isn't there, or the channels are not those of accelerometer and gyroscope.
        """
        joints = store.skeleton.joints
        if unknown := [name for name in self.sensors if name not in joints]:
            raise ValueError(f"no sensor {', '.join(unknown)} in {self.modality!r}; there are {', '.join(joints)}")
        triples = axis_channels(tuple(store.channels), "the channels")
        if len(triples) < len(KINDS):
            raise ValueError(f"{self.modality!r} needs accelerometer and gyroscope, has channels {store.channels}")
        places = torch.tensor([joints.index(name) for name in self.sensors], device=store.x.device)
        seen = store.mask[:, :, places].any(1)  # [N, sensors]
        if self.training:
            score = torch.rand(seen.shape, device=seen.device)
        else:
            score = torch.arange(len(places), 0, -1, device=seen.device).expand_as(seen).float()
        chosen = places[score.masked_fill(~seen, -1.0).argmax(1)]
        rows = torch.arange(len(chosen), device=chosen.device)
        axes = [place for triple in triples for place in triple]
        mask: Tensor = store.mask[rows, :, chosen]
        store.x = store.x[rows, :, chosen][..., axes, None]
        store.mask = mask[..., None].expand(*mask.shape, len(axes)).clone()
        store.skeleton, store.channels = Skeleton.load(AXIS_GRAPH), ("value",)
