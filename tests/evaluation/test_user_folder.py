"""A user's folder as it comes: whole clips among damaged, empty, huge and turned ones."""

from __future__ import annotations

import shutil

import av
import numpy as np
import pytest
from synthetic import moving_clip, still, write_clip

from chromatrack.training.config import TrainConfig, change
from chromatrack.training.data.index import build_index
from chromatrack.training.monitor.log import read_log
from chromatrack.training.train import train


def write_huge(path, *, size, frames, every=1):
    """A long or large video, quickly: blocks of colour that move."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "40", "g": "50"}
        for number in range(frames):
            rgb = np.zeros((height, width, 3), np.uint8)
            at = number * every % max(1, width - 8)
            rgb[:, :, 0] = 60
            rgb[height // 4 : height // 2, at : at + width // 8] = (200, 80, 30)
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """100 clips: 5 damaged, 3 empty, 2 huge (one long, one large), 1 portrait, the rest whole."""
    root = tmp_path_factory.mktemp("user")
    for number in range(5):
        clip = moving_clip(frames=6, size=(32, 40), radius=6, seed=number)
        write_clip(root / f"clip{number:03d}.mp4", clip, fps=6.0)
    for number in range(5, 89):
        shutil.copy(root / f"clip{number % 5:03d}.mp4", root / f"clip{number:03d}.mp4")
    whole = (root / "clip000.mp4").read_bytes()
    for number in range(2):  # cut short: the index at the end of the file is missing
        (root / f"damaged{number}.mp4").write_bytes(whole[: len(whole) // 2])
    for number in range(2, 4):  # overwritten in the middle
        middle = bytearray(whole)
        middle[len(middle) // 3 : len(middle) // 2] = b"\xff" * (
            len(middle) // 2 - len(middle) // 3
        )
        (root / f"damaged{number}.mp4").write_bytes(bytes(middle))
    (root / "damaged4.mp4").write_text("this is no video")
    for number in range(3):
        (root / f"empty{number}.mp4").write_bytes(b"")
    write_huge(root / "long.mp4", size=(48, 64), frames=3000)
    write_huge(root / "large.mp4", size=(1080, 1920), frames=25, every=40)
    write_clip(root / "portrait.mov", [still((64, 36), seed=n) for n in range(6)], fps=6.0)
    assert len(list(root.iterdir())) == 100
    return root


def test_it_trains_without_attention(folder, tmp_path):
    config = change(
        TrainConfig(), steps=5, batch=4, crop=32, short_side=36, log_every=1, held_out=0
    )
    with pytest.warns(UserWarning) as said:
        reports = list(train([folder], output=tmp_path / "run", config=config))
    assert [r.step for r in reports] == [1, 2, 3, 4, 5]
    assert len(read_log(tmp_path / "run" / "log.jsonl")) == 5
    assert (tmp_path / "run" / "model.safetensors").is_file()
    named = {word for note in said for word in str(note.message).split() if "mp4" in word}
    for name in ("empty0.mp4", "empty1.mp4", "empty2.mp4", "damaged0.mp4", "damaged4.mp4"):
        assert any(name in word for word in named), name


def test_every_problem_is_named_once_and_the_rest_is_used(folder):
    with pytest.warns(UserWarning):
        index = build_index([folder], cache=None)
    told = "\n".join(index.problems)
    assert told.count("the file is empty") == 3 and told.count("damaged") >= 3
    usable = {v.path.rsplit("/", 1)[-1]: v for v in index.videos if v.problem is None}
    assert sum(name.startswith("clip") for name in usable) == 89
    assert usable["long.mp4"].seconds == pytest.approx(120, abs=1)
    portrait = usable["portrait.mov"]
    assert portrait.height > portrait.width
