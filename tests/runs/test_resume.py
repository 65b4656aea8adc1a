"""A run that ended early goes on and ends as if nothing had happened, to the bit."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError, Interrupted, OutputError
from chromatrack.model.mask_decoder import MaskDecoder, save_decoder
from chromatrack.propagation.bidirectional import FrameReading, ReadingCache
from chromatrack.runs import resume, writer
from chromatrack.runs.pass_state import dumped, dumped_parts, loaded, loaded_first
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark, Skeleton
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.inference import TrackerRun, follow
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

SIZE = (64, 96)
FRAMES = 8
SKELETON = Skeleton(("hip", "knee"), ((0, 1),))


@pytest.fixture(autouse=True)
def saved_often(monkeypatch):
    """The clips here take less than the second that may be lost elsewhere."""
    monkeypatch.setattr(resume, "_SECONDS", 0.0)
    monkeypatch.setattr(resume, "_SHARE", 0)


def test_a_second_is_the_most_that_small_states_are_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "_SECONDS", 1.0)
    now, saved = [10.0], []
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])
    kept = resume.Progress(tmp_path / "kept", {})
    for frame in range(30):
        now[0] += 0.25
        kept.save("forward", frame, {"frame": frame})
        found = kept.restore("forward", {})
        if found is not None and found[0] not in saved:
            assert found[1] == {"frame": found[0]}
            saved.append(found[0])
    assert saved == [3, 7, 11, 15, 19, 23, 27]


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return Tracker.from_pretrained("small", device="cpu", config=TrackConfig(size=64))


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=SIZE, objects=2, radius=11, velocity=(1.0, 0.6))


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "clip.mp4", film)


def marks_of(film, *, both: bool) -> Marks:
    joints = np.array([[40.0, 30.0], [50.0, 34.0]])
    return Marks.of(
        masks={0: film[0].mask} | ({5: film[5].mask} if both else {}),
        points=[PointMark(1, 0, 30.0, 32.0)],
        boxes=[BoxMark(7, 0, 50, 20, 24, 24)],
        keypoints=[KeypointMark(1, 0, joints, np.zeros(2, bool))],
        lost=[LostMark(2, 6)],
        skeleton=SKELETON,
    )


def contents(folder: Path) -> dict[str, object]:
    """All files; of result.json all but the times that the run took."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found: dict[str, object] = {str(p.relative_to(folder)): p.read_bytes() for p in paths}
    head = json.loads((folder / "result.json").read_text())
    return found | {"result.json": {k: v for k, v in head.items() if k != "timings"}}


def ends_after(monkeypatch, count: int, error: BaseException) -> None:
    def broken(*arguments, **options):
        for number, frame in enumerate(follow(*arguments, **options)):
            if number == count:
                raise error
            yield frame

    monkeypatch.setattr(writer, "follow", broken)


def count_steps(monkeypatch) -> list[int]:
    """Numbers of the frames that are looked at from now on."""
    seen: list[int] = []
    real = TrackerRun.input

    def counted(self, frame):
        seen.append(frame.index)
        return real(self, frame)

    monkeypatch.setattr(TrackerRun, "input", counted)
    return seen


@pytest.fixture(scope="module")
def whole(tracker, film, clip, tmp_path_factory) -> dict[tuple[str, bool], dict[str, object]]:
    found = {}
    for direction, both in [("both", True), ("both", False), ("backward", True)]:
        out = tmp_path_factory.mktemp("whole") / "out"
        track_to_folder(tracker, clip, marks_of(film, both=both), output=out, direction=direction)
        found[direction, both] = contents(out)
    return found


FULL, STOPPED = OutputError("full"), Interrupted("stopped by SIGTERM", exit_code=143)
WAYS = [("both", True), ("both", False), ("backward", True)]
FAST = [(1, *WAYS[0], STOPPED), (6, *WAYS[0], FULL), (1, *WAYS[1], FULL)]  # each pair is in one
FAST += [(6, *WAYS[1], STOPPED), (1, *WAYS[2], STOPPED), (6, *WAYS[2], FULL)]
SLOW = [(7 - c, *rest, e) for c, *rest, e in FAST]


@pytest.mark.parametrize(
    ("count", "direction", "both", "error"),
    [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_it_ends_as_an_uninterrupted_run(
    tracker, film, clip, whole, tmp_path, monkeypatch, count, direction, both, error
):
    out, marks = tmp_path / "out", marks_of(film, both=both)
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        ends_after(patch, count, error)
        track_to_folder(tracker, clip, marks, output=out, direction=direction)
    assert out.exists() is not isinstance(error, OutputError)
    looked_at = count_steps(monkeypatch)
    track_to_folder(tracker, clip, marks, output=out, direction=direction, resume=True)
    assert contents(out) == whole[direction, both]
    if direction == "both":
        again = FRAMES - count + (1 if both else 0)  # the next keyframe is looked at too
        assert len(looked_at) <= again + 2 and min(looked_at) >= count - 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_it_may_end_early_again_and_again(tracker, film, clip, whole, tmp_path, monkeypatch):
    out, marks = tmp_path / "out", marks_of(film, both=True)
    for count in (2, 4, 5, 5, 7):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            ends_after(patch, max(1, count - 4), KeyboardInterrupt())
            resume = out.exists()
            track_to_folder(tracker, clip, marks, output=out, resume=resume)
    track_to_folder(tracker, clip, marks, output=out, resume=True)
    assert contents(out) == whole["both", True]


@pytest.mark.parametrize("damage", ["frames", "readings", "state"])
def test_a_record_that_is_not_whole_is_done_again(
    tracker, film, clip, whole, tmp_path, monkeypatch, damage
):
    """As a kill in the midst of writing leaves it."""
    out, marks = tmp_path / "out", marks_of(film, both=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        ends_after(patch, 4, KeyboardInterrupt())
        track_to_folder(tracker, clip, marks, output=out)
    path = out / ".resume" / damage
    path.write_bytes(path.read_bytes()[:-7])
    if damage == "readings":  # they are whole once the pass is done: this is before
        (out / ".resume/backward-done").unlink()
        (out / ".resume/state").unlink()
    track_to_folder(tracker, clip, marks, output=out, resume=True)
    assert contents(out) == whole["both", True]


def test_what_is_not_the_same_is_named_and_nothing_is_lost(
    tracker, film, clip, tmp_path, monkeypatch
):
    out, marks = tmp_path / "out", marks_of(film, both=False)
    with monkeypatch.context() as patch, pytest.raises(OutputError, match="3 frames are kept"):
        ends_after(patch, 3, OutputError("full"))
        track_to_folder(tracker, clip, marks, output=out)
    other = Tracker(tracker.encoder, device="cpu", config=TrackConfig(size=48))
    for who, given, options, message in (
        (tracker, Marks.of(points=[PointMark(1, 0, 9, 9)]), {}, "another marks, so it cannot"),
        (tracker, marks, {"end": 7}, "another config, so it cannot go on"),
        (tracker, marks, {"show_reliability": True}, "another overlay, so"),
        (other, marks, {}, "another model, config, so it cannot"),
    ):
        with pytest.raises(InputError, match=message):
            track_to_folder(who, clip, given, output=out, resume=True, **options)
    track_to_folder(tracker, clip, marks, output=out, resume=True)
    assert len(read_result(out).frames) == FRAMES
    for folder in (out, tmp_path / "nothing"):
        with pytest.raises(InputError, match=r"to go on with, found none; leave --resume out"):
            track_to_folder(tracker, clip, marks, output=folder, resume=True)


def test_another_decoder_in_the_same_file_is_not_the_same(
    tracker, film, clip, tmp_path, monkeypatch
):
    path, out, marks = tmp_path / "own.safetensors", tmp_path / "out", marks_of(film, both=False)
    decoder = MaskDecoder()
    save_decoder(path, decoder)
    config = replace(tracker.config, decoder=str(path))
    with monkeypatch.context() as patch, pytest.raises(OutputError, match="3 frames are kept"):
        ends_after(patch, 3, OutputError("full"))
        first = Tracker(tracker.encoder, device="cpu", config=config)
        track_to_folder(first, clip, marks, output=out)
    torch.nn.init.constant_(decoder.last.bias, -100)
    save_decoder(path, decoder)
    other = Tracker(tracker.encoder, device="cpu", config=config)
    with pytest.raises(InputError, match="another decoder, so it cannot go on"):
        track_to_folder(other, clip, marks, output=out, resume=True)
    torch.nn.init.zeros_(decoder.last.bias)
    save_decoder(path, decoder)
    track_to_folder(first, clip, marks, output=out, resume=True)
    assert len(read_result(out).frames) == FRAMES


def test_without_resume_it_begins_anew_and_leaves_nothing(
    tracker, film, clip, whole, tmp_path, monkeypatch
):
    out, marks = tmp_path / "out", marks_of(film, both=False)
    for error in (OutputError("full"), KeyboardInterrupt()):
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            ends_after(patch, 3, error)
            track_to_folder(tracker, clip, marks, output=out)
    looked_at = count_steps(monkeypatch)
    track_to_folder(tracker, clip, marks, output=out)
    assert set(looked_at) == set(range(FRAMES)) and contents(out) == whole["both", False]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# -- the state as bytes ----------------------------------------------------------------------


def test_tensors_come_back_with_their_layout_and_share_memory_as_before():
    base = torch.arange(24.0).reshape(2, 3, 4)
    state = {"a": base, "b": base[:, 1], "c": base.transpose(0, 2), "d": torch.ones(1).expand(5)}
    state |= {"e": torch.zeros(0, 3), "f": torch.tensor([True]), "g": base.half()}
    again = loaded(dumped(state))
    for name, value in state.items():
        assert torch.equal(again[name], value) and again[name].stride() == value.stride()
    again["b"][:] = -1
    assert (again["a"][:, 1] == -1).all() and (again["g"] >= 0).all()


def test_a_state_is_written_without_another_copy_of_its_tensors():
    features = torch.arange(6.0)
    parts = dumped_parts({"features": features})
    features[0] = 7
    assert loaded(b"".join(parts))["features"][0] == 7
    behind = loaded_first(b"".join([*parts, b"behind"]))[1]
    assert bytes(behind) == b"behind"
    with pytest.raises(InputError, match="cannot be read"):
        loaded(b"".join(parts)[:-1])


class Evil:
    def __reduce__(self):
        return eval, ("1 + 1",)


@pytest.mark.parametrize("value", [Evil(), print, Path("x"), pickle.loads, np.random.default_rng])
def test_nothing_but_our_own_state_is_read(value):
    with pytest.raises(InputError, match="cannot be read"):
        loaded(dumped({"a": value}))


@pytest.mark.parametrize("content", [b"", b"x", b"\x80\x05N.", pickle.dumps((1, 2))])
def test_bytes_that_are_no_state_are_refused(content):
    with pytest.raises(InputError, match="state of a run"):
        loaded(content)


def test_readings_that_outlive_the_process_are_those_of_any_cache(tmp_path):
    torch.manual_seed(0)
    given = [
        FrameReading(torch.rand(2, 5, 7), {1: 0.5}, masks=torch.rand(1, 10, 14), away={1: 0.25}),
        FrameReading(torch.rand(2, 5, 7), {1: 0.7}, cut=True),
        FrameReading(None),
    ]
    plain, kept = ReadingCache(), resume.KeptReadings(tmp_path / "readings")
    for index, reading in zip((4, 3, 2), given, strict=True):
        plain.put(index, reading)
        kept.put(index, reading)
    kept.close()
    again = resume.KeptReadings(tmp_path / "readings")
    cpu = torch.device("cpu")
    for index in (1, 2, 3, 4):
        one, other = (cache.get(index, device=cpu) for cache in (plain, again))
        if one is None or other is None:
            assert one is other is None and index == 1
            continue
        for name in ("regions", "masks"):
            a, b = getattr(one, name), getattr(other, name)
            assert (a is None and b is None) or torch.equal(a, b)
        assert replace(one, regions=None, masks=None) == replace(other, regions=None, masks=None)
    plain.close()
    again.close()
