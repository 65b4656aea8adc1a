"""Masks, tables and overlay that nobody asked for: not written, not paid for, and said so."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from synthetic import moving_clip, write_clip, write_masks

from chromatrack.cli import main as cli
from chromatrack.errors import InputError, Interrupted
from chromatrack.propagation.config import PropagateConfig
from chromatrack.runs import files, writer
from chromatrack.runs.correct import correct, plan_correction
from chromatrack.runs.file_names import OUTPUTS, Output, chosen_outputs
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, KeypointMark, PointMark, Skeleton
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.inference import follow
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.uses.camera_path import choose_lock
from chromatrack.uses.events import find_events
from chromatrack.video.encoding import Quality

SIZE = (64, 96)
FRAMES = 5
TABLES = {"tracks.csv", "boxes.csv", "keypoints.json", "things.csv"}
FILES = {"masks": {f"masks/{i:05d}.png" for i in range(FRAMES)}, "tracks": TABLES}
FILES["overlay"] = {"overlay.mp4"}


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    propagate = PropagateConfig(radius=2, recent_radius=2, top_k=3, temperature=1e-3)
    return Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=64, propagate=propagate))


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=SIZE, objects=2, radius=13)


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("film")
    write_masks(home / "given", film[:1])
    (home / "points.csv").write_text("id,frame,x,y\n1,0,20,20\n")
    return write_clip(home / "clip.mp4", film)


@pytest.fixture
def marks(film) -> Marks:
    joints = np.array([[20.0, 30.0], [24.5, 40.25]])
    return Marks.of(
        masks={0: film[0].mask},
        points=[PointMark(4, 0, 30.25, 31.5)],
        boxes=[BoxMark(6, 0, 20.0, 15.0, 25.5, 26.0)],
        keypoints=[KeypointMark(8, 0, joints, np.zeros(2, bool))],
        skeleton=Skeleton(("hip", "knee"), ((0, 1),)),
    )


def contents(folder: Path) -> dict[str, bytes]:
    """All files but result.json, which has times."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "result.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def frames_of(folder: Path) -> list[dict]:
    return json.loads((folder / "result.json").read_text())["frames"]


@pytest.mark.parametrize(
    "chosen",
    [OUTPUTS, ("masks",), ("tracks",), ("overlay",), ("masks", "tracks"), ("tracks", "overlay")],
)
def test_what_is_chosen_is_the_same_and_nothing_else_is_there(
    tracker, clip, marks, tmp_path, chosen
):
    track_to_folder(tracker, clip, marks, output=tmp_path / "all")
    track_to_folder(tracker, clip, marks, output=tmp_path / "some", outputs=chosen)
    whole, some = contents(tmp_path / "all"), contents(tmp_path / "some")
    wanted = set().union(*(FILES[name] for name in chosen), {"marks/00000.png"})
    assert set(whole) == set().union(*FILES.values(), {"marks/00000.png"})
    assert some == {name: content for name, content in whole.items() if name in wanted}
    assert frames_of(tmp_path / "some") == frames_of(tmp_path / "all")
    head = json.loads((tmp_path / "some" / "result.json").read_text())
    assert head["outputs"] == list(chosen)
    assert read_result(tmp_path / "some").outputs == chosen


def test_nothing_is_drawn_encoded_or_written_for_what_is_left_out(
    tracker, clip, marks, tmp_path, monkeypatch
):
    def never(*arguments, **options):
        raise AssertionError("was paid for")

    for name in ("open_writer", "overlay_frame", "ThingsWriter", "TableWriter", "KeypointWriter"):
        monkeypatch.setattr(files, name, never)
    track_to_folder(tracker, clip, marks, output=tmp_path / "out", outputs=["masks"])
    monkeypatch.undo()
    monkeypatch.setattr(files, "open_writer", never)
    monkeypatch.setattr(files, "write_mask", never)
    track_to_folder(tracker, clip, marks, output=tmp_path / "out", outputs=["tracks"])


def test_what_an_earlier_run_wrote_and_this_one_leaves_out_goes(tracker, clip, marks, tmp_path):
    out = tmp_path / "out"
    track_to_folder(tracker, clip, marks, output=out)
    (out / "notes.txt").write_text("mine")
    track_to_folder(tracker, clip, marks, output=out, outputs=["tracks"])
    assert set(contents(out)) == {*TABLES, "marks/00000.png", "notes.txt"}
    track_to_folder(tracker, clip, marks, output=out, outputs=["masks", "overlay"])
    assert set(contents(out)) == {*FILES["masks"], "overlay.mp4", "marks/00000.png", "notes.txt"}


def test_an_overlay_of_others_is_not_removed(tracker, clip, marks, tmp_path):
    (tmp_path / "overlay.mp4").write_text("mine")
    with pytest.raises(InputError, match=r"overlay\.mp4"):
        track_to_folder(tracker, clip, marks, output=tmp_path, outputs=["tracks"])
    assert contents(tmp_path) == {"overlay.mp4": b"mine"}


@pytest.mark.parametrize("chosen", [("overlay",), ("tracks",), ("masks",), ("tracks", "overlay")])
def test_a_stopped_run_goes_on_with_what_it_had_chosen(
    tracker, clip, marks, tmp_path, monkeypatch, chosen
):
    def stopped(*arguments, **options):
        for number, frame in enumerate(follow(*arguments, **options)):
            if number == 3:
                raise Interrupted("stopped by SIGTERM", exit_code=143)
            yield frame

    track_to_folder(tracker, clip, marks, output=tmp_path / "whole", outputs=chosen)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(writer, "follow", stopped)
        track_to_folder(tracker, clip, marks, output=tmp_path / "out", outputs=chosen)
    others: list[tuple[Output, ...]] = [OUTPUTS, ("masks", "overlay")]
    for other in others:
        with pytest.raises(InputError, match="had another choice of outputs"):
            track_to_folder(
                tracker, clip, marks, output=tmp_path / "out", outputs=other, resume=True
            )
    track_to_folder(tracker, clip, marks, output=tmp_path / "out", outputs=chosen, resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert frames_of(tmp_path / "out") == frames_of(tmp_path / "whole")


def test_a_stopped_run_with_everything_does_not_go_on_with_less(
    tracker, clip, marks, tmp_path, monkeypatch
):
    def stopped(*arguments, **options):
        yield from islice(follow(*arguments, **options), 2)
        raise Interrupted("stopped by SIGTERM", exit_code=143)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(writer, "follow", stopped)
        track_to_folder(tracker, clip, marks, output=tmp_path / "out")
    with pytest.raises(InputError, match="had another choice of outputs"):
        track_to_folder(
            tracker, clip, marks, output=tmp_path / "out", outputs=["tracks"], resume=True
        )
    kept = tmp_path / "out" / ".resume" / "made_with.json"
    then = json.loads(kept.read_text())
    del then["choice of outputs"]  # as earlier versions stopped
    kept.write_text(json.dumps(then))
    track_to_folder(tracker, clip, marks, output=tmp_path / "out", resume=True)
    assert read_result(tmp_path / "out").complete


def test_readers_say_what_was_left_out(tracker, clip, marks, tmp_path):
    track_to_folder(tracker, clip, marks, output=tmp_path / "m", outputs=["masks"])
    track_to_folder(tracker, clip, marks, output=tmp_path / "t", outputs=["tracks"])
    without_tables, without_masks = read_result(tmp_path / "m"), read_result(tmp_path / "t")
    assert without_tables.ids("point") == [4] and without_tables.ids("keypoints") == [8]
    with pytest.raises(InputError, match=r"table of its boxes.*left out by choice.*with tracks"):
        without_tables.tracks("box")
    with pytest.raises(InputError, match=r"table of its boxes.*left out by choice"):
        find_events(without_tables)
    with pytest.raises(InputError, match=r"masks of its objects.*left out by choice.*with masks"):
        find_events(without_masks)
    assert choose_lock(without_tables, "object:1").ids == (1,)
    new = Marks.of(points=[PointMark(4, 2, 30.0, 31.0)])
    for name, what in [("m", "table of its points"), ("t", "masks of its objects")]:
        before = contents(tmp_path / name)
        for call in (plan_correction, lambda *given: correct(tracker, *given)):
            with pytest.raises(InputError, match=f"{what}.*left out by choice"):
                call(tmp_path / name, new)
        assert contents(tmp_path / name) == before


def test_corrections_leave_out_what_the_run_left_out(tracker, film, clip, tmp_path):
    marks, new = Marks.of(masks={0: film[0].mask}), Marks.of(masks={3: film[3].mask})
    choices: dict[str, tuple[Output, ...]] = {
        "all": OUTPUTS,
        "m": ("masks",),
        "mt": ("masks", "tracks"),
    }
    for name, chosen in choices.items():
        track_to_folder(tracker, clip, marks, output=tmp_path / name, outputs=chosen)
        correct(tracker, tmp_path / name, new)
    whole = contents(tmp_path / "all")
    assert "overlay.mp4" in whole
    del whole["overlay.mp4"]
    assert contents(tmp_path / "mt") == whole
    del whole["things.csv"]
    assert contents(tmp_path / "m") == whole
    assert frames_of(tmp_path / "m") == frames_of(tmp_path / "all")


def test_points_alone_are_corrected_where_masks_were_left_out(tracker, clip, tmp_path):
    marks, new = (Marks.of(points=[PointMark(4, f, 30.25, 31.5)]) for f in (0, 3))
    track_to_folder(tracker, clip, marks, output=tmp_path / "out", outputs=["tracks"])
    assert len(correct(tracker, tmp_path / "out", new).things) == 1
    with pytest.raises(InputError, match="left out by choice"):
        correct(tracker, tmp_path / "out", Marks.of(masks={3: np.ones(SIZE, np.int32)}))


def test_choices_that_cannot_be():
    assert chosen_outputs(None) == OUTPUTS
    assert chosen_outputs(None, overlay=False) == ("masks", "tracks")
    assert chosen_outputs(["tracks", "masks", "tracks"], overlay=False) == ("masks", "tracks")
    for only, said in [((), "at least one"), (["overlay"], "--no-overlay"), (["films"], "films")]:
        with pytest.raises(InputError, match=said):
            chosen_outputs(only, overlay=only != ["overlay"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"show_reliability": True}, "show_reliability: is about overlay.mp4"),
        ({"joint_names": True}, "joint_names: is about"),
        ({"quality": Quality(30, "fast")}, "crf or preset: is about"),
    ],
)
def test_options_of_what_is_left_out_are_refused(tracker, clip, marks, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        track_to_folder(
            tracker, clip, marks, output=tmp_path / "out", outputs=["tracks"], **options
        )
    assert not (tmp_path / "out").exists()


def test_masks_alone_of_what_has_none_are_refused(tracker, clip, tmp_path):
    marks = Marks.of(points=[PointMark(4, 0, 30.25, 31.5)])
    with pytest.raises(InputError, match="only masks: expected an object"):
        track_to_folder(tracker, clip, marks, output=tmp_path / "out", outputs=["masks"])
    assert not (tmp_path / "out").exists()


def test_the_command_line_takes_the_choice(clip, tmp_path, capsys):
    given = ["track", str(clip), "--points", str(clip.parent / "points.csv"), "--size", "64"]
    out = tmp_path / "out"
    assert cli.main([*given, "-o", str(out), "--no-overlay"]) == 0
    assert set(contents(out)) == {"tracks.csv", "things.csv"}
    assert cli.main([*given, "-o", str(out), "--only", "overlay"]) == 0
    assert set(contents(out)) == {"overlay.mp4"}
    capsys.readouterr()
    assert cli.main(["events", str(out)]) == 2
    assert cli.main([*given, "-o", str(out), "--only", "overlay", "--no-overlay"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "table of its points, but its tracks were left out by choice" in first
    assert "--no-overlay" in second
