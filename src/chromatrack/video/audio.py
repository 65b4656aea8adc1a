"""Carries the sound of a source over into a video being written, in step with its frames."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from chromatrack.video.decode import file_url, open_input

_COPIED = {
    ".mp4": frozenset(["aac", "mp3", "ac3", "eac3", "alac", "opus"]),
    ".m4v": frozenset(["aac", "mp3", "ac3", "eac3", "alac"]),
    ".mov": frozenset(
        [
            "aac",
            "mp3",
            "ac3",
            "eac3",
            "alac",
            "pcm_s16le",
            "pcm_s16be",
            "pcm_s24le",
            "pcm_s24be",
            "pcm_s32le",
            "pcm_f32le",
        ]
    ),
    ".avi": frozenset(["mp3", "ac3", "pcm_s16le"]),
}
"""Sound that a container takes as it is; mkv takes every kind. The rest becomes AAC."""
_LOSSLESS = frozenset(["flac", "mlp", "truehd", "wavpack", "tta", "ape"])
"""Sound that stays without loss in mov, as PCM; so does every other PCM."""
_AAC_RATES = frozenset([8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])


class AudioTrack:
    """The first sound track of a source, copied packet by packet or, where it must be, encoded.

    What is lossless becomes PCM in mov, all else AAC.

    zeros: what FFmpeg opens for each recording of the source (one, unless it is a joined transport
    stream), and the time in it that is time 0 of the output; sound before that is left out.
    source: the whole file, open.
    """

    def __init__(
        self,
        source: InputContainer,
        output: OutputContainer,
        *,
        suffix: str,
        zeros: Sequence[tuple[str, float]],
    ) -> None:
        self._source, self._output = source, output
        self._suffix = suffix
        stream = source.streams.audio[0]
        codec = stream.codec_context.codec.canonical_name
        self._is_copy = suffix == ".mkv" or codec in _COPIED[suffix]
        lossless = codec in _LOSSLESS or codec.startswith("pcm_")
        self._format = "fltp"
        if self._is_copy:
            self._target: AudioStream = output.add_stream_from_template(stream)
        else:
            rate, kind = stream.codec_context.sample_rate, "aac"
            if lossless and suffix == ".mov":
                is_deep = stream.codec_context.format.bytes > 2
                kind, self._format = ("pcm_s24le", "s32") if is_deep else ("pcm_s16le", "s16")
            elif rate not in _AAC_RATES:
                rate = 48000
            self._target = output.add_stream(kind, rate=rate)
            layout = stream.codec_context.layout
            name = {1: "mono", 2: "stereo"}.get(layout.nb_channels, layout.name)
            self._target.codec_context.layout = name
        packets = self._copied(zeros) if self._is_copy else self._encoded(zeros)
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

    def _streams(self, zeros: Sequence[tuple[str, float]]) -> Iterator[tuple[AudioStream, float]]:
        """The sound track of each recording and its time 0 of the output."""
        kind = _kind(self._source.streams.audio[0])
        for number, (url, zero) in enumerate(zeros):
            if len(zeros) > 1:
                self._source.close()
                self._source = open_input(url)
            streams = self._source.streams.audio
            if not streams or _kind(streams[0]) != kind:
                warnings.warn(
                    f"{self._source.name}: the sound of its recording {number + 1} is of another "
                    "kind; the sound ends there",
                    stacklevel=2,
                )
                return
            yield streams[0], zero

    def _copied(self, zeros: Sequence[tuple[str, float]]) -> Iterator[av.Packet]:
        last: int | None = None
        for stream, zero in self._streams(zeros):
            for packet in self._source.demux(stream):
                if packet.size == 0 or packet.pts is None:
                    continue
                packet.pts -= round(zero / packet.time_base)
                packet.dts = packet.pts
                # A copy from the very start keeps the encoder's priming (negative times), except
                # in mkv, which would push the pictures back instead.
                if packet.pts < 0 and (zero > 0 or self._suffix == ".mkv"):
                    continue
                if len(zeros) > 1 and last is not None and packet.pts <= last:
                    continue  # a recording's sound under the end of the one before
                last = packet.pts
                yield packet

    def _encoded(self, zeros: Sequence[tuple[str, float]]) -> Iterator[av.Packet]:
        context = self._target.codec_context
        resampler = av.AudioResampler(self._format, context.layout, context.sample_rate)
        last: float | None = None
        for stream, zero in self._streams(zeros):
            for frame in self._source.decode(stream):
                if frame.pts is not None and frame.time_base is not None:
                    frame.pts -= round(zero / frame.time_base)
                    if frame.pts < 0 or (len(zeros) > 1 and last is not None and frame.pts <= last):
                        continue
                    last = frame.pts
                for piece in resampler.resample(frame):
                    yield from context.encode(piece)
        yield from context.encode(None)


def _kind(stream: AudioStream) -> tuple[str, int, str]:
    """What has to be the same for the sound of two recordings to go into one track."""
    context = stream.codec_context
    return context.codec.canonical_name, context.sample_rate, context.layout.name


def _until_damage(packets: Iterator[av.Packet], path: str) -> Iterator[av.Packet]:
    try:
        yield from packets
    except FFmpegError as error:
        warnings.warn(f"{path}: its sound is damaged and ends early ({error})", stacklevel=2)


def open_audio(path: str) -> InputContainer | None:
    """The container, if it has a sound track that can be decoded or copied; else None."""
    try:
        container = open_input(file_url(path))
    except (FFmpegError, OSError):
        return None
    streams = container.streams.audio
    if len(streams) > 1:
        warnings.warn(
            f"{path}: has {len(streams)} sound tracks; the first goes along", stacklevel=3
        )
    if streams and streams[0].codec_context is not None and streams[0].codec_context.sample_rate:
        return container
    if streams:
        warnings.warn(f"{path}: its sound cannot be read and is left out", stacklevel=3)
    container.close()
    return None
