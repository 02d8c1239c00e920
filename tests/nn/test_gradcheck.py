"""Gradients of the operators are what finite differences give, of every input and parameter, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError, gradcheck
from torch.func import functional_call

from graphnets.nn import GraphConv, MaskedBatchNorm, TemporalConv
from graphnets.nn.align import align
from graphnets.nn.fusion import MultiModalFusion
from graphnets.nn.masking import blank, clip_lengths, masked_mean, pointwise
from graphnets.testing import disconnected, random_motion

FRAMES, JOINTS = 5, 5


def clip(channels: int) -> tuple[Tensor, Tensor]:
    x, mask = random_motion(FRAMES, JOINTS, channels)
    return x.double(), mask


def check(operator: nn.Module, x: Tensor, mask: Tensor | None) -> None:
    """Differentiate with respect to the observed entries and all parameters; NaN stands in the masked entries."""
    torch.manual_seed(0)
    operator.double()
    names = [name for name, _ in operator.named_parameters()]
    values = [p.detach() + 0.3 * torch.randn_like(p) for p in operator.parameters()]
    seen = torch.ones(x.shape[:3], dtype=torch.bool) if mask is None else mask

    def call(observed: Tensor, *parameters: Tensor) -> Tensor:
        given = torch.full_like(x, torch.nan).masked_scatter(seen[..., None], observed)
        y: Tensor = functional_call(operator, dict(zip(names, parameters, strict=True)), (given, mask))
        return y

    leaves = [v.clone().requires_grad_() for v in (x[seen], *values)]
    assert call(*leaves).isfinite().all() and len(leaves[0]) > 0
    assert gradcheck(call, leaves, eps=1e-6, atol=1e-6, rtol=1e-5)


class BlankedGraphConv(GraphConv):
    """It wants zeros in masked entries."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(blank(x, mask), mask)


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("edge_weights", [False, True], ids=["fixed", "weighted"])
@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2)], ids=["graph first", "channels first"])
def test_graph_conv(before: int, after: int, edge_weights: bool, masked: bool) -> None:
    partitions = disconnected().partitions("spatial")
    x, mask = clip(before)
    check(BlankedGraphConv(before, after, partitions, edge_weights), x, mask if masked else None)


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel": 3},
        {"kernel": 1},
        {"kernel": 3, "stride": 2},
        {"kernel": 3, "dilation": 2},
        {"kernel": 3, "causal": True},
        {"kernel": 3, "causal": True, "stride": 2, "dilation": 2},
        {"kernel": 3, "separable": True},
        {"kernel": 3, "separable": True, "stride": 2, "causal": True},
    ],
    ids=str,
)
def test_temporal_conv(arguments: dict[str, int], masked: bool) -> None:
    x, mask = clip(2)
    check(TemporalConv(2, 3, **arguments), x, mask if masked else None)  # type: ignore[arg-type]


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("joints", [1, JOINTS], ids=["channels", "joints"])
def test_masked_batch_norm(joints: int, training: bool, masked: bool) -> None:
    norm = MaskedBatchNorm(2, joints=joints)
    with torch.no_grad():
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    x, mask = clip(2)
    check(norm.train(training), x, mask if masked else None)


def test_masked_batch_norm_of_few_entries() -> None:
    """Moments of few entries, and of none: a joint that nobody has seen."""
    x, mask = clip(2)
    mask[:, :, -1] = False
    check(MaskedBatchNorm(2, joints=JOINTS), x[:, :2], mask[:, :2])


class Mean(nn.Module):
    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return masked_mean(x, mask, self.dims)


class Pointwise(nn.Linear):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return pointwise(blank(x, mask), self.weight, self.bias)


@pytest.mark.parametrize("operator", [Mean(1), Mean(2), Mean(1, 2), Pointwise(2, 3)], ids=str)
def test_masking(operator: nn.Module) -> None:
    check(operator, *clip(2))


class WrongScale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        return 2.001 * gradients[0]


class Wrong(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y: Tensor = WrongScale.apply(blank(x, mask))
        return y


def test_a_wrong_gradient_is_noticed() -> None:
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        check(Wrong(), *clip(2))


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_multi_modal_fusion(masked: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    present = torch.rand(2, 3, 3) > 0.3 if masked else None
    fusion = MultiModalFusion(4, 3, heads=2, out_channels=5).double()
    names = [name for name, _ in fusion.named_parameters()]

    def call(values: Tensor, *parameters: Tensor) -> Tensor:
        y: Tensor = functional_call(fusion, dict(zip(names, parameters, strict=True)), (values, present))
        return y

    leaves = [v.detach().clone().requires_grad_() for v in (x, *fusion.parameters())]
    assert gradcheck(call, leaves, eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_align(masked: bool) -> None:
    x, mask = clip(2)
    given = mask if masked else None
    length = clip_lengths(x, given)
    to = torch.full_like(length, 7)
    assert gradcheck(lambda v: align(blank(v, given), given, 9, length, to)[0], x.clone().requires_grad_())
