"""Small grey pictures of a film's frames, kept while it is read once for something else."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from chromatrack.tracking.frame_likeness import small_light
from chromatrack.video.reader import Frame

READ_SIZE = (192, 256)
"""What frames are brought to while they are read, where pictures of them are kept."""

MOST = 800
"""Pictures that are kept, some 30 kB each."""


@dataclass
class FrameSamples:
    """Evenly spread frames of a film whose length need not be known.

    size: (height, width) of its frames, whose shape the pictures have. light: frame number -> L
    `(h, w)` uint8, 2.55 times Lab's. every: frames from one to the next.
    """

    size: tuple[int, int]
    light: dict[int, np.ndarray] = field(default_factory=dict)
    every: int = 1

    def add(self, frame: Frame) -> None:
        """Look at the next frame; of too many, every second is let go."""
        if frame.index % self.every:
            return
        self.light[frame.index] = small_light(frame.rgb, self.size)
        if len(self.light) > MOST:
            self.every *= 2
            self.light = {i: one for i, one in self.light.items() if i % self.every == 0}

    def nearest(self, index: int, first: int, end: int) -> int | None:
        """The kept frame next to `index` among first .. end - 1, if there is one."""
        below = index - index % self.every
        near = [i for i in (below, below + self.every) if first <= i < end and i in self.light]
        return min(near, key=lambda i: abs(i - index), default=None)
