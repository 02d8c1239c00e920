"""Promises about masks: what was not observed is not read."""

from __future__ import annotations

import math
import unittest

import torch

from graphnets.testing.base import Contract
from graphnets.testing.checks import BLANK, check, filled, finite, padded, probe, same, valid_features

_LARGE = 1e3
"""What torch.nan_to_num lets through, unlike NaN."""


class MaskContract(Contract):
    """Masked entries and padding change neither features, nor gradients, nor running moments."""

    def test_full_mask_equals_no_mask(self) -> None:
        """``mask=None`` means: all observed."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        full = torch.ones_like(mask)
        why = "mask=None and a mask that is True everywhere must give the same"
        same(encoder(x, full), encoder(x), self.tolerance, f"{why}, in eval mode")
        one, other = self._step(encoder, x, full), self._step(encoder, x, None)
        same(one[1], other[1], 10 * self.tolerance, f"{why}, in training mode")
        same(one[0](x), other[0](x), 10 * self.tolerance, f"{why}, running moments included")

    def test_padding_changes_nothing(self) -> None:
        """A clip padded to twice its length keeps its features, whatever stands in the padding."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        why = (
            "padding a clip changed its features: something reads masked frames; blank them (graphnets.nn.blank) "
            "before each step that mixes frames, and divide sums by the observed entries (graphnets.nn.masked_mean)"
        )
        for given in (None, mask):
            self._compare_padded(encoder, encoder(x, given), encoder(*padded(x, given)), given, self.tolerance, why)

    def test_padding_changes_nothing_in_training(self) -> None:
        """Neither the features nor the running moments of training know of the padding. Dropout is switched off."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        runs = [self._step(encoder, x, mask, dropout=False, seed=seed) for seed in (0, 1)]
        if not torch.equal(runs[0][1], runs[1][1]):
            raise unittest.SkipTest("the encoder is random in training beyond the dropout modules of torch.nn")
        why = (
            "padding a clip changed what training does: moments are taken over masked entries too; use "
            "graphnets.nn.MaskedBatchNorm with the mask"
        )
        trained, features = self._step(encoder, *padded(x, mask), dropout=False)
        self._compare_padded(encoder, runs[0][1], features, mask, 10 * self.tolerance, why)
        self._compare_padded(encoder, runs[0][0](x), trained(x), None, 10 * self.tolerance, f"{why} (running moments)")

    def test_masked_values_change_nothing(self) -> None:
        """NaN, and large numbers, in masked entries give what 0 gives there, and never come out."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        clean = encoder(filled(x, mask, 0.0), mask)
        valid = valid_features(encoder, clean, mask)
        for value in (math.nan, _LARGE):
            poisoned = encoder(filled(x, mask, value), mask)
            finite(poisoned, f"{value} in a masked entry of the input came out of the encoder; {BLANK}")
            same(poisoned[valid], clean[valid], self.tolerance, f"a masked entry changed an output; {BLANK}")

    def test_masked_values_change_nothing_in_training(self) -> None:
        """The same in training mode, for gradients and running moments too."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        outcomes = []
        for value in (0.0, math.nan, _LARGE):
            leaf = filled(x, mask, value).requires_grad_()
            trained, y = self._step(encoder, leaf, mask)
            finite(y, f"in training mode NaN in a masked entry came out of the encoder; {BLANK}")
            valid = valid_features(encoder, y, mask)
            gradients = torch.autograd.grad(probe(y, valid), [leaf, *trained.parameters()], allow_unused=True)
            names = ["x", *(name for name, _ in trained.named_parameters())]
            for name, gradient in zip(names, gradients, strict=True):
                if gradient is not None:
                    finite(gradient, f"NaN in a masked entry of the input reached the gradient of {name}; {BLANK}")
            if gradients[0] is not None:
                check(not gradients[0][~mask].any(), f"the loss has a gradient in masked entries of the input; {BLANK}")
            for name, buffer in trained.named_buffers():
                if buffer.is_floating_point():
                    finite(buffer, f"NaN in a masked entry reached the buffer {name}; {BLANK}")
            outcomes.append((y[valid], trained(x, mask)[valid]))
        why = f"a masked entry changed an output or the running moments in training mode; {BLANK}"
        for outcome in outcomes[1:]:
            for poisoned, clean in zip(outcome, outcomes[0], strict=True):
                same(poisoned, clean, 10 * self.tolerance, why)
