"""Promises about gradients."""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck
from torch.func import functional_call

from graphnets.encoders import Encoder
from graphnets.testing.base import Contract
from graphnets.testing.checks import check, explained, finite, probe, valid_features


class GradientContract(Contract):
    """Gradients are there, and they are right."""

    def test_gradients_reach_every_parameter(self) -> None:
        """No parameter is left out of training, unless ``unused_parameters`` names it."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        reached: set[str] = set()
        for training in (False, True):
            encoder.train(training).zero_grad()
            y = encoder(x, mask)
            probe(y, valid_features(encoder, y, mask)).backward()
            for name, parameter in encoder.named_parameters():
                if parameter.grad is not None:
                    finite(parameter.grad, f"the gradient of {name} is not finite")
                    if parameter.grad.any():
                        reached.add(name)
        missed = [
            name
            for name, parameter in encoder.named_parameters()
            if parameter.requires_grad
            and name not in reached
            and not any(fnmatchcase(name, pattern) for pattern in self.unused_parameters)
        ]
        check(
            not missed,
            f"no gradient reaches {missed}; use them, remove them, or list them in unused_parameters of the test",
        )

    def test_gradcheck(self) -> None:
        """In float64 the gradients of clip and parameters are what finite differences give, in eval mode.

        A difference across a kink, of a ReLU for instance, is no derivative. Few clips have a kink so close to them, so
        one clip of three has to pass: a wrong gradient is wrong for all.
        """
        encoder = self._encoder().double()
        for seed in range(3):
            with explained("the gradient of the encoder can't be computed in float64"):
                error = self._gradient_error(encoder, seed)
            if error is None:
                return
        raise AssertionError(
            "gradients of the clip or of the parameters are not those of finite differences; look for detach, .data, "
            f"no_grad, for values changed in place, and for a backward of your own: {error}"
        )

    def _gradient_error(self, encoder: Encoder, seed: int) -> GradcheckError | None:
        """What gradcheck has to say of one clip; its observed entries and all parameters vary."""
        x, mask = self._motion(encoder, encoder.time_stride + 1, seed=seed)
        x = x.double()
        weights = {name: p.detach() for name, p in encoder.named_parameters() if p.requires_grad}

        def features(observed: Tensor, flat: Tensor) -> Tensor:
            parts = flat.split([w.numel() for w in weights.values()])
            given = {name: part.view_as(w) for part, (name, w) in zip(parts, weights.items(), strict=True)}
            y: Tensor = functional_call(encoder, given, (x.masked_scatter(mask[..., None], observed), mask))
            return y[valid_features(encoder, y, mask)]

        flat = torch.cat([torch.empty(0, dtype=x.dtype), *(w.flatten() for w in weights.values())])
        try:
            gradcheck(features, (x[mask].requires_grad_(), flat.requires_grad_(bool(weights))), fast_mode=True)
        except GradcheckError as error:
            return error
        return None
