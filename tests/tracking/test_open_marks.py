"""A video opened to read marks for it: its pictures, true size and count of frames."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError
from chromatrack.formats.masks import write_mask
from chromatrack.tracking.marked_video import marked_source
from chromatrack.tracking.marks import read_marks


def test_a_source_is_opened_with_its_pictures_size_and_count(tmp_path):
    clip = moving_clip(frames=3, size=(48, 64))
    folder, video = write_clip(tmp_path / "clip", clip), write_clip(tmp_path / "clip.mp4", clip)
    opened = marked_source(folder)
    assert opened.size == (48, 64) and opened.frame_count == 3
    assert [path.rpartition("/")[2] for path in opened.pictures or ()] == [
        f"{n:05d}.png" for n in range(3)
    ]
    assert marked_source(video).pictures is None
    assert opened.frame_name(1) == "1 (00001.png)" and marked_source(video).frame_name(1) == "1"
    with pytest.raises(InputError, match="frames have no names"):
        marked_source(video, numbers="names")
    Image.fromarray(clip[0].rgb).save(tmp_path / "one.png")
    assert marked_source(tmp_path / "one.png").frame_of_name("one.json") == 0


def test_a_lone_mask_is_of_the_picture_it_names_and_brought_to_its_size(tmp_path):
    folder = write_clip(tmp_path / "clip", moving_clip(frames=3, size=(48, 64)))
    for name, size in [("00002.png", (48, 64)), ("first.png", (96, 128)), ("odd.png", (64, 48))]:
        write_mask(tmp_path / name, np.ones(size, int))
    source = marked_source(folder, start=1)
    assert list(read_marks(tmp_path / "00002.png", start=1, source=source)) == [2]
    assert list(read_marks(tmp_path / "00002.png", start=1)) == [1]
    found = read_marks(tmp_path / "first.png", start=1, source=source)
    assert list(found) == [1] and found[1].shape == (48, 64)
    with pytest.raises(InputError, match=r"odd.png': expected the video's 64x48 .* 48x64"):
        read_marks(tmp_path / "odd.png", start=1, source=source)
