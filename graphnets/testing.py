"""Contract tests for encoders: inherit them, and your encoder is tested for all that the library promises.

Example:
    In a test file of yours::

        from graphnets.testing import EncoderContract
        from my_file import MyNet

        class TestMyNet(EncoderContract):
            def make(self, skeleton, in_channels):
                return MyNet(skeleton, in_channels, width=8)

    and run ``pytest``. Keep the widths small: the whole contract then takes a few seconds.
"""

from __future__ import annotations

import copy
import io
import math
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from graphnets.encoders import Encoder
from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def random_tree(num_joints: int, seed: int = 0) -> Skeleton:
    """A skeleton whose joints each hang on a random earlier one.

    Args:
        num_joints: V, at least 1.
        seed: Of the tree.
    """
    draw = torch.Generator().manual_seed(seed)
    parents = [-1] + [int(torch.randint(i, (1,), generator=draw)) for i in range(1, num_joints)]
    edges = tuple((parent, child) for child, parent in enumerate(parents) if parent >= 0)
    return Skeleton(f"tree{num_joints}", tuple(f"joint_{i}" for i in range(num_joints)), tuple(parents), edges)


def disconnected() -> Skeleton:
    """Five joints in a tree, of whose bones only two are edges: one joint has no neighbour."""
    tree = random_tree(5)
    return Skeleton("disconnected", tree.joints, (-1, 0, 1, 0, 3), ((0, 1), (3, 4)))


def random_motion(frames: int, joints: int, channels: int, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise with everything missing that can be missing: entries, a joint, a frame, the last third of a clip.

    Args:
        frames: T.
        joints: V.
        channels: C.
        batch: N.
        seed: Of values and mask.

    Returns:
        Values ``[N, T, V, C]``, finite everywhere, and mask ``[N, T, V]``, with something observed in every sequence.
    """
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, frames, joints, channels, generator=draw)
    mask = torch.rand(batch, frames, joints, generator=draw) > 0.2
    mask[0, :, -1] = False
    mask[0, frames // 2] = False
    mask[-1, frames - frames // 3 :] = False
    mask[:, 0, 0] = True
    return x, mask


class EncoderContract:
    """What every :class:`~graphnets.encoders.Encoder` keeps, one test a promise.

    Attributes:
        in_channels: C of the clips that the encoder is tested on.
        tolerance: Largest allowed difference, relative to the largest value where that exceeds 1. It is for float32 in
            eval mode; in training mode, where moments of the batch enter, ten times as much is allowed.
        unused_parameters: Names (``*`` is a wildcard) of parameters that need not get gradients.
    """

    in_channels: int = 3
    tolerance: float = 1e-5
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

    # Shapes ---------------------------------------------------------------------------------------------------

    def test_output_shape(self) -> None:
        """``[N, ceil(T / time_stride), V', out_channels]``, and a feature mask of the same N, T', V'."""
        encoder = self._encoder()
        for frames in (self._frames(encoder), 4 * encoder.time_stride):
            x, mask = self._motion(encoder, frames)
            for given in (None, mask):
                self._check_shape(encoder, x, given)

    def test_any_skeleton(self) -> None:
        """One joint, two, twenty, a hundred, and joints without neighbours."""
        for skeleton in (*map(random_tree, (1, 2, 20, 100)), disconnected()):
            with _explained(f"the encoder can't deal with {skeleton.num_joints} joints ({skeleton.name})"):
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
                    with _explained(f"the encoder can't deal with a clip of {frames} frames in {mode} mode"):
                        self._check_shape(encoder.train(training), x, given)

    # Masks ----------------------------------------------------------------------------------------------------

    def test_full_mask_equals_no_mask(self) -> None:
        """``mask=None`` means: all observed."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        full = torch.ones_like(mask)
        why = "mask=None and a mask that is True everywhere must give the same"
        _same(encoder(x, full), encoder(x), self.tolerance, f"{why}, in eval mode")
        one, other = self._step(encoder, x, full), self._step(encoder, x, None)
        _same(one[1], other[1], 10 * self.tolerance, f"{why}, in training mode")
        _same(one[0](x), other[0](x), 10 * self.tolerance, f"{why}, running moments included")

    def test_padding_changes_nothing(self) -> None:
        """A clip padded to twice its length keeps its features, whatever stands in the padding."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        why = (
            "padding a clip changed its features: something reads masked frames; blank them (graphnets.nn.blank) "
            "before each step that mixes frames, and divide sums by the observed entries (graphnets.nn.masked_mean)"
        )
        for given in (None, mask):
            self._compare_padded(encoder, encoder(x, given), encoder(*_padded(x, given)), given, self.tolerance, why)

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
        trained, features = self._step(encoder, *_padded(x, mask), dropout=False)
        self._compare_padded(encoder, runs[0][1], features, mask, 10 * self.tolerance, why)
        self._compare_padded(encoder, runs[0][0](x), trained(x), None, 10 * self.tolerance, f"{why} (running moments)")

    def test_masked_values_change_nothing(self) -> None:
        """NaN in masked entries gives what 0 gives there, and never comes out."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        clean, poisoned = encoder(_filled(x, mask, 0.0), mask), encoder(_filled(x, mask, math.nan), mask)
        _finite(poisoned, f"NaN in a masked entry of the input came out of the encoder; {_BLANK}")
        valid = _valid(encoder, clean, mask)
        _same(poisoned[valid], clean[valid], self.tolerance, f"a masked entry changed an output; {_BLANK}")

    def test_masked_values_change_nothing_in_training(self) -> None:
        """The same in training mode, for gradients and running moments too."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        outcomes = []
        for value in (0.0, math.nan):
            leaf = _filled(x, mask, value).requires_grad_()
            trained, y = self._step(encoder, leaf, mask)
            _finite(y, f"in training mode NaN in a masked entry came out of the encoder; {_BLANK}")
            valid = _valid(encoder, y, mask)
            gradients = torch.autograd.grad(_loss(y, valid), [leaf, *trained.parameters()], allow_unused=True)
            names = ["x", *(name for name, _ in trained.named_parameters())]
            for name, gradient in zip(names, gradients, strict=True):
                if gradient is not None:
                    _finite(gradient, f"NaN in a masked entry of the input reached the gradient of {name}; {_BLANK}")
            if gradients[0] is not None:
                _check(
                    not gradients[0][~mask].any(), f"the loss has a gradient in masked entries of the input; {_BLANK}"
                )
            for name, buffer in trained.named_buffers():
                if buffer.is_floating_point():
                    _finite(buffer, f"NaN in a masked entry reached the buffer {name}; {_BLANK}")
            outcomes.append((y[valid], trained(x, mask)[valid]))
        for poisoned, clean in zip(outcomes[1], outcomes[0], strict=True):
            why = f"a masked entry changed an output or the running moments in training mode; {_BLANK}"
            _same(poisoned, clean, 10 * self.tolerance, why)

    # One sequence, one result -----------------------------------------------------------------------------------

    def test_sequences_are_independent(self) -> None:
        """In eval mode a sequence's features don't depend on what else is in the batch."""
        encoder = self._encoder()
        x, mask = self._motion(encoder, batch=3)
        for given in (None, mask):
            together = encoder(x, given)
            for i in range(len(x)):
                alone = encoder(x[i : i + 1], None if given is None else given[i : i + 1])
                valid = _valid(encoder, alone, None if given is None else given[i : i + 1])
                why = (
                    f"sequence {i} of a batch differs from the same sequence alone, in eval mode: sequences get mixed; "
                    "look for means, norms and reshapes over dimension 0"
                )
                _same(together[i : i + 1][valid], alone[valid], self.tolerance, why)

    def test_determinism(self) -> None:
        """The same seed gives the same weights and outputs, and eval mode draws no random numbers."""
        one, other = self._encoder(), self._encoder()
        for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            same = not isinstance(a, Tensor) or torch.equal(a, b)
            _check(same, f"{name} differs between two encoders of one seed; draw from torch's default generator only")
        x, mask = self._motion(one)
        first, second = one(x, mask), one(x, mask)
        _same(second, first, 0, "two calls in eval mode differ: the encoder is random or keeps a state between calls")
        _same(other(x, mask), first, 0, "two encoders of one seed differ in eval mode")
        runs = [self._step(one, x, mask, seed=3)[1] for _ in range(2)]
        _same(runs[1], runs[0], 0, "two training steps of one seed differ; draw from torch's default generator only")

    # Training and copying -----------------------------------------------------------------------------------------

    def test_gradients_reach_every_parameter(self) -> None:
        """No parameter is left out of training, unless ``unused_parameters`` names it."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        reached: set[str] = set()
        for training in (False, True):
            encoder.train(training).zero_grad()
            y = encoder(x, mask)
            _loss(y, _valid(encoder, y, mask)).backward()
            for name, parameter in encoder.named_parameters():
                if parameter.grad is not None:
                    _finite(parameter.grad, f"the gradient of {name} is not finite")
                    if parameter.grad.any():
                        reached.add(name)
        missed = [
            name
            for name, parameter in encoder.named_parameters()
            if parameter.requires_grad
            and name not in reached
            and not any(fnmatchcase(name, pattern) for pattern in self.unused_parameters)
        ]
        _check(
            not missed,
            f"no gradient reaches {missed}; use them, remove them, or list them in unused_parameters of the test",
        )

    def test_float64(self) -> None:
        """``encoder.double()`` computes in float64."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        with _explained("the encoder can't run in float64; make new tensors with the dtype of x"):
            y = copy.deepcopy(encoder).double()(x.double(), mask)
        _check(y.dtype == torch.float64, f"a float64 encoder returned {y.dtype}; make new tensors with the dtype of x")
        _same(encoder(x, mask).double(), y, 10 * self.tolerance, "float32 and float64 differ too much")

    def test_bfloat16_autocast(self) -> None:
        """Under bfloat16 autocast outputs and gradients are finite."""
        encoder = self._encoder()
        x, mask = self._motion(encoder, frames=encoder.time_stride + 1)
        for training in (False, True):
            with (
                _explained("the encoder can't run under autocast; don't assume that values and weights share a dtype"),
                torch.autocast("cpu", torch.bfloat16),
            ):
                y = encoder.train(training)(x, mask)
            _finite(y, "an output is not finite under bfloat16 autocast")
            _loss(y.float(), _valid(encoder, y, mask)).backward()
            for name, parameter in encoder.named_parameters():
                if parameter.grad is not None:
                    _finite(parameter.grad, f"the gradient of {name} is not finite under bfloat16 autocast")

    def test_deepcopy(self) -> None:
        """A deep copy gives the same and shares no weights."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        before = encoder(x, mask)
        with _explained("the encoder can't be copied; keep no generators, locks or graph tensors in attributes"):
            twin = copy.deepcopy(encoder)
        _same(twin(x, mask), before, 0, "a deep copy gives something else")
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.fill_(7.0)
        _same(encoder(x, mask), before, 0, "a deep copy shares parameters with its original")

    def test_checkpoint(self) -> None:
        """Plain data and weights, read with ``weights_only=True``, rebuild the encoder."""
        encoder = self._encoder()
        x, mask = self._motion(encoder)
        file = io.BytesIO()
        torch.save({"spec": to_spec(encoder), "weights": encoder.state_dict()}, file)
        file.seek(0)
        with _explained("the state of the encoder holds more than tensors and plain data"):
            saved = torch.load(file, weights_only=True)
        with _explained("the encoder can't be rebuilt from its initial arguments and its state dict"):
            rebuilt: Encoder = from_spec(saved["spec"], Encoder)
            rebuilt.load_state_dict(saved["weights"])
        _same(
            rebuilt.eval()(x, mask), encoder(x, mask), 0, "the encoder rebuilt from a checkpoint gives something else"
        )

    # Elsewhere ----------------------------------------------------------------------------------------------------

    def test_export(self) -> None:
        """``torch.export`` with any number of sequences and frames, with and without mask."""
        encoder = self._encoder()
        frames = self._frames(encoder)
        dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
        for masked in (False, True):
            clip = self._motion(encoder, frames)[: 1 + masked]
            with _explained(
                "torch.export can't follow the encoder; don't branch on values or sizes, and take sizes from x.shape"
            ):
                program = torch.export.export(encoder, clip, dynamic_shapes=tuple(dynamic for _ in clip)).module()
            for batch, length in ((1, frames + 3), (3, 2 * frames + 1)):
                other = self._motion(encoder, length, batch, seed=1)[: 1 + masked]
                with _explained(f"the exported encoder refuses {batch} sequences of {length} frames"):
                    y = program(*other)
                _same(y, encoder(*other), 1e-4, "the exported encoder gives something else")

    def test_gpu(self) -> None:
        """A GPU gives what a CPU gives (in float64, where neither takes short cuts)."""
        if not torch.cuda.is_available():
            raise unittest.SkipTest("there is no GPU")
        encoder = self._encoder().double()
        x, mask = self._motion(encoder)
        on_gpu = copy.deepcopy(encoder).cuda()
        for given in (None, mask):
            with _explained(
                "the encoder can't run on a GPU; register tensors as buffers, and make new ones on x.device"
            ):
                y = on_gpu(x.double().cuda(), None if given is None else given.cuda())
            _same(y.cpu(), encoder(x.double(), given), self.tolerance, "CPU and GPU differ")

    # Help ---------------------------------------------------------------------------------------------------------

    def _encoder(self) -> Encoder:
        """An encoder in eval mode, away from what hides faults in a fresh one: moments of 0 and 1, biases of 0."""
        torch.manual_seed(0)
        encoder = self.make(random_tree(5), self.in_channels)
        x, _ = self._motion(encoder)
        with torch.no_grad():
            encoder.train()(x)
            for parameter in encoder.parameters():
                parameter.add_((0.05 if parameter.ndim > 1 else 0.3) * torch.randn_like(parameter))
            encoder(x)
        return encoder.eval()

    @staticmethod
    def _frames(encoder: Encoder) -> int:
        return 2 * encoder.time_stride + 5

    def _motion(
        self, encoder: Encoder, frames: int | None = None, batch: int = 2, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        frames = frames or self._frames(encoder)
        return random_motion(frames, encoder.skeleton.num_joints, self.in_channels, batch, seed)

    @staticmethod
    def _step(
        encoder: Encoder, x: Tensor, mask: Tensor | None, dropout: bool = True, seed: int = 0
    ) -> tuple[Encoder, Tensor]:
        """A copy that has seen the clip in training mode, now in eval mode, and the features it gave then."""
        twin = copy.deepcopy(encoder).train()
        for module in twin.modules():
            if isinstance(module, _DROPOUTS):
                module.train(dropout)
        torch.manual_seed(seed)
        y: Tensor = twin(x, mask)
        return twin.eval(), y

    @staticmethod
    def _check_shape(encoder: Encoder, x: Tensor, mask: Tensor | None) -> None:
        before = x.clone()
        y = encoder(x, mask)
        _check(torch.equal(x, before), "the encoder wrote into its input; change a copy")
        frames = math.ceil(x.shape[1] / encoder.time_stride)
        good = y.ndim == 4 and (y.shape[0], y.shape[1], y.shape[3]) == (len(x), frames, encoder.out_channels)
        _check(
            good,
            f"features of a clip {list(x.shape)} are {list(y.shape)}; with time_stride {encoder.time_stride} and "
            f"out_channels {encoder.out_channels} they must be [{len(x)}, {frames}, V', {encoder.out_channels}]",
        )
        _finite(y, f"features of a finite clip {list(x.shape)} are not finite")
        kept = encoder.feature_mask(mask)
        if mask is not None and kept is None:
            raise AssertionError("feature_mask forgets the mask: it gave None for a mask with missing entries")
        if kept is not None:
            _check(
                kept.dtype == torch.bool and kept.shape == y.shape[:3],
                f"feature_mask gives {kept.dtype} {list(kept.shape)} for features {list(y.shape)}; it must be bool "
                f"{list(y.shape[:3])}: override feature_mask if the encoder changes the joints",
            )

    @staticmethod
    def _compare_padded(
        encoder: Encoder, short: Tensor, long: Tensor, mask: Tensor | None, tolerance: float, why: str
    ) -> None:
        valid = _valid(encoder, short, mask)
        _same(long[:, : short.shape[1]][valid], short[valid], tolerance, why)


_BLANK = "blank masked entries with graphnets.nn.blank or torch.where: a product with the mask keeps NaN"


def _padded(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Twice the frames; large numbers in the second half, which is masked."""
    mask = torch.ones(x.shape[:3], dtype=torch.bool) if mask is None else mask
    return torch.cat([x, 1e3 * x.flip(1) + 1e3], dim=1), torch.cat([mask, torch.zeros_like(mask)], dim=1)


def _filled(x: Tensor, mask: Tensor, value: float) -> Tensor:
    return x.masked_fill(~mask[..., None], value)


def _valid(encoder: Encoder, features: Tensor, mask: Tensor | None) -> Tensor:
    """Which features count, ``[N, T', V']``."""
    kept = encoder.feature_mask(mask)
    return torch.ones(features.shape[:3], dtype=torch.bool) if kept is None else kept


def _loss(features: Tensor, valid: Tensor) -> Tensor:
    """A sum with random weights: a plain one has no gradient behind a norm or a softmax."""
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(0)).to(features.dtype)
    return (features * weights)[valid].sum()


def _check(condition: bool | Tensor, message: str) -> None:
    """Assert, even where Python runs without assertions."""
    if not condition:
        raise AssertionError(message)


def _finite(values: Tensor, message: str) -> None:
    _check(values.isfinite().all(), message)


def _same(actual: Tensor, expected: Tensor, tolerance: float, message: str) -> None:
    shapes = f"{list(actual.shape)} and {list(expected.shape)}"
    _check(actual.shape == expected.shape, f"{message}: the shapes are {shapes}")
    if not expected.numel():
        return
    allowed = tolerance * max(1.0, float(expected.detach().abs().max()))
    difference = float((actual.detach() - expected.detach()).abs().max())
    _check(difference <= allowed, f"{message}: they differ by {difference:.3g}, allowed is {allowed:.3g}")


@contextmanager
def _explained(message: str) -> Iterator[None]:
    """Say what it means when the block fails."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{message}: {type(error).__name__}: {error}") from error
