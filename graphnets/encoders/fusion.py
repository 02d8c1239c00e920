"""Encoders that read several modalities of a recording together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.encoders.base import Encoder, Features
from graphnets.nn.align import align
from graphnets.nn.fusion import Fusion
from graphnets.nn.masking import clip_lengths, masked_mean
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.skeleton import Skeleton

Values = Mapping[str, Tensor]
Masks = Mapping[str, Tensor | None]


class MultiModalEncoder(Encoder):
    """An encoder that keeps its contract over dictionaries: a tensor and a mask for each modality.

    The modalities of a recording cover the same span of time, each at its own rate. The first one is the primary: the
    features have its frames, and the others are brought to them by relative time (:func:`graphnets.nn.align.align`).
    Masks say where each clip ends, so what pads one modality changes nothing. A recording that lacks a modality has a
    mask that is False everywhere. One that lacks the primary takes the number of frames of the first modality it has,
    and the features are as many as that needs (compiled or exported, as many as there is room for).

    A subclass sets ``out_channels`` and ``time_stride`` and defines :meth:`features` and :meth:`kept`.

    Args:
        skeletons: The graph of each modality, or the name or file of one; in order, the first is the primary.
        in_channels: The channels of each modality.

    Attributes:
        modalities: The names, the primary first.
        skeletons: The graph of each; ``skeleton`` is that of the primary.
        channels: C of each; ``in_channels`` is that of the primary.
        causal: Never: where a frame of one modality lies in time depends on the length of the clip.

    Raises:
        ValueError: There are fewer than two modalities, or channels for other ones, or none for one.
    """

    def __init__(self, skeletons: Mapping[str, Skeleton | str], in_channels: Mapping[str, int]) -> None:
        modalities = tuple(skeletons)
        if len(modalities) < 2:
            raise ValueError(f"{type(self).__name__}: modalities are {list(skeletons)}; there must be 2 or more")
        if set(in_channels) != set(skeletons):
            raise ValueError(
                f"{type(self).__name__}: in_channels are for {list(in_channels)}, but the modalities are "
                f"{list(skeletons)}"
            )
        if min(in_channels.values()) < 1:
            raise ValueError(f"{type(self).__name__}: in_channels are {dict(in_channels)}; they must all be 1 or more")
        super().__init__(skeletons[modalities[0]], in_channels[modalities[0]])
        self.modalities = modalities
        self.skeletons = {n: Skeleton.load(s) if isinstance(s, str) else s for n, s in skeletons.items()}
        self.channels = {name: in_channels[name] for name in modalities}

    @property
    def primary(self) -> str:
        """The modality whose frames the features have."""
        return self.modalities[0]

    @abstractmethod
    def features(self, x: Values, mask: Values | None, lengths: Values) -> Tensor:
        """What :meth:`forward` gives, of input that fits.

        Args:
            x: ``[N, T, V, C]`` for each modality.
            mask: ``[N, T, V]`` for each, or None for all observed.
            lengths: Frames of the clips ``[N]`` for each.
        """

    @abstractmethod
    def kept(self, mask: Values, lengths: Values) -> Tensor:
        """The mask of the features ``[N, T', V']``; arguments as those of :meth:`features`."""

    def feature_mask(self, mask: Masks | None) -> Tensor | None:  # type: ignore[override]  # dictionaries
        """The mask of the features ``[N, T', V']``.

        Args:
            mask: The mask of every modality, or None for all observed.

        Raises:
            ValueError: Some have a mask and others don't: how many frames these have only :meth:`encode` knows.
        """
        given = {name: m for name in self.modalities if mask is not None and (m := mask.get(name)) is not None}
        if not given:
            return None
        if len(given) < len(self.modalities):
            raise ValueError(f"feature_mask needs the masks of all of {list(self.modalities)}, not only {list(given)}")
        x, masks = self._with_room({n: m[..., None] for n, m in given.items()}, given)
        assert masks is not None
        return self.kept(masks, self._lengths(x, masks))

    def forward(self, x: Values, mask: Masks | None = None) -> Tensor:  # type: ignore[override]  # dictionaries
        """Encode.

        Args:
            x: ``[N, T, V, C]`` for each modality, with T, V and C of its own.
            mask: True where observed, ``[N, T, V]`` for each; None, for one or for all, = everywhere. What stands in
                ``x`` where it is False, NaN included, changes no output whose mask is True.

        Returns:
            ``[N, T', V', D]`` with ``T' = ceil(T / time_stride)``, T of the primary, and ``D = out_channels``.
        """
        self.check(x, mask)
        x, masks = self._with_room(x, self._filled(x, mask))
        return self.features(x, masks, self._lengths(x, masks))

    def encode(self, x: Values, mask: Masks | None = None) -> Features:  # type: ignore[override]  # dictionaries
        """Features together with their mask; input that doesn't fit is refused as :meth:`check` says."""
        self.check(x, mask)
        x, masks = self._with_room(x, self._filled(x, mask))
        return Features(self(x, masks), self.feature_mask(masks))

    def check(self, x: Values, mask: Masks | None = None) -> None:  # type: ignore[override]  # dictionaries
        """Does the input fit the encoder?

        Raises:
            ValueError: It doesn't; the message says what was expected.
        """
        if not isinstance(x, Mapping) or not set(self.modalities) <= set(x) or not isinstance(mask, Mapping | None):
            given = f"{[list(v) if isinstance(v, Mapping) else type(v).__name__ for v in (x, mask)]}"
            raise ValueError(
                f"{type(self).__name__} takes dictionaries of {list(self.modalities)} as x and mask, not {given}"
            )
        if mask is not None and (unknown := [name for name in mask if name not in self.modalities]):
            raise ValueError(
                f"{type(self).__name__} reads the modalities {list(self.modalities)}, but there are masks of {unknown}"
            )
        n = x[self.primary].shape[0]
        for name in self.modalities:
            values: Tensor = x[name]
            joints, channels = self.skeletons[name].num_joints, self.channels[name]
            if values.ndim != 4 or values.shape[2] != joints or values.shape[3] != channels or values.shape[0] != n:
                raise ValueError(
                    f"{type(self).__name__} was made for the skeleton {self.skeletons[name].name!r} and {channels} "
                    f"channels of {name!r}: x[{name!r}] must be [{n}, T, {joints}, {channels}], but it is "
                    f"{list(values.shape)}"
                )
            seen = None if mask is None else mask.get(name)
            if seen is not None and (seen.dtype != torch.bool or seen.shape != values.shape[:3]):
                raise ValueError(
                    f"the mask of {name!r} must be bool {list(values.shape[:3])}, as x is {list(values.shape)}, but "
                    f"it is {seen.dtype} {list(seen.shape)}"
                )

    def _filled(self, x: Values, mask: Masks | None) -> Values | None:
        """A mask for every modality, or None if there is none for any."""
        if mask is None or all(mask.get(name) is None for name in self.modalities):
            return None
        given = {name: mask.get(name) for name in self.modalities}
        return {n: torch.ones_like(x[n][..., 0], dtype=torch.bool) if m is None else m for n, m in given.items()}

    def _lengths(self, x: Values, mask: Values | None) -> Values:
        """Frames of each modality's clips, ``[N]``; where the primary lacks, those of the first that doesn't."""
        lengths = {name: clip_lengths(x[name], None if mask is None else mask[name]) for name in self.modalities}
        if mask is None:
            return lengths
        room = x[self.primary].shape[1]
        for name in self.modalities[1:]:
            other, of_primary = lengths[name], lengths[self.primary]
            if torch.compiler.is_compiling():  # what is compiled or exported can't make room
                other = other.clamp(max=room)
            lengths[self.primary] = torch.where(of_primary > 0, of_primary, other)
        return lengths

    def _with_room(self, x: Values, mask: Values | None) -> tuple[Values, Values | None]:
        """Pad the primary where a recording without it is longer: nothing may depend on the others' padding."""
        if mask is None or torch.compiler.is_compiling():
            return x, mask
        more = int(self._lengths(x, mask)[self.primary].max()) - x[self.primary].shape[1]
        if more <= 0:
            return x, mask
        padded = F.pad(x[self.primary], (0, 0, 0, 0, 0, more)), F.pad(mask[self.primary], (0, 0, 0, more))
        return {**x, self.primary: padded[0]}, {**mask, self.primary: padded[1]}


class FusionEncoder(MultiModalEncoder):
    """Late fusion: every modality by an encoder of its own, then one feature vector a frame out of all.

    The features of each modality are averaged over what it observed of its joints, brought to the frames of the
    primary one's features, projected to the width of the fusion, and combined frame by frame.

    Args:
        encoders: One for each modality, by name; the first is the primary.
        fusion: What combines them, e.g. :class:`graphnets.nn.fusion.MultiModalFusion`.

    Raises:
        ValueError: ``fusion`` was made for another number of modalities.

    Shapes:
        ``{name: [N, T, V, C]}`` -> ``[N, T', 1, fusion.out_channels]``.

    Example:
        >>> encoders = {"pose": STGCN("kinect20", in_channels=6), "imu": STGCN("imu_axes6", in_channels=1)}
        >>> encoder = FusionEncoder(encoders, MultiModalFusion(width=128, modalities=2))
    """

    def __init__(self, encoders: dict[str, Encoder], fusion: Fusion) -> None:
        super().__init__(
            {name: e.skeleton for name, e in encoders.items()}, {name: e.in_channels for name, e in encoders.items()}
        )
        if fusion.modalities != len(encoders):
            raise ValueError(
                f"the fusion was made for {fusion.modalities} modalities, but there are encoders for "
                f"{len(encoders)}: {list(encoders)}"
            )
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleDict({n: nn.Linear(e.out_channels, fusion.width) for n, e in encoders.items()})
        self.fusion = fusion
        self.out_channels, self.time_stride = fusion.out_channels, encoders[self.primary].time_stride
        self.out_joints = 1

    def encoder(self, name: str) -> Encoder:
        """The encoder of a modality."""
        found = self.encoders[name]
        assert isinstance(found, Encoder)
        return found

    def features(self, x: Values, mask: Values | None, lengths: Values) -> Tensor:
        """See :meth:`MultiModalEncoder.features`."""
        tokens: list[Tensor] = []
        for name in self.modalities:
            encoder = self.encoder(name)
            features = encoder(x[name], None if mask is None else mask[name])
            kept = None if mask is None else encoder.feature_mask(mask[name])
            pooled = masked_mean(features, kept, (2,))[:, :, None]
            if name != self.primary:
                kept = None if kept is None else kept.any(2, keepdim=True)
                pooled = align(pooled, kept, tokens[0].shape[1], *self._spans(name, lengths))[0]
            tokens.append(self.projections[name](pooled))
        present = None if mask is None else self._present(mask, lengths)
        fused: Tensor = self.fusion(torch.cat(tokens, 2), present)
        return fused[:, :, None]

    def kept(self, mask: Values, lengths: Values) -> Tensor:
        """True in frames in which any modality is there, ``[N, T', 1]``."""
        return self._present(mask, lengths).any(2, keepdim=True)

    def _present(self, mask: Values, lengths: Values) -> Tensor:
        """Which modalities are there in the frames of the features, ``[N, T', M]``."""
        found: list[Tensor] = []
        for name in self.modalities:
            kept = self.encoder(name).feature_mask(mask[name])
            assert kept is not None
            kept = kept.any(2, keepdim=True)
            if name != self.primary:
                kept = align(kept[..., None].float(), kept, found[0].shape[1], *self._spans(name, lengths))[1]
            found.append(kept)
        return torch.cat(found, 2)

    def _spans(self, name: str, lengths: Values) -> tuple[Tensor, Tensor, int, int]:
        """Lengths and strides of a modality and of the primary, as ``align`` takes them."""
        return lengths[name], lengths[self.primary], self.encoder(name).time_stride, self.time_stride


class EarlyFusion(MultiModalEncoder):
    """Early fusion: the nodes of all modalities in one graph, read by one encoder.

    The channels of each modality are normalised over what was observed and mapped to those of the encoder, its frames
    are brought to the primary's, and its nodes put behind those of the modalities before it.

    Args:
        encoder: Made for the joined skeletons, e.g. ``"kinect20+imu_axes6"`` (:meth:`Skeleton.join` puts edges between
            them elsewhere). Its ``in_channels`` is the width all modalities are mapped to.
        skeletons: The graph of each modality, or the name or file of one; in the order of their joints in the
            encoder's. The first is the primary.
        in_channels: The channels of each modality.

    Raises:
        ValueError: The joints of the encoder's skeleton are not those of the modalities, one after the other.

    Shapes:
        ``{name: [N, T, V, C]}`` -> ``[N, T', V', encoder.out_channels]``.
    """

    def __init__(self, encoder: Encoder, skeletons: dict[str, Skeleton | str], in_channels: dict[str, int]) -> None:
        super().__init__(skeletons, in_channels)
        # A checkpoint can't count on a file of the user's.
        built_in = Skeleton.available()
        self.init_args["skeletons"] = {n: s if s in built_in else self.skeletons[n] for n, s in skeletons.items()}
        joints = [(joint, s.name) for s in self.skeletons.values() for joint in s.joints]
        inner = encoder.skeleton.joints
        if len(inner) != len(joints) or any(i not in (j, f"{s}.{j}") for i, (j, s) in zip(inner, joints, strict=True)):
            names = "+".join(skeleton.name for skeleton in self.skeletons.values())
            raise ValueError(
                f"EarlyFusion: the joints of the encoder's skeleton {encoder.skeleton.name!r} must be those of "
                f"{names}, one after the other, but they are {list(inner)}"
            )
        self.norms = nn.ModuleDict(
            {n: MaskedBatchNorm(c, joints=self.skeletons[n].num_joints) for n, c in self.channels.items()}
        )
        self.projections = nn.ModuleDict({n: nn.Linear(c, encoder.in_channels) for n, c in self.channels.items()})
        self.encoder = encoder
        self.out_channels, self.time_stride = encoder.out_channels, encoder.time_stride
        self.out_joints = encoder.out_joints

    def features(self, x: Values, mask: Values | None, lengths: Values) -> Tensor:
        """See :meth:`MultiModalEncoder.features`."""
        frames = x[self.primary].shape[1]
        nodes = []
        for name in self.modalities:
            seen = None if mask is None else mask[name]
            values = self.norms[name](x[name], seen)
            if name != self.primary:
                values = align(values, seen, frames, lengths[name], lengths[self.primary])[0]
            nodes.append(self.projections[name](values))
        y: Tensor = self.encoder(torch.cat(nodes, 2), None if mask is None else self._joined(mask, lengths))
        return y

    def kept(self, mask: Values, lengths: Values) -> Tensor:
        """What the encoder makes of the joined mask."""
        kept = self.encoder.feature_mask(self._joined(mask, lengths))
        assert kept is not None
        return kept

    def _joined(self, mask: Values, lengths: Values) -> Tensor:
        """The mask of all nodes in the frames of the primary, ``[N, T, V]``."""
        found = [mask[self.primary]]
        for name in self.modalities[1:]:
            span = mask[self.primary].shape[1], lengths[name], lengths[self.primary]
            found.append(align(mask[name][..., None].float(), mask[name], *span)[1])
        return torch.cat(found, 2)
