"""Video files for the tests, written with the plain library calls (not with our own writer)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.filter import Graph
from av.video.reformatter import Colorspace

_MATRICES = {
    1: Colorspace.ITU709,
    5: Colorspace.ITU624,
    6: Colorspace.SMPTE170M,
    9: Colorspace.BT2020,
}

ENCODER_OPTIONS = {
    "libx264": {"g": "250", "bf": "3", "b-pyramid": "normal", "qp": "20"},
    "ffv1": {"level": "3", "slicecrc": "1"},
    "libx265": {"x265-params": "log-level=none:keyint=30"},
}


def pictures(count: int, *, size: tuple[int, int] = (48, 64), seed: int = 0) -> list[np.ndarray]:
    """(H, W, 3) uint8 frames of a smooth random texture that slides; all differ."""
    height, width = size
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 2, (width + 2 * count) // 8 + 2, 3))
    wide = np.kron(coarse, np.ones((8, 8, 1), int)).astype(np.uint8)
    return [np.ascontiguousarray(wide[:height, 2 * i : 2 * i + width]) for i in range(count)]


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    ticks: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 24),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    tone: str | None = None,
    tone_seconds: float = 1.0,
    raw_format: str = "rgb24",
    flips: tuple[bool, bool] = (False, False),
    describe: Mapping[str, Any] | None = None,
    fields: str | None = None,
) -> Path:
    """Encode `frames`, shown at `ticks` * `time_base`; `tone`: codec of a sine as sound track.

    flips: horizontal and vertical, in the display matrix. describe: attributes of the encoder
    (color_trc, sample_aspect_ratio, ...). fields: "tff" or "bff": coded and marked as interlaced.
    """
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        merged = {**ENCODER_OPTIONS.get(codec, {}), **(options or {})}
        if fields and codec == "libx264":
            merged["x264-params"] = f"{fields}=1"
        stream = container.add_stream(codec, rate=24, options=merged)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = stream.time_base = time_base
        if rotation or any(flips):
            stream.set_display_rotation(rotation, *flips)
        for name, value in (describe or {}).items():
            setattr(stream.codec_context, name, value)
        if fields:
            stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            stream.codec_context.field_order = 2 if fields == "tff" else 3
        mark = field_marker((height, width), pixel_format, time_base, fields) if fields else None
        sound = container.add_stream(tone, rate=44100, layout="mono") if tone else None
        for index, rgb in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(rgb, format=raw_format)
            full = (describe or {}).get("color_range") == 2
            picture = picture.reformat(
                format=pixel_format,
                dst_colorspace=_MATRICES.get((describe or {}).get("colorspace", 0)),
                dst_color_range=2 if full else None,
            )
            picture.pts = ticks[index] if ticks is not None else index
            picture.time_base = time_base
            if mark is not None:
                mark.push(picture)
                picture = mark.pull()
            container.mux(stream.encode(picture))
        if sound is not None:
            samples = np.arange(int(44100 * tone_seconds))
            wave = (8000 * np.sin(samples * 0.06)).astype(np.int16)[None]
            for at in range(0, wave.shape[1], 1024):
                chunk = av.AudioFrame.from_ndarray(wave[:, at : at + 1024], "s16", "mono")
                chunk.sample_rate, chunk.pts = 44100, at
                chunk.time_base = Fraction(1, 44100)
                container.mux(sound.encode(chunk))
            container.mux(sound.encode(None))
        container.mux(stream.encode(None))
    return path


def field_marker(
    size: tuple[int, int], pixel_format: str, time_base: Fraction, fields: str
) -> Graph:
    """A filter that marks pictures as interlaced."""
    graph = Graph()
    source = graph.add_buffer(
        width=size[1], height=size[0], format=pixel_format, time_base=time_base
    )
    mark, sink = graph.add("setparams", f"field_mode={fields}"), graph.add("buffersink")
    graph.link_nodes(source, mark, sink).configure()
    return graph


def woven(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Interlaced pictures: rows 0, 2, ... of one frame and 1, 3, ... of the next."""
    pairs = [(a.copy(), b) for a, b in zip(frames[::2], frames[1::2], strict=True)]
    for a, b in pairs:
        a[1::2] = b[1::2]
    return [a for a, _ in pairs]


def sound_packets(path: Path) -> list[tuple[float, bytes]]:
    """(seconds, content) of every packet of the first sound track."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [
            (float(p.pts * p.time_base), bytes(p))
            for p in container.demux(stream)
            if p.size and p.pts is not None
        ]
