"""Promises about shapes: what fits is taken, whatever its size, and what doesn't fit is refused."""

from __future__ import annotations

import torch
from torch import Tensor

from graphnets.encoders import Encoder
from graphnets.testing.base import Contract
from graphnets.testing.checks import check, explained
from graphnets.testing.clips import disconnected, random_tree


class ShapeContract(Contract):
    """Any skeleton, any length, and a plain word to input of another shape."""

    def test_output_shape(self) -> None:
        """``[N, ceil(T / time_stride), out_joints, out_channels]``, and a feature mask of the same N, T', V'."""
        encoder = self._encoder()
        for frames in (self._frames(encoder), 4 * encoder.time_stride):
            x, mask = self._motion(encoder, frames)
            for given in (None, mask):
                self._check_shape(encoder, x, given)

    def test_any_skeleton(self) -> None:
        """One joint, two, twenty, a hundred, and joints without neighbours."""
        for skeleton in (*map(random_tree, (1, 2, 20, 100)), disconnected()):
            with explained(f"the encoder can't deal with {skeleton.num_joints} joints ({skeleton.name})"):
                encoder = self.make(skeleton, self.in_channels).eval()
                x, mask = self._motion(encoder, encoder.time_stride + 1)
                for given in (None, mask):
                    self._check_shape(encoder, x, given)

    def test_short_clips(self) -> None:
        """One frame, two, odd numbers; in training too, where moments of few values are taken."""
        encoder = self._encoder()
        for frames in (1, 2, 3, 5, 7):
            x, mask = self._motion(encoder, frames)
            for given in (None, mask):
                for training in (False, True):
                    mode = "training" if training else "eval"
                    with explained(f"the encoder can't deal with a clip of {frames} frames in {mode} mode"):
                        self._check_shape(encoder.train(training), x, given)

    def test_bad_input(self) -> None:
        """``encode`` refuses what doesn't fit with a ValueError that names the shape it expects."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        joints, channels = x.shape[2:]
        clips = {
            "a joint too many": torch.cat([x, x[:, :, :1]], 2),
            "a joint too few": x[:, :, 1:],
            "a channel too many": torch.cat([x, x[..., :1]], 3),
            "a channel too few": x[..., 1:],
            "no batch dimension": x[0],
            "channels before frames": x.permute(0, 3, 1, 2),
        }
        for fault, clip in clips.items():
            self._check_refused(encoder, clip, None, fault, f"{joints}, {channels}]")
        masks = {
            "one frame less than x": mask[:, 1:],
            "a sequence more than x": torch.cat([mask, mask[:1]]),
            "a dimension for channels": mask[..., None],
            "no batch dimension": mask[0],
            "numbers instead of bool": mask.to(x.dtype),
            "integers instead of bool": mask.to(torch.uint8),
        }
        for fault, wrong in masks.items():
            self._check_refused(encoder, x, wrong, f"a mask of {fault}", f"bool {list(x.shape[:3])}")
        why = "make(skeleton, in_channels=0) must raise a ValueError that names in_channels; Encoder.__init__ does"
        try:
            self.make(encoder.skeleton, 0)
        except Exception as error:
            named = isinstance(error, ValueError) and "in_channels" in str(error)
            check(named, f"{why}; it raised {type(error).__name__}: {error}")
        else:
            check(False, f"{why}; it made an encoder")

    @staticmethod
    def _check_refused(encoder: Encoder, x: Tensor, mask: Tensor | None, fault: str, expected: str) -> None:
        why = f"encode must refuse {fault} with a ValueError that says {expected!r}, as Encoder.check does"
        try:
            encoder.encode(x, mask)
        except Exception as error:
            said = isinstance(error, ValueError) and expected in str(error)
            check(said, f"{why}; it raised {type(error).__name__}: {error}")
        else:
            check(False, f"{why}; it took it")
