"""What is known of FFmpeg's demuxers and codecs beforehand, by their names."""

from __future__ import annotations

from collections.abc import Callable

NOT_VIDEO = frozenset(["ansi", "bintext", "xbin", "idf"])  # FFmpeg "plays" text files with these
ONE_PACKET_PER_FRAME = frozenset(["h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "ffv1"])
RESUMES: dict[str, Callable[[int], float]] = {
    "matroska": lambda size: size + 32,
    "flv": lambda size: size + 20,
    "mpegts": lambda size: 1.05 * size + 188,
    "gif": lambda size: size,
}
"""Demuxers that silently resume behind a hole; file bytes that a packet of a size takes up."""
BARE = frozenset(
    [
        "h264",
        "hevc",
        "vvc",
        "obu",
        "m4v",
        "mpegvideo",
        "mjpeg",
        "h263",
        "h261",
        "dirac",
        "cavsvideo",
        "vc1",
    ]
)
"""Demuxers of bare streams, which state no times."""
