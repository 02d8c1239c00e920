"""Promises about time, batch and chance: one sequence, one result."""

from __future__ import annotations

import unittest

import torch
from torch import Tensor

from graphnets.testing.base import Contract
from graphnets.testing.checks import check, same, valid_features


class SequenceContract(Contract):
    """Neither other sequences, nor chance, nor (where ``causal``) the future have a say."""

    def test_sequences_are_independent(self) -> None:
        """In eval mode a sequence's features don't depend on what else is in the batch."""
        encoder = self._encoder()
        x, mask = self._motion(encoder, batch=3)
        for given in (None, mask):
            together = encoder(x, given)
            for i in range(len(x)):
                alone = encoder(x[i : i + 1], None if given is None else given[i : i + 1])
                valid = valid_features(encoder, alone, None if given is None else given[i : i + 1])
                why = (
                    f"sequence {i} of a batch differs from the same sequence alone, in eval mode: sequences get mixed; "
                    "look for means, norms and reshapes over dimension 0"
                )
                same(together[i : i + 1][valid], alone[valid], self.tolerance, why)

    def test_determinism(self) -> None:
        """The same seed gives the same weights and outputs, and eval mode draws no random numbers."""
        one, other = self._encoder(), self._encoder()
        for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            equal = not isinstance(a, Tensor) or torch.equal(a, b)
            check(equal, f"{name} differs between two encoders of one seed; draw from torch's default generator only")
        x, mask = self._motion(one)
        first, second = one(x, mask), one(x, mask)
        same(second, first, 0, "two calls in eval mode differ: the encoder is random or keeps a state between calls")
        same(other(x, mask), first, 0, "two encoders of one seed differ in eval mode")
        runs = [self._step(one, x, mask, seed=3)[1] for _ in range(2)]
        same(runs[1], runs[0], 0, "two training steps of one seed differ; draw from torch's default generator only")

    def test_causal(self) -> None:
        """Where ``causal``, a clip cut anywhere keeps its features: a live stream gives what the recording gives."""
        encoder = self._encoder()
        check(encoder.causal or not self.causal, "the encoder must be causal here, but its attribute causal is False")
        if not encoder.causal:
            raise unittest.SkipTest("the encoder doesn't claim to be causal")
        x, mask = self._motion(encoder)
        for given in (None, mask):
            whole = encoder(x, given)
            for frames in range(1, x.shape[1]):
                seen = None if given is None else given[:, :frames]
                cut = encoder(x[:, :frames], seen)
                valid = valid_features(encoder, cut, seen)
                why = (
                    f"the encoder says causal=True, but frames after the first {frames} change the first "
                    f"{cut.shape[1]} features {'with' if given is not None else 'without'} a mask: look for centred "
                    "convolutions, for means, norms and attention over all frames, and for what depends on T"
                )
                same(whole[:, : cut.shape[1]][valid], cut[valid], self.tolerance, why)
