"""Carries the sound of a source over into a video being written, in step with its frames."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from chromatrack.video.decode import open_input

_COPIED = {
    ".mp4": frozenset(["aac", "mp3", "ac3", "eac3", "alac", "opus"]),
    ".m4v": frozenset(["aac", "mp3", "ac3", "eac3", "alac"]),
    ".mov": frozenset(["aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"]),
    ".avi": frozenset(["mp3", "ac3", "pcm_s16le"]),
}
"""Sound that a container takes as it is; mkv takes every kind. The rest becomes AAC."""
_AAC_RATES = frozenset([8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])


class AudioTrack:
    """The first sound track of `source`, copied packet by packet or, where it must be, as AAC.

    Time 0 of the output is `start_seconds` of the source; sound before it is left out.
    """

    def __init__(
        self, source: InputContainer, output: OutputContainer, *, suffix: str, start_seconds: float
    ) -> None:
        self._source, self._output = source, output
        self._start_seconds = start_seconds
        self._suffix = suffix
        stream = source.streams.audio[0]
        codec = stream.codec_context.codec.canonical_name
        self._is_copy = suffix == ".mkv" or codec in _COPIED[suffix]
        if self._is_copy:
            self._target: AudioStream = output.add_stream_from_template(stream)
        else:
            rate = stream.codec_context.sample_rate
            self._target = output.add_stream("aac", rate=rate if rate in _AAC_RATES else 48000)
            layout = stream.codec_context.layout
            name = {1: "mono", 2: "stereo"}.get(layout.nb_channels, layout.name)
            self._target.codec_context.layout = name
        packets = self._copied(stream) if self._is_copy else self._encoded(stream)
        self._packets = _until_damage(packets, source.name)
        self._waiting: av.Packet | None = None

    def advance(self, until_seconds: float) -> None:
        """Write the sound up to a time of the output."""
        while True:
            self._waiting = packet = self._waiting or next(self._packets, None)
            if packet is None:
                return
            if packet.pts is not None and packet.pts * packet.time_base >= until_seconds:
                return
            self._waiting = None
            packet.stream = self._target
            self._output.mux(packet)

    def close(self) -> None:
        """Release the source."""
        self._source.close()

    def _copied(self, stream: AudioStream) -> Iterator[av.Packet]:
        for packet in self._source.demux(stream):
            if packet.size == 0 or packet.pts is None:
                continue
            shift = round(self._start_seconds / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts
            # A copy from the very start keeps the encoder's priming (negative times), except in
            # mkv, which would push the pictures back instead.
            if packet.pts < 0 and (self._start_seconds > 0 or self._suffix == ".mkv"):
                continue
            yield packet

    def _encoded(self, stream: AudioStream) -> Iterator[av.Packet]:
        context = self._target.codec_context
        resampler = av.AudioResampler("fltp", context.layout, context.sample_rate)
        for frame in self._source.decode(stream):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(self._start_seconds / frame.time_base)
                if frame.pts < 0:
                    continue
            for piece in resampler.resample(frame):
                yield from context.encode(piece)
        yield from context.encode(None)


def _until_damage(packets: Iterator[av.Packet], path: str) -> Iterator[av.Packet]:
    try:
        yield from packets
    except FFmpegError as error:
        warnings.warn(f"{path}: its sound is damaged and ends early ({error})", stacklevel=2)


def open_audio(path: str) -> InputContainer | None:
    """The container, if it has a sound track that can be decoded or copied; else None."""
    try:
        container = open_input(f"file:{path}")
    except (FFmpegError, OSError):
        return None
    streams = container.streams.audio
    if streams and streams[0].codec_context is not None and streams[0].codec_context.sample_rate:
        return container
    if streams:
        warnings.warn(f"{path}: its sound cannot be read and is left out", stacklevel=3)
    container.close()
    return None
