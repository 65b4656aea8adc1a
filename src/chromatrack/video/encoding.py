"""How video files are encoded: which codec, how well, and what they say about their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace

from chromatrack.errors import InputError, OutputError
from chromatrack.video.display import UNSPECIFIED, Display

Codec = Literal["h264", "ffv1", "prores", "prores4444"]

ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {}),
    "ffv1": ("ffv1", "bgr0", {"level": "3", "slicecrc": "1"}),
    "prores": ("prores_ks", "yuv422p10le", {"profile": "3", "vendor": "apl0"}),
    "prores4444": (
        "prores_ks",
        "yuva444p10le",
        {"profile": "4", "alpha_bits": "16", "vendor": "apl0"},
    ),
}
SUFFIXES: dict[str, tuple[str, ...]] = {
    ".mp4": ("h264",),
    ".m4v": ("h264",),
    ".mkv": ("ffv1", "h264", "prores"),
    ".mov": ("prores", "h264", "prores4444"),
    ".avi": ("ffv1",),
}
"""Per file suffix: the codec it means by itself, then those it takes on request."""

_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU624,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
"""Matrices (code points of H.273) that pictures can be encoded with; else BT.709."""
_BT709 = 1
_DEEP_FORMATS = {
    "h264": "yuv420p10le",
    "ffv1": "gbrp16le",
    "prores": "yuv422p10le",
    "prores4444": "yuva444p10le",
}
WITH_ALPHA = ("prores4444",)
"""Codecs whose pictures have a fourth channel, how opaque they are."""
Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]


@dataclass(frozen=True)
class Quality:
    """Of H.264 files; the other kinds have one quality.

    crf: 0 (best) to 51. preset: of x264, how much time to spend on a smaller file.

    Raises InputError for a value that is not among these.
    """

    crf: int = 18
    preset: Preset = "veryfast"

    def __post_init__(self) -> None:
        """Check both."""
        if not 0 <= self.crf <= 51 or self.preset not in get_args(Preset):
            raise InputError(
                f"expected crf in 0..51 and preset {', '.join(get_args(Preset))}, got "
                f"crf={self.crf}, preset={self.preset!r}"
            )


USUAL = Quality()


@dataclass(frozen=True)
class Encoding:
    """How the pictures of one file are encoded.

    codec: of the file. display: what is to be said of the pictures. size: (height, width).
    is_deep: of more than 8 bits. yuv: the pixel format that keeps the source's Y' to the bit;
    None: the codec's usual one. yuv_full: its black is 0.
    """

    codec: str
    display: Display
    size: tuple[int, int]
    is_deep: bool
    yuv: str | None = None
    yuv_full: bool = False

    @property
    def pixel_format(self) -> str:
        """As FFmpeg calls it."""
        if self.yuv is not None:
            return self.yuv
        return _DEEP_FORMATS[self.codec] if self.is_deep else ENCODERS[self.codec][1]

    @property
    def matrix(self) -> Colorspace | None:
        """The matrix that pictures are encoded with; None: they stay RGB."""
        return None if self._is_rgb else _MATRICES[self.matrix_code]

    @property
    def _is_rgb(self) -> bool:
        return self.codec == "ffv1" and self.yuv is None

    @property
    def matrix_code(self) -> int:
        """Of H.273, as the file states it."""
        code = self.display.color_matrix
        return code if code in _MATRICES else _BT709

    @property
    def range(self) -> ColorRange | None:
        """The range of levels; None for RGB."""
        if self._is_rgb:
            return None
        is_full = self.display.full_range and self.codec == "h264"
        is_full = is_full if self.yuv is None else self.yuv_full
        return ColorRange.JPEG if is_full else ColorRange.MPEG

    @property
    def is_interlaced(self) -> bool:
        """Whether the file says that pictures are two fields; H.264 takes whole groups of rows."""
        fits = self.codec != "h264" or self.size[0] % 4 == 0
        return self.display.field_order != "progressive" and fits

    def options(self, quality: Quality) -> dict[str, str]:
        """Of the encoder."""
        options = dict(ENCODERS[self.codec][2])
        if self.codec == "h264":
            options |= {"crf": str(quality.crf), "preset": quality.preset}
            more = [f"{self.display.field_order[0]}ff=1"] * self.is_interlaced  # t or b
            if more := more + _same_every_time():
                options["x264-params"] = ":".join(more)
        return options

    def describe(self, context: VideoCodecContext) -> None:
        """State how the pictures are to be shown."""
        shown = self.display
        if shown.pixel_shape != 1:
            context.sample_aspect_ratio = shown.pixel_shape
        if self.range is not None:
            context.colorspace, context.color_range = self.matrix_code, self.range
            context.color_primaries = _stated(shown.color_primaries) or _BT709
            context.color_trc = _stated(shown.color_trc) or _BT709
        elif _stated(shown.color_primaries):
            context.color_primaries = shown.color_primaries
            context.color_trc = shown.color_trc
        if self.is_interlaced:
            context.field_order = 2 if shown.field_order == "top first" else 3
            if self.codec == "h264":
                context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            elif self.codec == "prores":
                context.flags |= Flags.interlaced_dct


@cache
def _same_every_time() -> list[str]:
    """Options of x264 with which the same pictures always become the same bytes.

    On CPUs with AVX-512 its look-ahead takes in what was left in memory: one in eight files of a
    clip of 480 lines and one in twenty of small pictures differed from the others. With the paths
    of AVX2 all are the same, in the same time.
    """
    from torch.backends.cpu import get_cpu_capability

    return ["asm=AVX2"] * (get_cpu_capability() == "AVX512")


def _stated(code: int) -> int:
    """A code point of H.273, 0 where it says nothing."""
    return 0 if code in (0, UNSPECIFIED) else code


def codec_for(path: Path, codec: str | None) -> str:
    """The codec of a file by its suffix, or the one asked for. InputError where they do not fit."""
    taken = SUFFIXES.get(path.suffix.lower())
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a video file")
    if taken is None:
        raise InputError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; "
            f"expected {', '.join(SUFFIXES)}, or a folder or *.png for images"
        )
    if codec is not None and codec not in taken:
        raise InputError(f"{path}: a {path.suffix} file takes {', '.join(taken)}, not {codec!r}")
    return codec or taken[0]
