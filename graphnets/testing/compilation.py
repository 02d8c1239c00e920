"""Promises about ``torch.compile``."""

from __future__ import annotations

import os
import shutil
import unittest
from collections.abc import Callable

import torch
from torch import Tensor
from torch._dynamo import mark_dynamic, maybe_mark_dynamic

from graphnets.encoders import Encoder
from graphnets.testing.base import Contract
from graphnets.testing.checks import explained, probe, same, valid_features


class CompileContract(Contract):
    """A compiled encoder trains as the plain one does.

    Attributes:
        compile_backend: ``"aot_eager"`` goes through all of ``torch.compile`` but the making of machine code, and finds
            whether one graph serves all sizes. ``"inductor"`` makes the machine code, for the one size it is tested
            with, as it may itself decide to make another for each; it needs a C++ compiler and takes up to a minute.
    """

    compile_backend: str = "aot_eager"

    def test_compile(self) -> None:
        """Compiled in one graph, in training mode with a mask: the same features, gradients and running moments.

        A second clip, longer and in a larger batch, must not need another graph.
        """
        self._skip_if_spared()
        if self.compile_backend == "inductor" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
            raise unittest.SkipTest("torch.compile with inductor needs a C++ compiler: g++, clang++ or what CXX names")
        encoder = self._encoder()
        plain, twin = self._training(encoder, dropout=False), self._training(encoder, dropout=False)
        frames = self._frames(encoder)
        one_for_all = self.compile_backend != "inductor"  # which fixes the length of strided convolutions, as of 2.13
        dynamic = mark_dynamic if one_for_all else maybe_mark_dynamic
        torch.compiler.reset()
        try:
            compiled = torch.compile(twin, backend=self.compile_backend, fullgraph=True)
            for stance, batch, length, how in (
                ("default", 2, frames, "torch.compile can't follow the encoder in one graph"),
                ("fail_on_recompile", 3, 2 * frames + 1, "torch.compile needs a graph for each size"),
            )[: 1 + one_for_all]:
                x, mask = self._motion(encoder, length, batch)
                for clip in (x.requires_grad_(), mask):
                    dynamic(clip, (0, 1))
                with (
                    explained(f"{how}; don't branch on values or sizes, and take sizes from x.shape"),
                    torch.compiler.set_stance(stance),
                ):
                    found = _gradients(twin, compiled, x, mask)
                for (name, a), b in zip(found.items(), _gradients(plain, plain, x, mask).values(), strict=True):
                    same(a, b, 10 * self.tolerance, f"{name} differ between the compiled encoder and the plain one")
            for (name, a), b in zip(twin.named_buffers(), plain.buffers(), strict=True):
                if a.is_floating_point():
                    same(a, b, 10 * self.tolerance, f"{name} differs after training compiled and plain")
        finally:
            torch.compiler.reset()


def _gradients(encoder: Encoder, call: Callable[..., Tensor], x: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Features and all gradients of a training step."""
    torch.manual_seed(0)
    y = call(x, mask)
    valid = valid_features(encoder, y, mask)
    leaves = {"x": x, **{name: p for name, p in encoder.named_parameters() if p.requires_grad}}
    found = torch.autograd.grad(probe(y, valid), list(leaves.values()), allow_unused=True)
    gradients = zip(leaves.items(), found, strict=True)
    named = {f"gradients of {name}": torch.zeros_like(leaf) if g is None else g for (name, leaf), g in gradients}
    return {"features": y[valid], **named}
