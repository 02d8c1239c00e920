"""Attribution: the axioms of integrated gradients, and a decision whose reason is known."""

from __future__ import annotations

import torch
from torch import Tensor

from graphnets.data import MotionBatch
from graphnets.encoders import STGCN
from graphnets.explain import integrated_gradients
from graphnets.skeleton import Skeleton
from graphnets.tasks import Classification, Task
from graphnets.transforms import Center, Resample


def made(seed: int = 0) -> tuple[Task, MotionBatch]:
    torch.manual_seed(seed)
    task = Task(
        STGCN("kinect20", 3, widths=[8, 8], strides=[1, 2], kernel=3),
        {"move": Classification("move", 3, peak=True)},
        transforms={"resample": Resample(10), "center": Center()},
    ).double()
    batch = MotionBatch()
    x = torch.randn(4, 14, 20, 3, dtype=torch.float64)
    mask = torch.ones(4, 14, 20, dtype=torch.bool)
    mask[1, 9:] = False
    mask[2, :, 5] = False
    skeleton = Skeleton.load("kinect20")
    batch.set_modality("pose", x, mask, torch.full((4,), 30.0), skeleton, ("x", "y", "z"))
    batch.put_attributes({"id": list("abcd"), "subject": list("ssss")})
    return task.eval(), batch


def logit(task: Task, batch: MotionBatch, classes: Tensor) -> Tensor:
    return task(batch)["move"].prediction.gather(1, classes[:, None])[:, 0]


def test_attributions_sum_to_the_difference() -> None:
    task, batch = made()
    classes = torch.tensor([0, 1, 2, 0])
    found = integrated_gradients(task, batch, "move", classes, steps=400)
    ready = task.transform(batch)
    x, mask = ready["pose"].x, ready["pose"].mask
    still = x.masked_fill(~mask[..., None], 0)
    still = (still.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)[..., None]).expand_as(x)
    ready["pose"].x = still.masked_fill(~mask[..., None], 0)
    there, here = task.outputs(ready)["move"].prediction, task(batch)["move"].prediction
    wanted = (here - there).gather(1, classes[:, None])[:, 0].detach()
    torch.testing.assert_close(found.sum((1, 2)), wanted, atol=2e-2, rtol=2e-2)
    assert not found[~mask].any() and task.encoder.training is False


def test_against_another_class_is_the_difference_of_both() -> None:
    task, batch = made()
    a, b = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 0, 2])
    both = integrated_gradients(task, batch, "move", a, b, steps=8)
    one, other = (integrated_gradients(task, batch, "move", c, steps=8) for c in (a, b))
    torch.testing.assert_close(both, one - other, atol=1e-9, rtol=1e-6)


def test_equal_to_the_baseline_nothing_is_attributed() -> None:
    task, batch = made()
    ready = task.transform(batch)["pose"]
    same = ready.x.masked_fill(~ready.mask[..., None], 0)
    assert not integrated_gradients(task, batch, "move", torch.zeros(4, dtype=torch.long), baseline=same).any()


def test_other_weights_give_other_reasons() -> None:
    """The sanity check of Adebayo et al. 2018 (arXiv 1810.03292): the map must depend on what was learned."""
    task, batch = made(0)
    other, _ = made(1)
    classes = torch.zeros(4, dtype=torch.long)
    a, b = (integrated_gradients(t, batch, "move", classes).flatten() for t in (task, other))
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.3
