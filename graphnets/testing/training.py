"""Promises about precision, copies and checkpoints."""

from __future__ import annotations

import copy
import io
import math

import torch

from graphnets.encoders import Encoder
from graphnets.spec import from_spec, to_spec
from graphnets.testing.base import Contract
from graphnets.testing.checks import check, explained, filled, finite, probe, same, valid_features


class TrainingContract(Contract):
    """It trains in every precision, and what was learned can be kept.

    Attributes:
        bf16_tolerance: Largest allowed error under bfloat16 autocast in eval mode: that of all features together,
            relative to them (Euclidean norm). One rounding to 8 bits errs by up to ``2**-8``, and the errors of a
            hundred in a row, about ten blocks, add up as a random walk to 4 %; that of a deliberate loss of
            precision (a difference of large numbers, a sum of many in bfloat16) is of the size of the features.
    """

    bf16_tolerance: float = 0.05

    def test_float64(self) -> None:
        """``encoder.double()`` computes in float64."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        with explained("the encoder can't run in float64; make new tensors with the dtype of x"):
            y = copy.deepcopy(encoder).double()(x.double(), mask)
        check(y.dtype == torch.float64, f"a float64 encoder returned {y.dtype}; make new tensors with the dtype of x")
        same(encoder(x, mask).double(), y, 10 * self.tolerance, "float32 and float64 differ too much")

    def test_bf16_autocast(self) -> None:
        """bfloat16 autocast errs by what its 8 bits allow, and a training step of it is finite, NaN under the mask."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        why = "the encoder can't run under bfloat16 autocast; don't assume that values and weights share a dtype"
        for given in (None, mask):
            exact = encoder(x, given).detach()
            with explained(why), torch.autocast("cpu", torch.bfloat16):
                y = encoder(x, given).detach().to(x.dtype)
            finite(y, "an output is not finite under bfloat16 autocast")
            valid = valid_features(encoder, y, given)
            error = float((y - exact)[valid].norm() / exact[valid].norm().clamp(min=1e-6))
            check(
                error <= self.bf16_tolerance,
                f"under bfloat16 autocast features err by {error:.2g} of their size, allowed is {self.bf16_tolerance}: "
                "count, sum, normalise and take differences of large numbers in float32",
            )
        leaf = filled(x, mask, math.nan).requires_grad_()
        encoder.train()
        with explained(f"{why} (in training mode)"), torch.autocast("cpu", torch.bfloat16):
            y = encoder(leaf, mask)
        finite(y, "an output is not finite in training under bfloat16 autocast, with NaN in masked entries")
        with explained(f"{why} (in the backward pass)"):
            probe(y.float(), valid_features(encoder, y, mask)).backward()
        for name, tensor in (("x", leaf), *encoder.named_parameters()):
            if tensor.grad is not None:
                finite(tensor.grad, f"the gradient of {name} is not finite under bfloat16 autocast")
        for name, buffer in encoder.named_buffers():
            if buffer.is_floating_point():
                finite(buffer, f"the buffer {name} is not finite after a step under bfloat16 autocast")

    def test_deepcopy(self) -> None:
        """A deep copy gives the same and shares no weights."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        before = encoder(x, mask)
        with explained("the encoder can't be copied; keep no generators, locks or graph tensors in attributes"):
            twin = copy.deepcopy(encoder)
        same(twin(x, mask), before, 0, "a deep copy gives something else")
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.fill_(7.0)
        same(encoder(x, mask), before, 0, "a deep copy shares parameters with its original")

    def test_checkpoint(self) -> None:
        """Plain data and weights, read with ``weights_only=True``, rebuild the encoder."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        file = io.BytesIO()
        torch.save({"spec": to_spec(encoder), "weights": encoder.state_dict()}, file)
        file.seek(0)
        with explained("the state of the encoder holds more than tensors and plain data"):
            saved = torch.load(file, weights_only=True)
        with explained("the encoder can't be rebuilt from its initial arguments and its state dict"):
            rebuilt: Encoder = from_spec(saved["spec"], Encoder)
            rebuilt.load_state_dict(saved["weights"])
        same(rebuilt.eval()(x, mask), encoder(x, mask), 0, "the encoder rebuilt from a checkpoint gives something else")
