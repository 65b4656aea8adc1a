"""How a correction that was stopped goes on: its spans that are left, and its pass, kept on disk.

A forward pass remembers the frames before. It is written to `.resume/correction` of the run when
it is stopped, and taken up to the bit. Where that is gone, or marks that it knew are others now,
the pass begins anew at the last keyframe before, and looks at the frames from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError, OutputError
from chromatrack.propagation.bidirectional import DirectedPass
from chromatrack.propagation.layout import channel_names
from chromatrack.runs.affected_spans import FrameSpan
from chromatrack.runs.file_names import RESUME
from chromatrack.runs.pass_state import dumped, dumped_parts, loaded, loaded_first, shared_by
from chromatrack.runs.resume import fingerprint
from chromatrack.runs.unfinished import Unfinished, without_span
from chromatrack.structures import LabelName, Source
from chromatrack.tracking.close_up import CloseUpPass
from chromatrack.tracking.inference import TrackerRun
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import VideoInfo

_DECIMALS = 4  # of a pixel, by which places are told apart


# -- what is left ----------------------------------------------------------------------------


def known_already(old: Marks, new: Marks) -> set[tuple[LabelName, int]]:
    """Labels on frames of which new marks say what the old ones do."""
    before, now = _said(old), _said(new)
    same = {key for key, value in now.items() if before.get(key, ()) == value}
    for (kind, number, joint), frames in new.labels().items():
        for frame in frames if kind == "object" else ():
            mask, other = new.masks.get(frame), old.masks.get(frame)
            shown = mask is not None and bool((mask == number).any())
            if shown and (other is None or not np.array_equal(mask == number, other == number)):
                same.discard((("object", number, joint), frame))
            elif shown:
                same.add((("object", number, joint), frame))
    return same


def _said(marks: Marks) -> dict[tuple[LabelName, int], tuple[float, ...] | None]:
    """What is said of labels on frames, but for painted masks; None: declared lost."""
    said: dict[tuple[LabelName, int], tuple[float, ...] | None] = {}
    for lost in marks.lost:
        said[("object", lost.id, 0), lost.frame] = None
    for box in marks.boxes:
        sides = (box.x, box.y, box.width, box.height)
        drawn = tuple(round(float(side), _DECIMALS) for side in sides if side is not None)
        said[("box", box.id, 0), box.frame] = drawn or None
    for name, frame, xy in marks.places():
        said[name, frame] = None if xy is None else tuple(round(v, _DECIMALS) for v in xy)
    return said


def spans_left(
    left: Iterable[Unfinished], merged: Marks, changed: Sequence[FrameSpan], *, first: int
) -> list[FrameSpan]:
    """The spans in which unfinished frames are done; labels that were tracked together still are.

    Args:
        merged: all marks. changed: spans that are done anyway, after these; what they do of all
            labels of a span is left out. first: frame of the run.
    """
    layout = merged.layout()
    keyframes = merged.keyframes(layout)
    names = channel_names(layout)
    groups: dict[tuple[int, int, int, tuple[int, ...]], set[LabelName]] = defaultdict(set)
    for one in left:
        if one.label in names and one.label not in layout.unmarked:
            groups[one.begin, one.first, one.last, one.over].add(one.label)
    spans = []
    for (begin, origin, last, over), labels in sorted(groups.items()):
        channels = [names.index(name) + 1 for name in labels]
        shown = set.intersection(*({f for f, x in keyframes[c].items() if x} for c in channels))
        some = min(labels)
        parts = [Unfinished(some, origin, last, begin)]
        for other in changed:
            if labels <= set(other.labels):
                parts = [p for one in parts for p in without_span(one, some, other)]
        for part in parts:
            whole = part.first == first  # from where nothing of them is marked before
            before = max((f for f in shown if f <= part.begin), default=None if whole else first)
            if part.begin == origin and origin - 1 in shown:  # nothing of it is done
                before = origin - 1
            is_cut = part.last < last and part.last in shown
            after = part.last if is_cut else min((f for f in shown if f > part.last), default=None)
            spans.append(
                FrameSpan(
                    *(tuple(sorted(labels)), before, after, part.first, part.last),
                    begin=part.begin,
                    over=over,
                )
            )
    return spans


# -- the pass --------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeptPass:
    """Where a run in `folder` keeps the forward pass of a correction, and what it depends on.

    video, info, marks: of the run, all that is marked. settings: what else it depends on; those
    that are left out are not compared.
    """

    folder: Path
    video: Source
    info: VideoInfo
    marks: Marks
    settings: Mapping[str, object]

    def made_with(self, span: FrameSpan, begin: int) -> dict[str, str]:
        """What a pass over a span depends on, frame `begin` next, as short texts."""
        some = self.marks.restricted_to(span.labels)
        some = replace(some, names={}, colors={}, categories={})
        layout = some.layout()
        ahead = set()  # keyframes that it has seen already, being the next of a label
        for frames in some.keyframes(layout).values():
            ahead |= {min((f for f, here in frames.items() if here and f >= begin), default=begin)}
        later = {
            (name, frame)
            for name, frames in some.labels().items()
            for frame in frames
            if frame >= begin and frame not in ahead
        }
        settings = {"labels": span.labels, "begin": begin, **self.settings}
        return fingerprint(self.video, self.info, some.without(later), settings)

    def write(
        self, stage: Path, span: FrameSpan, begin: int, way: DirectedPass, run: TrackerRun
    ) -> None:
        """Prepare the file in `stage` if that can be; without it the pass begins anew."""
        if isinstance(way, CloseUpPass) and way.followers:
            return  # their windows have networks of their own
        try:
            parts = dumped_parts(way, shared_by(run))
            length = sum(memoryview(part).nbytes for part in parts)
            head = dumped((self.made_with(span, begin), length))
            (stage / RESUME).mkdir(exist_ok=True)
            replace_file(kept_file(stage), [head, *parts])
        except (OutputError, OSError):  # no room for what is for speed alone
            return

    def of(self, spans: Iterable[FrameSpan]) -> list[FrameSpan]:
        """Those whose forward pass goes on from where it was."""
        return [span for span in spans if self._content(span) is not None]

    def _content(self, span: FrameSpan) -> memoryview | None:
        """The pass as it was before a span's next frame, if it was kept and is still right."""
        if span.begin is None or self.settings.get("direction") == "backward":
            return None
        try:
            (then, length), content = loaded_first(kept_file(self.folder).read_bytes())
            now = self.made_with(span, span.start)
            is_right = len(content) == length and now.items() <= then.items()
        except (OSError, InputError, TypeError, ValueError, AttributeError):
            return None
        return content if is_right else None

    def read(self, span: FrameSpan, run: TrackerRun) -> DirectedPass | None:
        """The same, ready to go on in a run over the span's labels."""
        content = self._content(span)
        if content is None:
            return None
        try:
            way = loaded(content, shared_by(run))
        except InputError:
            return None
        if not isinstance(way, DirectedPass):
            return None
        way.keyframes = run.new_pass().keyframes  # there may be more behind the next one
        return way


def kept_file(folder: Path) -> Path:
    """Where a run's folder has the pass of a correction that was stopped."""
    return folder / RESUME / "correction"


def still_needed(folder: Path, unfinished: Collection[Unfinished]) -> set[Path]:
    """Files of a run that corrections that were stopped need to go on."""
    return {kept_file(folder)} if any(not one.held for one in unfinished) else set()
