"""Trivial baselines, run through the same evaluation as the real thing.

`IdentityTracker` keeps the given mask; `RawLabEncoder` gives the same propagation raw colours
instead of learned features. A tracker that does not beat both has learned nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike

import numpy as np
import torch
from torch import Tensor

from chromatrack.coords import centred_offset
from chromatrack.encoder import Encoder, FeatureSpec
from chromatrack.errors import InputError
from chromatrack.patches import PATCH_CHANNELS, patches
from chromatrack.track import Masks, TrackedFrame, read_marks
from chromatrack.video import read_frames

RAW_LAB_TEMPERATURE = 0.03
"""Softmax temperature for the cosine similarity of `RawLabEncoder`, whose cells are much alike."""

STRIDE = 8
BEFORE = 6
"""Pixels of a patch before its cell's block of 8 x 8, and behind it."""
BLACK = 1e-4
"""Least lightness (L / 50) of a pixel, so that pure black also has a direction."""


class IdentityTracker:
    """Repeats the last given mask on every frame: what a tracker scores for doing nothing."""

    def track(
        self,
        video: str | PathLike[str],
        *,
        masks: Masks,
        start: int = 0,
        end: int | None = None,
    ) -> Iterator[TrackedFrame]:
        """Yield every frame from `start` to `end` (exclusive) with the last mask given.

        Args:
            video: anything `video.read_frames` reads.
            masks: as in `Tracker.track`; before the first given frame all is background.

        Raises:
            InputError: no mask, or one of another size than the frames.
            VideoError: see `video.read_frames`.
        """
        given = read_marks(masks, start=start)
        if not given:
            raise InputError("masks must hold at least one mask; got an empty mapping")
        mask: np.ndarray | None = None
        for frame in read_frames(video, start=start, end=end):
            size = frame.rgb.shape[:2]
            mask = given.get(frame.index, np.zeros(size, np.int32) if mask is None else mask)
            if mask.shape != size:
                raise InputError(
                    f"the mask of frame {frame.index} must have the video's size {size}; "
                    f"got {mask.shape}"
                )
            ids, counts = np.unique(mask[mask != 0], return_counts=True)
            yield TrackedFrame(
                index=frame.index,
                pts_seconds=frame.pts_seconds,
                rgb=frame.rgb,
                mask=mask.astype(np.int32),
                areas=dict(zip(ids.tolist(), counts.tolist(), strict=True)),
                entropy=dict.fromkeys(ids.tolist(), 0.0),
            )


class RawLabEncoder(Encoder):
    """Raw Lab patches as features: per cell 5 x 5 averages of 4 x 4 pixels, 75 numbers.

    The middle average of cell i covers pixels 8 i + 2 to 8 i + 5, so the cell sits at 8 i + 3.5
    (`offset` 3.5), the centre of its 8 x 8 block, and the patch covers 20 x 20 pixels around it.
    Outside the frame the border pixels repeat. Nothing is learned and nothing subtracted: the
    vector (channel-major: 25 L, 25 a, 25 b) is only brought to unit length, so that similarity is
    the cosine; use it with `RAW_LAB_TEMPERATURE`.
    """

    spec = FeatureSpec(
        channels=PATCH_CHANNELS,
        stride=STRIDE,
        offset=centred_offset(STRIDE),
        clip_length=1,
    )

    def project(self, lab: Tensor) -> Tensor:
        """Patches of Lab as normalised by `encoder.normalize_lab`; `embed` has unit length.

        Args:
            lab: `(B, 3, H, W)` float, about [-1, 1].

        Returns:
            `(B, 75, h, w)`, h = ceil(H / 8), w = ceil(W / 8).
        """
        light = (lab[:, :1] + 1).clamp(min=BLACK)  # from black up, as a and b are from grey
        return patches(torch.cat([light, lab[:, 1:]], dim=1), stride=STRIDE, before=BEFORE)
