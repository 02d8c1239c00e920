"""Encoders of several modalities keep the encoder contract, modality by modality."""

from __future__ import annotations

import copy
import io
import math
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from graphnets.encoders import STGCN, Encoder
from graphnets.encoders.fusion import EarlyFusion, FusionEncoder, MultiModalEncoder
from graphnets.nn.align import align
from graphnets.nn.fusion import ConcatFusion, MeanFusion, MultiModalFusion, SumFusion
from graphnets.nn.masking import clip_lengths
from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec
from graphnets.testing import random_motion, random_tree

Values = dict[str, Tensor]
POSE, IMU, EXTRA = random_tree(5), Skeleton.load("imu_axes6"), Skeleton.load("tan_imu8")
FRAMES = {"pose": 13, "imu": 22, "extra": 9}


def light(skeleton: Skeleton, in_channels: int, strides: tuple[int, ...] = (1, 2)) -> Encoder:
    return STGCN(skeleton, in_channels, widths=(6,) * len(strides), strides=strides, kernel=3)


def motion(encoder: MultiModalEncoder, frames: dict[str, int], batch: int = 3, seed: int = 0) -> tuple[Values, Values]:
    """Noise with gaps, joints that are missing, a clip that ends early; the last sequence lacks the last modality."""
    x, mask = {}, {}
    for i, name in enumerate(encoder.modalities):
        joints, channels = encoder.skeletons[name].num_joints, encoder.channels[name]
        x[name], mask[name] = random_motion(frames[name], joints, channels, batch, seed + i)
    mask[encoder.modalities[-1]][-1] = False
    return x, mask


def poisoned(x: Values, mask: Values, value: float = math.nan) -> Values:
    return {name: x[name].masked_fill(~mask[name][..., None], value) for name in x}


def padded(x: Values, mask: Values, name: str, value: float = math.nan) -> tuple[Values, Values]:
    """Twice the frames in one modality."""
    more = torch.full_like(x[name], value)
    return (
        {**x, name: torch.cat([x[name], more], 1)},
        {**mask, name: torch.cat([mask[name], torch.zeros_like(mask[name])], 1)},
    )


class FusionContract:
    """What every encoder of several modalities keeps."""

    def make(self) -> MultiModalEncoder:
        raise NotImplementedError

    def encoder(self) -> MultiModalEncoder:
        """In eval mode, with moments, weights and biases unlike those of a fresh one."""
        torch.manual_seed(0)
        encoder = self.make().train()
        x, mask = motion(encoder, FRAMES)
        with torch.no_grad():
            encoder(x, mask)
            for parameter in encoder.parameters():
                parameter.add_((0.05 if parameter.ndim > 1 else 0.3) * torch.randn_like(parameter))
            encoder(x, mask)
        return encoder.eval()

    def test_shapes(self) -> None:
        encoder = self.encoder()
        assert encoder.primary == encoder.modalities[0] == "pose"
        for lengths in (FRAMES, {"pose": 1, "imu": 1, "extra": 1}, {"pose": 7, "imu": 1, "extra": 30}):
            x, mask = motion(encoder, lengths)
            before = copy.deepcopy(x)
            for training in (False, True):
                encoder.train(training)
                for given in (None, mask):
                    y, kept = encoder.encode(x, given)
                    frames = math.ceil(lengths["pose"] / encoder.time_stride)
                    assert y.shape[:2] == (3, frames) and y.shape[3] == encoder.out_channels and y.isfinite().all()
                    assert torch.equal(y, encoder(x, given)) or training
                    if given is None:
                        assert kept is None
                    else:
                        assert kept is not None and kept.dtype == torch.bool and kept.shape == y.shape[:3]
                        assert torch.equal(kept, encoder.feature_mask(given))  # type: ignore[arg-type]
            assert all(torch.equal(x[name], before[name]) for name in x), "it wrote into its input"

    def test_full_mask_equals_no_mask(self) -> None:
        encoder = self.encoder()
        x, mask = motion(encoder, FRAMES)
        full = {name: torch.ones_like(m) for name, m in mask.items()}
        for training in (False, True):
            one, other = copy.deepcopy(encoder).train(training), copy.deepcopy(encoder).train(training)
            torch.testing.assert_close(one(x, full), other(x), rtol=0, atol=1e-4 if training else 1e-5)
            torch.testing.assert_close(one.eval()(x), other.eval()(x), rtol=0, atol=1e-4)
        # Masks of some modalities: the others are all there.
        for name in encoder.modalities:
            some: dict[str, Tensor | None] = {**dict.fromkeys(x), name: mask[name]}
            y, kept = encoder.encode(x, some)
            expected, wanted = encoder.encode(x, {**full, name: mask[name]})
            assert kept is not None and wanted is not None and torch.equal(kept, wanted)
            torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)
            with pytest.raises(ValueError, match="needs the masks of all"):
                encoder.feature_mask(some)

    def test_padding_a_modality_changes_nothing(self) -> None:
        encoder = self.encoder()
        x, mask = motion(encoder, FRAMES)
        for name in encoder.modalities:
            for training in (False, True):
                one, other = copy.deepcopy(encoder).train(training), copy.deepcopy(encoder).train(training)
                y, kept = one.encode(x, mask)
                more, also = other.encode(*padded(x, mask, name, 1e3))
                assert kept is not None and also is not None
                t = y.shape[1]
                assert torch.equal(also[:, :t], kept) and not also[:, t:].any()
                torch.testing.assert_close(more[:, :t][kept], y[kept], rtol=0, atol=1e-4 if training else 1e-5)
                for a, b in zip(one.buffers(), other.buffers(), strict=True):
                    torch.testing.assert_close(a, b, rtol=0, atol=1e-4, msg="padding moved the running moments")

    def test_masked_entries_are_never_read(self) -> None:
        encoder = self.encoder()
        x, mask = motion(encoder, FRAMES)
        for training in (False, True):
            outcomes = []
            for value in (0.0, math.nan):
                leaves = {name: v.requires_grad_() for name, v in poisoned(x, mask, value).items()}
                twin = copy.deepcopy(encoder).train(training)
                y, kept = twin.encode(leaves, mask)
                assert kept is not None and y.isfinite().all()
                weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
                (y * weights)[kept].sum().backward()
                for name, parameter in twin.named_parameters():
                    assert parameter.grad is not None and parameter.grad.isfinite().all(), name
                for name, leaf in leaves.items():
                    assert leaf.grad is not None and leaf.grad.isfinite().all() and not leaf.grad[~mask[name]].any()
                assert all(buffer.isfinite().all() for buffer in twin.buffers())
                outcomes.append((y, *(parameter.grad for parameter in twin.parameters())))
            for a, b in zip(*outcomes, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-4)

    def test_every_observed_entry_counts_somewhere(self) -> None:
        """No modality is left out: its frames, joints and channels reach the features."""
        encoder = self.encoder()
        x, _ = motion(encoder, {"pose": 9, "imu": 9, "extra": 9})
        leaves = {name: v.requires_grad_() for name, v in x.items()}
        y = encoder(leaves)
        (y * torch.randn(y.shape)).sum().backward()
        for name, leaf in leaves.items():
            assert leaf.grad is not None and (leaf.grad.abs().sum((0, 3)) > 0).float().mean() > 0.8, name

    def test_sequences_are_independent(self) -> None:
        encoder = self.encoder()
        x, mask = motion(encoder, FRAMES)
        for given in (None, mask):
            y = encoder(x, given)
            for i in range(3):
                part = slice(i, i + 1)
                alone = encoder(
                    {name: v[part] for name, v in x.items()},
                    None if given is None else {name: m[part] for name, m in given.items()},
                )
                torch.testing.assert_close(y[part], alone, rtol=0, atol=1e-5)

    def test_a_missing_modality_leaves_the_others(self) -> None:
        encoder = self.encoder()
        x, mask = motion(encoder, {**FRAMES, "pose": 22})
        full = {name: torch.ones_like(m) for name, m in mask.items()}
        everything = encoder(x, full)
        for name in encoder.modalities:
            without = {**full, name: torch.zeros_like(full[name])}
            y, kept = encoder.encode({**x, name: torch.full_like(x[name], math.nan)}, without)
            assert y.isfinite().all() and kept is not None and kept.any(2).all()
            assert (y - everything).abs().amax((1, 2, 3)).min() > 1e-4, f"{name} has no say"
            # Another number in another of the modalities still changes the features.
            other = next(n for n in encoder.modalities if n != name)
            changed = encoder({**x, other: x[other] + torch.randn_like(x[other])}, without)
            assert (changed - y)[kept].abs().max() > 1e-4
        nothing = {name: torch.zeros_like(m) for name, m in mask.items()}
        y, kept = encoder.encode(poisoned(x, nothing), nothing)
        assert y.isfinite().all() and kept is not None and not kept.any()

    def test_a_missing_primary_takes_the_length_of_the_next(self) -> None:
        """Then too, what pads other recordings of the batch changes nothing."""
        encoder = self.encoder()
        x, mask = motion(encoder, {"pose": 30, "imu": 12, "extra": 9})
        mask["pose"][0] = False
        length = int(clip_lengths(x["imu"], mask["imu"])[0])
        y, kept = encoder.encode(x, mask)
        more, also = encoder.encode(*padded(x, mask, "pose"))
        assert kept is not None and also is not None and kept[0].any()
        assert not kept[0, math.ceil(length / encoder.time_stride) :].any()
        assert torch.equal(also[0, : y.shape[1]], kept[0]) and not also[0, y.shape[1] :].any()
        torch.testing.assert_close(more[0, : y.shape[1]][kept[0]], y[0][kept[0]], rtol=0, atol=1e-5)

    def test_a_longer_recording_without_the_primary_gets_room(self) -> None:
        """However long the others of its batch are."""
        encoder = self.encoder()
        x, mask = motion(encoder, {"pose": 12, "imu": 40, "extra": 9})
        mask["pose"][0], mask["imu"][0, -1] = False, True
        y, kept = encoder.encode(x, mask)
        frames = math.ceil(40 / encoder.time_stride)
        assert kept is not None and y.shape[1] == kept.shape[1] == frames and kept[0, -1].any()
        assert torch.equal(kept, encoder.feature_mask(mask))  # type: ignore[arg-type]
        for more in (1, 3):
            for _ in range(more):
                x, mask = padded(x, mask, "pose")
            longer, also = encoder.encode(x, mask)
            assert also is not None and torch.equal(also[:, :frames], kept) and not also[:, frames:].any()
            torch.testing.assert_close(longer[:, :frames][kept], y[kept], rtol=0, atol=1e-5)

    def test_gradients_reach_every_parameter(self) -> None:
        encoder = self.encoder().train()
        x, mask = motion(encoder, FRAMES)
        y, kept = encoder.encode(x, mask)
        (y * torch.randn(y.shape))[kept].sum().backward()
        missed = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
        assert not missed

    def test_determinism(self) -> None:
        one, other = self.encoder(), self.encoder()
        x, mask = motion(one, FRAMES)
        assert torch.equal(one(x, mask), one(x, mask)) and torch.equal(one(x, mask), other(x, mask))

    def test_checkpoint_and_copy(self) -> None:
        encoder = self.encoder()
        x, mask = motion(encoder, FRAMES)
        file = io.BytesIO()
        torch.save({"spec": to_spec(encoder), "weights": encoder.state_dict()}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        rebuilt: MultiModalEncoder = from_spec(saved["spec"], Encoder)
        rebuilt.load_state_dict(saved["weights"])
        assert rebuilt.modalities == encoder.modalities and rebuilt.skeletons == encoder.skeletons
        for twin in (rebuilt.eval(), copy.deepcopy(encoder)):
            assert torch.equal(twin(x, mask), encoder(x, mask))

    def test_float64_and_autocast(self) -> None:
        encoder = self.encoder()
        x, mask = motion(encoder, FRAMES)
        double = copy.deepcopy(encoder).double()({name: v.double() for name, v in x.items()}, mask)
        assert double.dtype == torch.float64
        torch.testing.assert_close(encoder(x, mask).double(), double, rtol=0, atol=1e-4)
        for training in (False, True):
            with torch.autocast("cpu", torch.bfloat16):
                y = encoder.train(training)(x, mask)
            assert y.isfinite().all()
            y.float().sum().backward()

    export_unmasked = False
    export_onnx = False

    def test_export(self) -> None:
        """Any number of sequences, and of frames in each modality."""
        encoder = self.encoder()
        dynamic = torch.export.Dim.DYNAMIC
        shapes = {name: {0: dynamic, 1: dynamic} for name in encoder.modalities}
        for masked in (False, True) if self.export_unmasked else (True,):
            clip = motion(encoder, FRAMES)[: 1 + masked]
            program = torch.export.export(encoder, clip, dynamic_shapes=(shapes,) * len(clip))
            others = [
                motion(encoder, frames, batch, seed=5)[: 1 + masked]
                for batch, frames in (
                    (1, {"pose": 21, "imu": 15, "extra": 31}),
                    (2, dict.fromkeys(FRAMES, 12)),
                    (1, dict.fromkeys(FRAMES, 1)),
                )
            ]
            for other in others[:2]:  # a single frame is ruled out by the program's own checks, but not in ONNX
                torch.testing.assert_close(program.module()(*other), encoder(*other), rtol=0, atol=1e-4)
        if self.export_onnx:  # which divides negative numbers otherwise than Python
            pytest.importorskip("onnxruntime")
            pytest.importorskip("onnxscript")
            model = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False)
            assert model is not None
            for other in others:
                torch.testing.assert_close(model(*other)[0], encoder(*other), rtol=0, atol=1e-4)

    def test_compile(self) -> None:
        if self.test_export is None:
            pytest.skip("takes seconds; only the fusion differs")
        encoder = self.encoder()
        x, mask = motion(encoder, FRAMES)
        compiled = torch.compile(encoder, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x, mask), encoder(x, mask), rtol=0, atol=1e-4)

    def test_what_does_not_fit_is_refused(self) -> None:
        encoder = self.encoder()
        x, mask = motion(encoder, FRAMES)
        for wrong, message in (
            (({"pose": x["pose"]}, None), r"takes dictionaries of \['pose', 'imu'"),
            ((x["pose"], None), r"as x and mask, not \['Tensor', 'NoneType'\]"),
            ((x, mask["pose"]), "'Tensor'"),
            (({**x, "imu": x["imu"][:, :, :5]}, None), r"x\['imu'\] must be \[3, T, 6, 1\], but it is \[3, 22, 5, 1\]"),
            (({**x, "imu": x["imu"][:2]}, None), r"must be \[3, T, 6, 1\], but it is \[2, 22, 6, 1\]"),
            ((x, {**mask, "imu": mask["imu"][:, :4]}), "mask of 'imu' must be bool"),
            ((x, {**mask, "imu": mask["imu"].float()}), r"torch.float32"),
            ((x, {**mask, "posse": mask["pose"]}), r"reads the modalities \['pose', 'imu'.* masks of \['posse'\]"),
        ):
            for call in (encoder, encoder.encode):
                with pytest.raises(ValueError, match=message):
                    call(*wrong)


class TestMultiModal(FusionContract):
    export_onnx = True

    def make(self) -> MultiModalEncoder:
        encoders = {"pose": light(POSE, 3, (2,)), "imu": light(IMU, 1, (3,))}
        return FusionEncoder(encoders, MultiModalFusion(8, 2, heads=2, out_channels=7))


class TestConcatOfThree(FusionContract):
    test_export = None  # type: ignore[assignment]  # takes seconds; only the fusion differs

    def make(self) -> MultiModalEncoder:
        encoders = {"pose": light(POSE, 3, (1, 2)), "imu": light(IMU, 1, (2, 2)), "extra": light(EXTRA, 2, (1,))}
        return FusionEncoder(encoders, ConcatFusion(8, 3))


class TestMean(FusionContract):
    test_export = None  # type: ignore[assignment]  # takes seconds; only the fusion differs

    def make(self) -> MultiModalEncoder:
        return FusionEncoder({"pose": light(POSE, 3, (2,)), "imu": light(IMU, 1, (1,))}, MeanFusion(8, 2))


class TestEarly(FusionContract):
    export_unmasked = True

    def make(self) -> MultiModalEncoder:
        inner = light(POSE.join(IMU), 4, (2,))
        return EarlyFusion(inner, {"pose": POSE, "imu": "imu_axes6"}, {"pose": 3, "imu": 1})


# What they compute ------------------------------------------------------------------------------------------------


def test_late_fusion_is_encode_pool_align_project_fuse() -> None:
    """Sequence by sequence, each without its padding."""
    encoder = TestMultiModal().encoder()
    assert isinstance(encoder, FusionEncoder)
    x, mask = motion(encoder, FRAMES)
    y, kept = encoder.encode(x, mask)
    assert kept is not None
    for i in range(3):
        vectors, present = [], []
        for name in encoder.modalities:
            length = {n: int(clip_lengths(x[n], mask[n])[i]) for n in encoder.modalities}
            if length[name] == 0:
                vectors.append(torch.zeros(1, y.shape[1], encoder.fusion.width))
                present.append(torch.zeros(1, y.shape[1], dtype=torch.bool))
                continue
            one, seen = x[name][i : i + 1, : length[name]], mask[name][i : i + 1, : length[name]]
            features = encoder.encoders[name](one, seen)
            stride = encoder.encoder(name).time_stride
            pooled = torch.stack(
                [
                    f[m].mean(0) if m.any() else torch.zeros(f.shape[-1])
                    for f, m in zip(features[0], seen[0, ::stride], strict=True)
                ]
            )
            there = seen[0, ::stride].any(1)
            if name != "pose":
                times = torch.tensor(length[name]), torch.tensor(length["pose"])
                spans = (t[None] for t in times)
                aligned = align(
                    pooled[None, :, None], there[None, :, None], y.shape[1], *spans, stride, encoder.time_stride
                )
                pooled, there = aligned[0][0, :, 0], aligned[1][0, :, 0]
            missing = y.shape[1] - len(pooled)
            vectors.append(torch.nn.functional.pad(encoder.projections[name](pooled), (0, 0, 0, missing))[None])
            present.append(torch.nn.functional.pad(there, (0, missing))[None])
        together = torch.stack(present, 2)
        expected = encoder.fusion(torch.stack(vectors, 2), together)
        assert torch.equal(kept[i, :, 0], together[0].any(1))
        torch.testing.assert_close(y[i, :, 0], expected[0], rtol=0, atol=1e-5)


def test_early_fusion_of_equal_rates_is_the_encoder_on_joined_nodes() -> None:
    encoder = TestEarly().encoder()
    assert isinstance(encoder, EarlyFusion)
    x, _ = motion(encoder, {"pose": 10, "imu": 10})
    nodes = []
    for name in encoder.modalities:
        norm = encoder.norms[name]
        flat = torch.nn.functional.batch_norm(
            x[name].flatten(2).transpose(1, 2),
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,  # type: ignore[arg-type]
        )
        nodes.append(encoder.projections[name](flat.transpose(1, 2).reshape(x[name].shape)))
    expected = encoder.encoder(torch.cat(nodes, 2))
    torch.testing.assert_close(encoder(x), expected, rtol=0, atol=1e-5)
    assert expected.shape[2] == 11


def test_rates_play_no_part() -> None:
    """A signal that is linear in time gives the same at 30 and at 50 frames a second, of dropped frames too."""
    torch.manual_seed(0)
    inner = STGCN("kinect20+imu_axes6", 4, widths=(6,), strides=(1,), kernel=3)
    encoder = EarlyFusion(inner, {"pose": "kinect20", "imu": "imu_axes6"}, {"pose": 3, "imu": 1}).eval()
    pose, rise = torch.randn(1, 41, 20, 3), torch.randn(6)
    results = [
        encoder({"pose": pose, "imu": (torch.linspace(0, 1, frames)[:, None] * rise)[None, ..., None]})
        for frames in (41, 107, 326)
    ]
    for y in results[1:]:
        torch.testing.assert_close(y, results[0], rtol=0, atol=1e-5)


def test_skeletons_of_files_travel_in_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**IMU.to_dict(), "name": "mine"}))
    inner = STGCN(f"kinect20+{path}", 4, widths=(6,), strides=(1,))
    encoder = EarlyFusion(inner, {"pose": "kinect20", "imu": str(path)}, {"pose": 3, "imu": 1})
    spec = to_spec(encoder)
    path.unlink()
    rebuilt = from_spec(spec, Encoder)
    assert rebuilt.skeletons == encoder.skeletons and rebuilt.encoder.skeleton.name == "kinect20+mine"
    assert spec["init_args"]["skeletons"]["pose"] == "kinect20", "built-in ones go by name"
    twice = STGCN("kinect20+kinect20", 4, widths=(6,), strides=(1,))  # two cameras: names that get a prefix
    assert EarlyFusion(twice, {"front": "kinect20", "side": "kinect20"}, {"front": 3, "side": 3}).primary == "front"


def test_mistakes_are_named() -> None:
    pose, imu = light(POSE, 3), light(IMU, 1)
    with pytest.raises(ValueError, match=r"made for 3 modalities, but there are encoders for 2: \['pose', 'imu'\]"):
        FusionEncoder({"pose": pose, "imu": imu}, SumFusion(8, 3))
    with pytest.raises(ValueError, match=r"modalities are \['pose'\]; there must be 2 or more"):
        FusionEncoder({"pose": pose}, SumFusion(8, 2))
    inner, skeletons = light(POSE.join(IMU), 4), {"pose": POSE, "imu": IMU}
    with pytest.raises(ValueError, match=r"in_channels are for \['pose'\], but the modalities are"):
        EarlyFusion(inner, skeletons, {"pose": 3})
    with pytest.raises(ValueError, match="they must all be 1 or more"):
        EarlyFusion(inner, skeletons, {"pose": 3, "imu": 0})
    with pytest.raises(ValueError, match=r"must be those of imu_axes6\+tree5, one after the other"):
        EarlyFusion(inner, {"imu": IMU, "pose": POSE}, {"pose": 3, "imu": 1})
