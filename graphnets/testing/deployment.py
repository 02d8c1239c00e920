"""Promises about other places to run: exported programs, ONNX, compilers, other devices."""

from __future__ import annotations

import copy
import logging
import math
import unittest
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

import torch
from torch import fx, nn
from torch.export import Dim, ExportedProgram

from graphnets.encoders import Encoder
from graphnets.testing.base import Contract
from graphnets.testing.checks import check, explained, filled, same

_NOT_HERE = 1e-4  # other places sum in another order


class DeploymentContract(Contract):
    """What the encoder gives here, it gives elsewhere, for any number of sequences and frames."""

    def test_export(self) -> None:
        """``torch.export`` with any number of sequences and frames, with and without mask."""
        encoder = self._encoder()
        for masked in (False, True):
            program = self._program(encoder, masked).module()
            for batch, length in self._other_sizes(encoder):
                other = self._motion(encoder, length, batch, seed=1)[: 1 + masked]
                with explained(f"the exported encoder refuses {batch} sequences of {length} frames"):
                    y = program(*other)
                same(y, encoder(*other), _NOT_HERE, "the exported encoder gives something else")

    def test_onnx(self) -> None:
        """The exported program becomes an ONNX model, which onnxruntime computes alike; the mask is its second input.

        An all-true mask must give what the encoder gives without mask: one model serves both.
        """
        self._skip_if_spared()
        try:
            import onnxruntime
            import onnxscript  # noqa: F401  # torch.onnx.export needs it
        except ImportError as error:
            raise unittest.SkipTest(f"{error}: pip install 'graphnets[export]' brings what ONNX needs") from error
        encoder = self._encoder()
        program = self._program(encoder, masked=True)
        with explained("torch.onnx.export can't write the encoder; use common operators of torch"), _quiet():
            onnx = torch.onnx.export(program, dynamo=True, verbose=False)
            assert onnx is not None, "with dynamo=True it returns the model"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        with explained("onnxruntime can't load the encoder"):
            model = onnx.model_proto.SerializeToString()
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_inputs()]
        for batch, length in ((1, 1), *self._other_sizes(encoder)):  # a live stream begins with one frame
            x, mask = self._motion(encoder, length, batch, seed=1)
            poisoned, full = filled(x, mask, math.nan), torch.ones_like(mask)
            for clip, given, expected in ((poisoned, mask, encoder(x, mask)), (x, full, encoder(x))):
                with explained(f"the ONNX model refuses {batch} sequences of {length} frames"):
                    (y,) = session.run(None, dict(zip(names, (clip.numpy(), given.numpy()), strict=True)))
                same(torch.from_numpy(y), expected, _NOT_HERE, "the ONNX model gives something else")

    def test_gpu(self) -> None:
        """A GPU gives what a CPU gives (in float64, where neither takes short cuts)."""
        if not torch.cuda.is_available():
            raise unittest.SkipTest("there is no GPU")
        encoder = self._encoder().double()
        x, mask = self._motion(encoder)
        on_gpu = copy.deepcopy(encoder).cuda()
        for given in (None, mask):
            with explained(
                "the encoder can't run on a GPU; register tensors as buffers, and make new ones on x.device"
            ):
                y = on_gpu(x.double().cuda(), None if given is None else given.cuda())
            same(y.cpu(), encoder(x.double(), given), self.tolerance, "CPU and GPU differ")

    @staticmethod
    def _other_sizes(encoder: Encoder) -> tuple[tuple[int, int], ...]:
        """Sequences and frames, unlike those of the example that is exported."""
        frames = Contract._frames(encoder)
        return (1, frames + 3), (3, 2 * frames + 1)

    def _program(self, encoder: Encoder, masked: bool) -> ExportedProgram:
        """The exported encoder; exporting takes a second, so the tests of a class share it."""
        programs: dict[bool, ExportedProgram] = type(self).__dict__.get("_programs", {})
        if masked not in programs:
            taken = set(dir(fx.GraphModule(nn.Module(), fx.Graph()))) - set(dir(nn.Module()))
            members = [*encoder._modules, *encoder._parameters, *encoder._buffers]
            clash = [name for name in members if name in taken]
            check(
                not clash,
                f"torch.export can't take an encoder with a member called {', '.join(map(repr, clash))}, as its "
                "programs have attributes of that name; call it something else",
            )
            clip = self._motion(encoder)[: 1 + masked]
            sizes = tuple({0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for _ in clip)
            with explained(
                "torch.export can't follow the encoder; don't branch on values or sizes, and take sizes from x.shape"
            ):
                programs[masked] = torch.export.export(encoder, clip, dynamic_shapes=sizes)
            type(self)._programs = programs  # type: ignore[attr-defined]
        return programs[masked]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings, logs and progress: what an exporter prints of its own making helps nobody here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)
