"""Single key pictures of a file, each found and decoded by itself: to show something at once."""

from __future__ import annotations

from bisect import bisect_right

from av.error import FFmpegError
from av.video.frame import VideoFrame

from chromatrack.errors import VideoError
from chromatrack.video.decode import file_url, open_input
from chromatrack.video.picture_order import PacketTable

_MOST_PACKETS = 64  # behind the place that was sought, until a key picture comes


def nearest_key(table: PacketTable, index: int) -> int:
    """Ticks of the key picture that is fewest ticks from a frame."""
    due = table.pts[index]
    after = bisect_right(table.keys, due)
    around = table.keys[max(0, after - 1) : after + 1]
    return min(around, key=lambda ticks: abs(ticks - due))


class KeyPictures:
    """A file opened for its key pictures alone; what cannot be decoded is not given."""

    def __init__(self, path: str) -> None:
        """Open it. Raises VideoError."""
        try:
            self._container = open_input(file_url(path))
            self._stream = self._container.streams.video[0]
        except (FFmpegError, OSError, IndexError) as error:
            raise VideoError(f"{path}: cannot be opened as a video; check the file") from error
        self._stream.thread_type = "SLICE"  # a single picture, and no wait for others

    def at(self, ticks: int) -> VideoFrame | None:
        """The key picture at some ticks of the stream, or the last one before."""
        try:
            self._container.seek(ticks, stream=self._stream)
            for count, packet in enumerate(self._container.demux(self._stream)):
                if packet.size and packet.is_keyframe and not packet.is_corrupt:
                    pictures = packet.decode() or self._stream.codec_context.decode(None)
                    good = [one for one in pictures if not one.is_corrupt]
                    return good[0] if good else None
                if count >= _MOST_PACKETS or not packet.size:
                    return None
        except FFmpegError:
            return None
        return None

    def close(self) -> None:
        """Release the file."""
        self._container.close()
