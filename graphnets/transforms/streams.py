"""Input streams: joints, bones, and how fast they move, side by side as channels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.skeleton import Skeleton
from graphnets.transforms.base import AXES, Transform, bones, coordinate_count
from graphnets.transforms.masking import blank, repeat_channels

# Which stream each other one is the rate of change of.
_RATE_OF = {
    "velocity": "joint",
    "acceleration": "velocity",
    "bone_velocity": "bone",
    "bone_acceleration": "bone_velocity",
}
STREAMS = ("joint", "bone", *_RATE_OF)


class Streams(Transform):
    r"""Make the streams that skeleton networks read, and put them side by side on the channel axis.

    With :math:`x_t` the coordinates of a joint, :math:`p` its parent in the skeleton's tree and :math:`f` the
    frame rate:

    - ``joint``: :math:`x_t`
    - ``bone``: :math:`b_t = x_t - x_{t,p}`, 0 for the root
    - ``velocity``: :math:`v_t = f\,(x_t - x_{t-1})`, in units per second, 0 in the first frame
    - ``acceleration``: :math:`f\,(v_t - v_{t-1})`, 0 in the first two frames
    - ``bone_velocity`` and ``bone_acceleration``: the same of the bones

    Differences look back only, so that they can be made while a movement is going on. Where a joint or a
    frame that enters a stream isn't observed, the stream is 0 there. Channels that are no coordinates, such
    as a confidence, follow once, at the end, if ``joint`` is among the streams. The mask stays.

    Streams of bones and of motion: Shi et al., *Skeleton-Based Action Recognition with Multi-Stream Adaptive
    Graph Convolutional Networks*, TIP 2020.
    """

    def __init__(self, streams: list[str], modality: str = "pose") -> None:
        """Choose the streams.

        Args:
            streams: Names out of ``joint``, ``bone``, ``velocity``, ``acceleration``, ``bone_velocity`` and
                ``bone_acceleration``, in the order of the channels.
            modality: The node type that is changed.

        Raises:
            ValueError: No stream, an unknown one, or one twice.
        """
        super().__init__(modality)
        unknown = [name for name in streams if name not in STREAMS]
        if unknown or not streams or len(set(streams)) < len(streams):
            raise ValueError(f"streams must be different ones of {list(STREAMS)}, got {streams!r}")
        self.streams = tuple(streams)

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x`` and ``channels``, which become ``("joint_x", ...)``.

        Raises:
            ValueError: The channels are no coordinates.
        """
        x, mask, channels = store.x, store.mask, store.channels
        count = coordinate_count(channels)
        clean = blank(x, mask)
        made = {"joint": (clean[..., :count], mask)}
        for name in self.streams:
            _make(name, made, store.skeleton, store.fps)
        parts = [made[name][0] for name in self.streams]
        names = [f"{name}_{axis}" for name in self.streams for axis in AXES[:count]]
        if "joint" in self.streams and len(channels) > count:
            parts.append(clean[..., count:])
            names += channels[count:]
        store.x, store.channels = torch.cat(parts, -1) if len(parts) > 1 else parts[0], tuple(names)


def _make(name: str, made: dict[str, tuple[Tensor, Tensor]], skeleton: Skeleton, fps: Tensor) -> None:
    """Add a stream, and those it is made from, to the ones made so far: values and where they are known."""
    if name in made:
        return
    if name == "bone":
        bone, seen = bones(*made["joint"], skeleton)
        made[name] = bone * repeat_channels(seen, bone), seen
        return
    _make(_RATE_OF[name], made, skeleton, fps)
    x, seen = made[_RATE_OF[name]]
    both = seen & torch.cat([torch.zeros_like(seen[:, :1]), seen[:, :-1]], 1)
    # What stands under False is 0 by now, so that one product scales and blanks.
    factor = both * fps.to(x.dtype)[:, None, None]
    made[name] = torch.diff(x, dim=1, prepend=x[:, :1]) * repeat_channels(factor, x), both
