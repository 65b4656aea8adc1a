"""Whole pictures out of the two fields of interlaced ones, by FFmpeg's bwdif filter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.error import FFmpegError
from av.filter import Graph
from av.video.frame import VideoFrame

NEIGHBORS = 1
"""Pictures before and after one that its deinterlaced form depends on."""


class Deinterlacer:
    """Takes pictures in display order, gives as many of the same times one later.

    flagged_only: leave pictures alone that say they are not interlaced.
    """

    def __init__(self, *, flagged_only: bool) -> None:
        self._deint = "interlaced" if flagged_only else "all"
        self._graph: Graph | None = None
        self._kind: tuple[Any, ...] = ()
        self._waiting: deque[VideoFrame] = deque()

    def put(self, picture: VideoFrame) -> Iterator[VideoFrame]:
        """The pictures that are ready once this one is known."""
        kind = picture.width, picture.height, picture.format.name
        if kind != self._kind:
            yield from self.rest()
            options = f"mode=send_frame:parity=auto:deint={self._deint}"
            self._graph, self._kind = _graph(picture, "bwdif", options), kind
        assert self._graph is not None
        self._waiting.append(picture)
        self._graph.push(picture)
        yield from self._ready()

    def rest(self) -> Iterator[VideoFrame]:
        """The pictures still waiting for one that does not come."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
        self._graph, self._kind = None, ()
        yield from self._waiting  # none, unless the filter kept one to itself
        self._waiting.clear()

    def _ready(self) -> Iterator[VideoFrame]:
        assert self._graph is not None
        while self._waiting:
            try:
                done = self._graph.pull()
            except (BlockingIOError, EOFError, FFmpegError):
                return
            assert isinstance(done, VideoFrame)
            yield _stamped(done, self._waiting.popleft())


def _graph(picture: VideoFrame, name: str, options: str) -> Graph:
    """One filter for pictures like this one."""
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base or Fraction(1, 1_000_000),
    )
    graph.link_nodes(
        source,
        graph.add(name, options),
        graph.add("buffersink"),
    ).configure()
    return graph


class FieldMarker:
    """Marks pictures as two fields, for an encoder (FFmpeg's setparams)."""

    def __init__(self, *, top_first: bool) -> None:
        self._mode = "tff" if top_first else "bff"
        self._graph: Graph | None = None

    def mark(self, picture: VideoFrame) -> VideoFrame:
        """The same picture; all given are of one size and format."""
        if self._graph is None:
            self._graph = _graph(picture, "setparams", f"field_mode={self._mode}")
        self._graph.push(picture)
        marked = self._graph.pull()
        assert isinstance(marked, VideoFrame)
        return _stamped(marked, picture)


def _stamped(done: VideoFrame, picture: VideoFrame) -> VideoFrame:
    """A filtered picture with the times and colours of the one it was made of."""
    done.pts, done.duration = picture.pts, picture.duration
    if picture.time_base is not None:
        done.time_base = picture.time_base
    done.colorspace, done.color_range = picture.colorspace, picture.color_range
    done.color_trc, done.color_primaries = picture.color_trc, picture.color_primaries
    return done
