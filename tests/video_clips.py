"""Video files for the tests, written with the plain library calls (not with our own writer)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

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
) -> Path:
    """Encode `frames`, shown at `ticks` * `time_base`; `tone`: codec of a sine as sound track."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        merged = {**ENCODER_OPTIONS.get(codec, {}), **(options or {})}
        stream = container.add_stream(codec, rate=24, options=merged)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = stream.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        sound = container.add_stream(tone, rate=44100, layout="mono") if tone else None
        for index, rgb in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(rgb, format=raw_format)
            picture = picture.reformat(format=pixel_format)
            picture.pts = ticks[index] if ticks is not None else index
            picture.time_base = time_base
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


def sound_packets(path: Path) -> list[tuple[float, bytes]]:
    """(seconds, content) of every packet of the first sound track."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [
            (float(p.pts * p.time_base), bytes(p))
            for p in container.demux(stream)
            if p.size and p.pts is not None
        ]
