"""What all promises share: the encoder under test, its clips, and the comparison of what it gives."""

from __future__ import annotations

import copy
import math
import unittest

import torch
from torch import Tensor, nn

from graphnets.encoders import Encoder
from graphnets.skeleton import Skeleton
from graphnets.testing.checks import check, finite, same, valid_features
from graphnets.testing.clips import random_motion, random_tree

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class Contract:
    """The encoder under test, and how it is compared; the promises are in the subclasses.

    Attributes:
        in_channels: C of the clips that the encoder is tested on.
        tolerance: Largest allowed difference, relative to the largest value where that exceeds 1. It is for float32 in
            eval mode; in training mode, where moments of the batch enter, ten times as much is allowed.
        causal: True where the encoder that is made must be causal; without it, only one that says so is tested for it.
        unused_parameters: Names (``*`` is a wildcard) of parameters that need not get gradients.
    """

    in_channels: int = 3
    tolerance: float = 1e-5
    causal: bool = False
    unused_parameters: tuple[str, ...] = ()

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        """Make the encoder under test, small, with its default behaviour.

        Args:
            skeleton: Any graph.
            in_channels: C.

        Raises:
            NotImplementedError: The subclass doesn't say how.
        """
        raise NotImplementedError(f"{type(self).__name__} must define make(self, skeleton, in_channels)")

    def _encoder(self) -> Encoder:
        """An encoder in eval mode, away from what hides faults in a fresh one: moments of 0 and 1, biases of 0."""
        torch.manual_seed(0)
        encoder = self.make(random_tree(5), self.in_channels)
        check(hasattr(encoder, "out_channels"), "set self.out_channels (and self.time_stride, if not 1) in __init__")
        x, _ = self._motion(encoder)
        with torch.no_grad():
            before = x.clone()
            encoder.train()(x)
            check(torch.equal(x, before), "the encoder wrote into its input; change a copy")
            for parameter in encoder.parameters():
                parameter.add_((0.05 if parameter.ndim > 1 else 0.3) * torch.randn_like(parameter))
            encoder(x)
        return encoder.eval()

    def _skip_if_spared(self) -> None:
        """Skip where the subclass says ``test_export = None``: what follows takes seconds too."""
        if getattr(self, "test_export", None) is None:
            raise unittest.SkipTest("test_export = None switches off all tests that export or compile")

    @staticmethod
    def _frames(encoder: Encoder) -> int:
        return 2 * encoder.time_stride + 5

    def _motion(
        self, encoder: Encoder, frames: int | None = None, batch: int = 2, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        frames = frames or self._frames(encoder)
        return random_motion(frames, encoder.skeleton.num_joints, self.in_channels, batch, seed)

    @staticmethod
    def _training(encoder: Encoder, dropout: bool) -> Encoder:
        """A copy in training mode, with dropout or without."""
        twin = copy.deepcopy(encoder).train()
        for module in twin.modules():
            if isinstance(module, _DROPOUTS):
                module.train(dropout)
        return twin

    @staticmethod
    def _step(
        encoder: Encoder, x: Tensor, mask: Tensor | None, dropout: bool = True, seed: int = 0
    ) -> tuple[Encoder, Tensor]:
        """A copy that has seen the clip in training mode, now in eval mode, and the features it gave then."""
        twin = Contract._training(encoder, dropout)
        torch.manual_seed(seed)
        y: Tensor = twin(x, mask)
        return twin.eval(), y

    @staticmethod
    def _check_shape(encoder: Encoder, x: Tensor, mask: Tensor | None) -> None:
        before = x.clone()
        y = encoder(x, mask)
        check(torch.equal(x, before), "the encoder wrote into its input; change a copy")
        frames = math.ceil(x.shape[1] / encoder.time_stride)
        expected = (len(x), frames, encoder.out_joints, encoder.out_channels)
        check(
            y.shape == expected,
            f"features of a clip {list(x.shape)} are {list(y.shape)}; with time_stride {encoder.time_stride}, "
            f"out_joints {encoder.out_joints} and out_channels {encoder.out_channels} they must be {list(expected)}",
        )
        finite(y, f"features of a finite clip {list(x.shape)} are not finite")
        kept = encoder.feature_mask(mask)
        if mask is not None and kept is None:
            raise AssertionError("feature_mask forgets the mask: it gave None for a mask with missing entries")
        if kept is not None:
            check(
                kept.dtype == torch.bool and kept.shape == y.shape[:3],
                f"feature_mask gives {kept.dtype} {list(kept.shape)} for features {list(y.shape)}; it must be bool "
                f"{list(y.shape[:3])}: override feature_mask if the encoder changes the joints",
            )

    @staticmethod
    def _compare_padded(
        encoder: Encoder, short: Tensor, long: Tensor, mask: Tensor | None, tolerance: float, why: str
    ) -> None:
        valid = valid_features(encoder, short, mask)
        same(long[:, : short.shape[1]][valid], short[valid], tolerance, why)
