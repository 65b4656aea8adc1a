"""The process that decodes: frames of the open video by number, as small pictures to look at."""

from __future__ import annotations

import io
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from chromatrack.errors import ChromatrackError, InputError
from chromatrack.structures import Source
from chromatrack.studio.small_copy import SmallCopy
from chromatrack.studio.workers import Channel
from chromatrack.video.decode import beyond_end
from chromatrack.video.key_pictures import nearest_key
from chromatrack.video.picture_order import PacketTable
from chromatrack.video.random_access import FrameReader, FrameTimes

WIDTHS = (160, 320, 480, 640, 960, 1280, 1920, 2560, 3840)
"""Pictures are made in these widths, so that they are found again."""

MOST_PIXELS = 1 << 26
"""Of a video's frame."""

MOST_SECONDS = 6 * 3600
"""Of a video."""

_CACHE_BYTES = 192 << 20
_AHEAD = 8  # frames that are made before they are asked for
_QUALITY = 88
_INDEX_SECONDS = 0.4  # that opening a video waits for the places of its frames
_LONG = 5000  # frames from which it does not wait, but shows the first one before
_FIRST_SECONDS = 2.0  # that the places wait for the first frame to be shown
_QUALITY_NEAR = 80
_MOST_NEAR = 400  # near frames that are kept


@dataclass(frozen=True)
class Opened:
    """What is known of a video once it is open; times is None while it is still being read."""

    width: int
    height: int
    fps: float
    frames: int
    has_audio: bool
    times: list[float] | None
    table: PacketTable | None


def main(channel: Channel) -> None:
    """Answer the server."""
    decoder = Decoder(channel)
    channel.serve(
        {
            "open": decoder.open,
            "frame": decoder.frame,
            "small": decoder.small,
            "colored": decoder.colored,
            "close": decoder.close,
            "ping": _pong,
        },
        decoder.look_ahead,
        short=("small",),
    )


def _pong() -> bool:
    return True


class Decoder:
    """One open video, and the pictures made of it."""

    def __init__(self, channel: Channel) -> None:
        """No video is open yet."""
        self._channel = channel
        self._reader: FrameReader | None = None
        self._colors_reader: FrameReader | None = None  # both go on in a row, side by side
        self._made: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._last = (-1, 0)
        self._near: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._shown = threading.Event()
        self._small: SmallCopy | None = None
        self._ahead: Iterator[bool] = iter(())
        self._indexing: threading.Thread | None = None
        self._known: FrameTimes | None = None
        self._failure: ChromatrackError | None = None

    def close(self) -> None:
        """Let the video go."""
        for reader in (self._reader, self._colors_reader):
            if reader is not None:
                reader.close()
        self._reader, self._colors_reader = None, None
        self._known, self._failure = None, None
        self._shown.set()
        self._shown = threading.Event()
        self._made.clear()
        self._near.clear()
        self._bytes, self._last, self._ahead = 0, (-1, 0), iter(())

    def open(self, *, source: Source, token: int) -> Opened:
        """Open a video. Its times may come later, as news with the `token`.

        Raises:
            VideoError: it cannot be read. InputError: its frames are too large.
        """
        reader = FrameReader(source)
        info = reader.info
        if info.width * info.height > MOST_PIXELS:
            reader.close()
            raise InputError(
                f"{info.path}: expected frames of at most {MOST_PIXELS >> 20} megapixels, got "
                f"{info.width}x{info.height}"
            )
        if (info.duration_seconds or 0) > MOST_SECONDS:
            reader.close()
            raise InputError(
                f"{info.path}: expected at most {MOST_SECONDS // 3600} hours, got "
                f"{(info.duration_seconds or 0) / 3600:.1f}; cut it into parts"
            )
        self.close()
        self._reader = reader
        fps = info.average_fps or 24.0
        frames = info.frame_count or max(1, round((info.duration_seconds or 1) * fps))
        is_long = frames > _LONG and not reader.is_indexed
        self._indexing = threading.Thread(
            target=self._index,
            args=(reader, source, token, self._shown if is_long else None),
            daemon=True,
        )
        self._indexing.start()
        if not is_long:
            self._indexing.join(_INDEX_SECONDS)
        if self._failure is not None:
            raise self._failure
        known = self._known
        times = None if known is None else known.times
        return Opened(
            info.width,
            info.height,
            fps,
            frames if times is None else len(times),
            info.has_audio,
            times,
            None if known is None else known.table,
        )

    def _index(
        self, reader: FrameReader, source: Source, token: int, after: threading.Event | None
    ) -> None:
        """Find out where every frame is, in a thread of its own; after: the first is shown."""
        if after is not None:
            after.wait(_FIRST_SECONDS)
        try:
            known = FrameTimes.of(source)
        except ChromatrackError as error:
            self._failure = error
            return
        if self._reader is reader:
            self._known = known
            told = {"times": known.times, "table": known.table}
            self._channel.tell({"type": "times", "token": token, **told})

    def frame(self, *, index: int, width: int | None, rough: bool = False) -> tuple[int, bytes]:
        """(number, JPEG) of a frame; rough: or of one near it, if that is quicker.

        Raises:
            BeyondEndError: there is no such frame. VideoError: it cannot be read.
            KeyboardInterrupt: nobody waits for it any more.
        """
        reader = self._reader
        if reader is None:
            raise InputError("no video is open; open one")
        shown = self._width(reader, width)
        self._channel.check()
        reader.watch(self._channel.check)
        try:
            if rough and (index, shown) not in self._made:
                reader.know(self._known)
                return self._near_frame(reader, index, shown)
            return index, self._exact_frame(reader, index, shown)
        finally:
            reader.watch(None)
            self._shown.set()

    def small(self, *, index: int, width: int | None, folder: str) -> tuple[bytes, bool] | None:
        """(JPEG of a frame, whether it is a small one); None where it is not there at once.

        folder: of the film's small copy.
        """
        reader = self._reader
        if reader is None:
            return None
        made = self._made.get((index, self._width(reader, width)))
        if made is not None:
            return made, False
        if self._small is None or self._small.folder != Path(folder):
            self._small = SmallCopy(Path(folder))
        rgb = self._small.read(index)
        return None if rgb is None else (_encoded(rgb, quality=_QUALITY_NEAR, subsampling=2), True)

    def colored(
        self, *, index: int, width: int | None, picture: str, view: str, saturation: float
    ) -> bytes:
        """A frame in the colours of a picture of them (`color_store`), as JPEG.

        view: "color", or how strong ("saturation") or how sure ("confidence") they are.

        Raises:
            As `frame`; InputError where the picture is damaged.
        """
        from chromatrack.studio.color_views import color_view

        if self._reader is None:
            raise InputError("no video is open; open one")
        if self._colors_reader is None:
            self._colors_reader = FrameReader(self._reader.source, known=self._known)
            self._colors_reader.watch(self._channel.answer_short)
        reader = self._colors_reader
        reader.know(self._known)
        shown = self._width(reader, width)
        rgb = reader.read(index, size=self._size(shown))
        return _encoded(color_view(rgb, Path(picture), view, saturation))

    def _width(self, reader: FrameReader, width: int | None) -> int:
        own = reader.info.width
        shown = next((w for w in WIDTHS if w >= (width or own)), WIDTHS[-1])
        return min(own, shown)

    def _near_frame(self, reader: FrameReader, index: int, shown: int) -> tuple[int, bytes]:
        self._ahead = iter(())
        table = None if self._known is None else self._known.table
        if table is not None and index < len(table.pts):
            number = bisect_left(table.pts, nearest_key(table, index))
            for made in (self._made, self._near):
                if (number, shown) in made:
                    return number, made[number, shown]
        number, rgb, is_sure = reader.read_near(index, size=self._size(shown))
        content = _encoded(rgb, quality=_QUALITY_NEAR, subsampling=2)
        if is_sure:
            self._near[number, shown] = content
            while len(self._near) > _MOST_NEAR:
                self._near.popitem(last=False)
        return number, content

    def _exact_frame(self, reader: FrameReader, index: int, shown: int) -> bytes:
        if not reader.is_indexed and index > 0 and self._indexing is not None:
            self._shown.set()
            self._indexing.join()
        reader.know(self._known)
        last, _ = self._last
        self._last = index, shown
        if (index, shown) not in self._made:
            begin = max(0, index - _AHEAD) if index == last - 1 else index
            number = begin - 1
            for number, rgb in reader.read_from(begin, size=self._size(shown)):
                self._keep((number, shown), _encoded(rgb))
                if number >= index:
                    break
            if number < index:
                raise beyond_end(reader.source.path, number + 1, index)
        self._ahead = self._coming(index, shown)
        self._made.move_to_end((index, shown))
        return self._made[index, shown]

    def _size(self, width: int) -> tuple[int, int] | None:
        assert self._reader is not None
        info = self._reader.info
        if width == info.width:
            return None
        return max(1, round(info.height * width / info.width)), width

    def _keep(self, name: tuple[int, int], content: bytes) -> None:
        self._bytes += len(content) - len(self._made.get(name, b""))
        self._made[name] = content
        while self._bytes > _CACHE_BYTES and len(self._made) > _AHEAD:
            _, old = self._made.popitem(last=False)
            self._bytes -= len(old)

    def look_ahead(self) -> bool:
        """Make one more of the frames that are likely to be asked for next."""
        if self._reader is not None:
            self._reader.watch(self._channel.answer_short)
        try:
            return next(self._ahead, False)
        finally:
            if self._reader is not None:
                self._reader.watch(None)

    def _coming(self, index: int, width: int) -> Iterator[bool]:
        assert self._reader is not None
        missing = [n for n in range(index + 1, index + 1 + _AHEAD) if (n, width) not in self._made]
        if not missing or missing[0] > index + _AHEAD // 2:
            return
        try:
            for number, rgb in self._reader.read_from(missing[0], size=self._size(width)):
                self._keep((number, width), _encoded(rgb))
                if number >= missing[-1]:
                    return
                yield True
        except ChromatrackError:
            return  # said when that frame is asked for


def _encoded(rgb: np.ndarray, *, quality: int = _QUALITY, subsampling: int = 0) -> bytes:
    """`(H, W, 3)` uint8 as JPEG."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, format="JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()
