"""Colouring: ab copied from reference pictures under each frame's own luminance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from chromatrack.errors import DamagedVideoError
from chromatrack.model.encoder import Encoder, normalize_lab
from chromatrack.ops.affinity import SparseAffinity
from chromatrack.ops.color import grey_of_light, lab_to_rgb, rgb_to_lab
from chromatrack.ops.compiled import can_compile
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.paint import painted_under
from chromatrack.ops.resample import (
    interleaved,
    interleaved_deep,
    planes,
    resize,
    to_cells,
    upsample_guided,
)
from chromatrack.ops.whole_search import WholeSearch
from chromatrack.propagation.memory_bank import MemoryBank
from chromatrack.propagation.propagate import Input, Propagated, Propagator
from chromatrack.structures import Source
from chromatrack.tracking.color_agreement import agreed_colors
from chromatrack.tracking.color_before import (
    KnownColors,
    share_between,
    share_of,
    span_before,
    spans_between,
)
from chromatrack.tracking.color_carry import CarriedColors, Estimate, calmed, copied_estimate
from chromatrack.tracking.color_detail import Places, laid_at, places_over
from chromatrack.tracking.color_faded import FadedColors, against, joined
from chromatrack.tracking.color_motion import FollowedPlaces, FrameMotion
from chromatrack.tracking.color_reliability import (
    ColorSignals,
    chance_right,
    color_signals,
    estimate_color,
)
from chromatrack.tracking.cores import is_ahead_worth_it
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.mark_checks import reference_frame
from chromatrack.video.ahead import ahead
from chromatrack.video.pixel_format import to_8_bit
from chromatrack.video.reader import Frame, read_frame, read_frames

_T = TypeVar("_T")

SEARCHED = 3
"""One cell of so many times so many is sought in the whole references in turn."""

OTHERS = 3.0
"""How much higher the confidence floor is where all pictures are of other scenes."""


@dataclass(frozen=True)
class ColorizedFrame:
    """One coloured frame.

    rgb: `(H, W, 3)` uint8. entropy: mean pointer entropy, [0, 1]. reliability: chance, [0, 1], that
    the colours are right (`color_reliability.RIGHT`), estimated without knowing them, by signals.
    deep: the frame as `(H, W, 3)` uint16 where the source has more than 8 bits, else None.
    ab: `(2, H', W')` float32 Lab units, its colours at the working size. confidence: `(H', W')`
    float32 in [0, 1], chance that each is right (`color_reliability.chance_right`).
    """

    index: int
    pts_seconds: float
    rgb: np.ndarray
    entropy: float
    duration_seconds: float | None = None
    reliability: float = 0.0
    signals: ColorSignals | None = None
    deep: np.ndarray | None = None
    ab: np.ndarray | None = None
    confidence: np.ndarray | None = None


def colorize_frames(
    embedder: FrameEmbedder,
    video: Source,
    pictures: Sequence[tuple[np.ndarray, int | None]],
    start: int,
    end: int | None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[ColorizedFrame]:
    """`Tracker.colorize` with its pictures read: rgb `(H, W, 3)` uint8, frame index or None."""
    spec = embedder.spec
    first = read_frame(video, index=start).rgb
    encoder = embedder.for_clip(embedder.lab(first), grey=True)

    def encode(images: Tensor) -> Tensor:
        return torch.stack([embed_grey(encoder, rgb_to_lab(image)) for image in images])

    propagator = Propagator(encode, spec, embedder.config.color)
    propagator.search.whole = WholeSearch(SEARCHED)
    colored: dict[int, Tensor] = {}
    cells: dict[int, Tensor] = {}
    passed = 0  # frames of all passes

    def tell() -> None:
        if progress is not None:
            progress(passed, total)

    coloring = embedder.config.coloring
    faded = FadedColors() if coloring.faded else None
    for number, (rgb, index) in enumerate(pictures):
        if index is None and shows_same(rgb, first):
            index = start
        lab = embedder.lab(fit_picture(rgb, first.shape[:2]))
        if index is None:
            lab = fit_light(lab, embedder.lab(first))
        grey = lab if index is None else embedder.lab(reference_frame(video, index).rgb)
        picture = torch.cat([grey[:1], lab[1:]])
        key = index if index is not None else -1 - number
        cells[key] = to_cells(picture[None], spec)[0]
        features = embed_grey(encoder, grey)
        propagator.bank.mark(key, features, cells[key][1:], whole_frame=index is None)
        if index is not None:  # other scenes fit by chance alone: patches of wrong colours
            colored[key] = picture
            if faded is not None:
                faded.learn(grey, picture[1:])
    carried = CarriedColors(spec)
    floor = coloring.confidence_floor if colored else min(1.0, OTHERS * coloring.confidence_floor)
    lights = {index: lab[:1] for index, lab in cells.items()}

    known: dict[int, KnownColors] = {}

    def is_known(index: int) -> bool:
        return index in known and known[index].share == 1

    @torch.inference_mode()
    def lit(frame: Frame) -> tuple[Frame, Tensor]:
        """With its Lab, but for the ab that nothing looks at."""
        lab = embedder.lab(frame.rgb)
        return frame, lab[:1].clone() if faded is None else lab

    @torch.inference_mode()
    def embedded(given: tuple[Frame, Tensor]) -> tuple[Input, Tensor]:
        (frame, lab), features = given, None
        image = lab[:1].expand(3, -1, -1)  # all that is looked at
        if not is_known(frame.index):
            features = embed_grey(encoder, image)
        return Input(frame.index, image, None, frame, features), lab

    @torch.inference_mode()
    def searched(embedded: tuple[Input, Tensor], way: _Way) -> _Searched:
        frame, lab = embedded
        if is_known(frame.index):
            way.motion.forget()
            return _Searched(frame, lab)
        step = propagator.step(frame)
        assert step.features is not None
        motion = way.motion.step(step.features, lab[:1]) if coloring.carry else None
        return _Searched(frame, lab, step, motion)

    @torch.inference_mode()
    def copied(searched: _Searched, way: _Way) -> _Copied:
        frame, lab, step, motion = searched.frame, searched.lab, searched.step, searched.motion
        light = lab[:1]
        if step is None:
            seen = known.pop(frame.index)
            return _Copied(frame.frame, light, True, seen.estimate(), seen.signals)
        assert step.features is not None
        also = None
        if frame.index in colored:
            found = Estimate.given(colored[frame.index][1:])
            way.places.given(frame.index, step.features)
        else:
            found = estimated(
                step,
                propagator.bank,
                colored,
                cells,
                spec=spec,
                light=light,
                way=(way.places, motion),
            )[1]
            if faded is not None:
                if not colored:
                    faded.learn(lab, found.ab, found.confidence.square())
                weak = faded.estimate(lab)
                found, also = joined(found, weak), partial(against, faded=weak)
        own = to_cells(light[None], spec)[0]
        signals = color_signals(step, propagator.bank, lights, own)
        return _Copied(frame.frame, light, False, found, signals, motion, also)

    # each step of the way to a frame's colours is done in a thread of its own, frame by frame
    is_ahead = is_ahead_worth_it(embedder.device)

    def copies(frames: Iterable[tuple[Frame, Tensor]], way: _Way) -> Iterator[_Copied]:
        found = in_thread(map(embedded, frames))
        sought = map(partial(searched, way=way), found)
        # where memory changes from frame to frame, what copies must see it as it was searched
        sought = in_thread(sought) if embedder.config.color.recent == 0 else sought
        return in_thread(map(partial(copied, way=way), sought))

    def in_thread(items: Iterator[_T]) -> Iterator[_T]:
        return ahead(items, depth=1) if is_ahead else items

    def back_over(span: range, share: Callable[[int], float]) -> dict[int, KnownColors]:
        """Colours of the frames of a span, carried back from the reference behind it."""
        nonlocal passed
        after = passed + len(span)
        found, back, way = {}, CarriedColors(spec), _Way.of(embedder)
        picture = colored[span.stop]
        with torch.inference_mode():
            features = embed_grey(encoder, picture)
            way.motion.step(features, picture[:1])
            way.places.given(span.stop, features)
        back.keep(picture[:1], Estimate.given(picture[1:]))
        blank = np.zeros((0, 0, 3), np.uint8)
        frames, held = read_frames(video, start=span.start, end=span.stop), []
        with suppress(DamagedVideoError):  # told where the frames are coloured, and no pass then
            for frame in frames:
                held.append((replace(frame, rgb=blank), lit(frame)[1]))
                tell()
        for one in copies((held.pop() for _ in range(len(held))), way):
            settled = back.step(one.light, one.estimate, one.motion, also=one.also)
            known_share = share(one.frame.index)
            found[one.frame.index] = KnownColors.of(settled, one.signals, known_share)
            passed += 1
            tell()
        passed = after
        return found

    goes_back = coloring.carry and embedder.config.color.recent == 0
    span = span_before(colored, start, end) if goes_back else range(0)
    between = spans_between(colored, start, end) if goes_back else []
    total = None if end is None else end - start + len(span) + sum(map(len, between))
    if span:
        known.update(back_over(span, partial(share_of, span=span, start=start)))

    def forth() -> Iterator[_Copied]:
        """All frames in order; at the beginning of a span, its frames are coloured backwards."""
        way, at = _Way.of(embedder), start
        frames = map(lit, read_frames(video, start=start, end=end, deep=True))
        for span in between:
            yield from copies(islice(frames, span.start - at), way)
            at = span.start
            joins.update(back_over(span, partial(share_between, span=span)))
        yield from copies(frames, way)

    joins: dict[int, KnownColors] = {}
    for one in forth():
        frame, light = one.frame, one.light
        if one.is_known:
            settled = one.estimate
        elif frame.index in colored:
            settled = carried.keep(light, one.estimate)
        elif coloring.carry:
            settled = carried.step(light, one.estimate, one.motion, also=one.also)
        else:
            settled = one.estimate
        if frame.index in known:
            settled = known.pop(frame.index).over(settled)
        if frame.index in joins:
            settled = joins.pop(frame.index).joined(settled)
        ab = calmed(settled, floor=floor)
        painted = paint(frame.rgb if frame.deep is None else frame.deep, ab, light=light)
        passed += 1
        yield ColorizedFrame(
            frame.index,
            frame.pts_seconds,
            to_8_bit(painted),
            one.signals.entropy,
            frame.duration_seconds,
            reliability=estimate_color(one.signals),
            signals=one.signals,
            deep=None if frame.deep is None else painted,
            ab=ab.cpu().numpy(),
            confidence=chance_right(settled.confidence)[0].cpu().numpy(),
        )
        tell()


@dataclass(frozen=True)
class _Searched:
    """A frame with where its cells were found in the references, and in the frame before.

    lab: `(1 or 3, H', W')` at the working size. step: None where its colours are known.
    """

    frame: Input
    lab: Tensor
    step: Propagated | None = None
    motion: Places | None = None


@dataclass(frozen=True)
class _Copied:
    """A frame with what the references say of it. light: `(1, H', W')` L at the working size.

    is_known: its colours are those of a pass that went back. motion: where its cells lie in the
    frame before. also: what else weighs the colours carried to it.
    """

    frame: Frame
    light: Tensor
    is_known: bool
    estimate: Estimate
    signals: ColorSignals
    motion: Places | None = None
    also: Callable[[Estimate], Estimate] | None = None


@dataclass(frozen=True)
class _Way:
    """What one pass over the frames remembers of the frame before, but for its colours."""

    motion: FrameMotion
    places: FollowedPlaces

    @classmethod
    def of(cls, embedder: FrameEmbedder) -> _Way:
        """At its beginning."""
        motion = FrameMotion(embedder.spec, embedder.config.color.temperature)
        return cls(motion, FollowedPlaces(embedder.spec))


@torch.inference_mode()
def estimated(
    step: Propagated,
    bank: MemoryBank,
    colored: Mapping[int, Tensor],
    cells: Mapping[int, Tensor],
    *,
    spec: FeatureSpec,
    light: Tensor | None = None,
    way: tuple[FollowedPlaces, Places | None] | None = None,
) -> tuple[Tensor, Estimate]:
    """L `(1, H, W)` of a frame at the working size, whose own ab is not looked at, and its copies.

    Args:
        bank: with the frames that it was copied from.
        coloured: Lab `(3, H, W)` of the reference pictures that are frames of the video, by their
            index: the frame's own luminance and the picture's ab.
        cells: Lab `(3, h, w)` of the cells of all reference pictures.
        light: `(1, H, W)` L of the frame, if it is known.
        way: where the cells of the frame before lay in the pictures, which goes on to this frame's,
            and where its own lie in that frame.
    """
    assert step.label_map is not None and step.pointer is not None
    light = rgb_to_lab(step.input.image)[:1] if light is None else light
    own = to_cells(light[None], spec)[0]
    colors = step.label_map
    if not colored and step.features is not None:
        colors = agreed_colors(step.features, own, colors)
    copied = upsample_guided(colors, grey_of_light(light), spec=spec)
    held = {reference.index: reference.label_map for reference in bank.rolling}
    # own L stands in for a recent frame's, and own colours for those of the one just forgotten
    maps = [
        cells[index] if index in cells else torch.cat([own, held.get(index, step.label_map)])
        for index in step.copied_from
    ]
    laid = None
    if isinstance(step.pointer, SparseAffinity):  # over all cells: no few to look at closely
        pictures = [colored.get(index) for index in step.copied_from]
        keys = [index for index in step.copied_from if index in colored]
        known = None if way is None else way[0].moved(way[1], keys)
        places = places_over(step.pointer, light, pictures, spec=spec, followed=known)
        if way is not None:
            way[0].keep(places, keys)
        if places is not None:
            laid = laid_at(places, light, pictures, spec=spec)
    now = step.input.index
    apart = [float(abs(now - i)) if i in colored else None for i in step.copied_from]
    return light, copied_estimate(
        step.pointer, copied, light, torch.stack(maps), laid, apart=apart, spec=spec
    )


def fit_light(lab: Tensor, like: Tensor) -> Tensor:
    """A picture of another scene whose luminance is spread as the film's: Lab `(3, H, W)`.

    Source: statistics transferred as by Reinhard et al. 2001, of L alone: a film has no other.
    """
    light, theirs = lab[:1], like[:1]
    scale = (theirs.std() / light.std().clamp(min=1.0)).clamp(0.5, 2.0)
    fitted = ((light - light.mean()) * scale + theirs.mean()).clamp(0, 100)
    return torch.cat([fitted, lab[1:]])


@torch.inference_mode()
def embed_grey(encoder: Encoder, lab: Tensor) -> Tensor:
    """Feature map `(C, h, w)` from L alone: Lab `(3, H, W)`."""
    grey = normalize_lab(lab) * lab.new_tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    return encoder.embed(grey[None])[0]


def paint(rgb: np.ndarray, ab: Tensor, *, light: Tensor | None = None) -> np.ndarray:
    """Give a frame new colours under its own luminance.

    Args:
        rgb: `(H, W, 3)` uint8 or uint16. ab: `(2, h, w)` float, Lab units; of another size it is
            read between its pixels.
        light: `(1, h, w)` L that ab was made for: then colours end where the frame has its edges.

    Returns:
        `(H, W, 3)` of the same dtype; colours that sRGB cannot show at that luminance are made
        paler.
    """
    if can_compile(ab) and rgb.dtype in (np.uint8, np.uint16):
        return painted_under(rgb, ab, None if light is None else light[0])
    is_deep = rgb.dtype == np.uint16
    levels = rgb.astype(np.int32) if is_deep else rgb
    image = planes(levels).to(ab.device).float() / (65535 if is_deep else 255)
    lightness = rgb_to_lab(image)[:1]
    painted = lab_to_rgb(torch.cat([lightness, resize(ab, rgb.shape[:2])]), gamut="desaturate")
    return interleaved_deep(painted) if is_deep else interleaved(painted)


def fit_picture(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale and centre-crop a picture to `size`, so that all references share the frame's cells."""
    if rgb.shape[:2] == tuple(size):
        return rgb
    image = ImageOps.fit(Image.fromarray(rgb), (size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(image)


def shows_same(rgb: np.ndarray, frame: np.ndarray, *, least: float = 0.95) -> bool:
    """Whether a picture shows the very frame: correlation of 64x64 luminance thumbnails."""
    thumbs = [
        np.asarray(Image.fromarray(x).convert("L").resize((64, 64)), dtype=np.float64).ravel()
        for x in (rgb, frame)
    ]
    spread = [thumb.std() for thumb in thumbs]
    if min(spread) < 1e-6:
        return False
    a, b = (thumb - thumb.mean() for thumb in thumbs)
    return float((a * b).mean() / (spread[0] * spread[1])) >= least
