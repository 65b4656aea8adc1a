"""Reading the DAVIS layout in all its forms, and evaluating trackers on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import davis_trackers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromatrack.errors import DamagedVideoError, InputError, LayoutError, OutputError
from chromatrack.evaluation.datasets import davis, davis_files
from chromatrack.evaluation.datasets.davis import (
    SavedMasks,
    davis_benchmark,
    evaluate_davis,
    read_davis,
)
from chromatrack.evaluation.metrics.masks import SCORE_COLUMNS
from chromatrack.evaluation.runner import evaluate
from chromatrack.evaluation.tables import davis_table
from chromatrack.formats.masks import read_mask, write_mask

DEV = Path(__file__).resolve().parents[3] / "shared/data/davis16-dev"
SIZE = (48, 64)
FRAMES = 6


def truth_of(index: int) -> np.ndarray:
    """Two objects: 1 moves right, 2 stays."""
    mask = np.zeros(SIZE, np.int32)
    mask[8:24, 4 + 4 * index : 20 + 4 * index] = 1
    mask[30:44, 40:60] = 2
    return mask


def write_sequence(root: Path, name: str, *, resolution="480p", frames=FRAMES, truth=truth_of):
    images = root / "JPEGImages" / resolution / name
    images.mkdir(parents=True)
    for index in range(frames):
        Image.new("RGB", SIZE[::-1], (40 * index, 90, 20)).save(images / f"{index:05d}.jpg")
        annotation = root / "Annotations" / resolution / name / f"{index:05d}.png"
        write_mask(annotation, truth(index))


def write_list(root: Path, path: str, *lines: str):
    target = root / "ImageSets" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path):
    for name in ("ant", "bee"):
        write_sequence(tmp_path, name)
    write_list(tmp_path, "2017/val.txt", "bee", "ant")
    write_list(tmp_path, "2017/train.txt", "ant")
    write_list(tmp_path, "2016/train.txt", "ant")
    return tmp_path


@dataclass(frozen=True)
class Labelled:
    index: int
    mask: np.ndarray


@dataclass(frozen=True)
class Config:
    top_k: int = 10


class ScriptedTracker:
    """Yields `mask_of(index, first mask)` for the frames in `deliver`; breaks off after them."""

    def __init__(self, mask_of, deliver=range(FRAMES), breaks=False):
        self.mask_of, self.deliver, self.breaks = mask_of, deliver, breaks
        self.config = Config()
        self.seeds = []

    def track(self, video, *, masks):
        self.seeds.append((Path(video).name, sorted(masks), np.unique(masks[0]).tolist()))
        for index in self.deliver:
            yield Labelled(index, self.mask_of(index, masks[0]))
        if self.breaks:
            raise DamagedVideoError("broken", frame_index=len(self.deliver))


def perfect(index, first):
    return np.where(np.isin(truth_of(index), np.unique(first)), truth_of(index), 0)


def test_lists_of_the_2017_package(root):
    val = read_davis(root, year=2017)
    assert val.name == "val"
    assert [sequence.name for sequence in val.sequences] == ["bee", "ant"]
    assert len(val.sequences[0].images) == len(val.sequences[0].annotations) == FRAMES
    assert [s.name for s in read_davis(root, year=2017, split="train").sequences] == ["ant"]
    assert read_davis(root, year=2016).name == "train"  # the only list of that year
    assert [s.name for s in read_davis(root, year=2017, sequences=["ant"]).sequences] == ["ant"]


def test_pair_lines_of_the_2016_package(tmp_path):
    names = ["bee", "ant"]
    for name in names:
        write_sequence(tmp_path, name)
    pairs = [
        f"/JPEGImages/480p/{name}/{i:05d}.jpg /Annotations/480p/{name}/{i:05d}.png"
        for name in names
        for i in range(FRAMES)
    ]
    write_list(tmp_path, "480p/val.txt", *pairs, "")
    assert [sequence.name for sequence in read_davis(tmp_path).sequences] == names


def test_other_resolution_and_a_list_in_imagesets_itself(tmp_path):
    write_sequence(tmp_path, "ant", resolution="Full-Resolution")
    write_list(tmp_path, "mine.txt", "ant/")
    split = read_davis(tmp_path, year=2017)
    assert split.name == "mine"
    assert split.sequences[0].folder == tmp_path / "JPEGImages/Full-Resolution/ant"


@settings(max_examples=30, deadline=None)
@given(names=st.lists(st.from_regex(r"[a-z0-9_-][a-z0-9_.-]{0,11}", fullmatch=True), min_size=1))
def test_plain_and_pair_lists_name_the_same_sequences(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("lists")
    plain, pairs = folder / "plain.txt", folder / "pairs.txt"
    plain.write_text("\n".join(names))
    pairs.write_text("\r\n".join(f"/J/480p/{n}/00000.jpg /A/480p/{n}/00000.png" for n in names))
    assert (
        davis_files._read_list(plain) == davis_files._read_list(pairs) == list(dict.fromkeys(names))
    )


def broken(root, how):
    if how == "no ImageSets":
        (root / "ImageSets").rename(root / "Sets")
    elif how == "frame":
        (root / "Annotations/480p/ant/00003.png").unlink()
    elif how == "sequence":
        (root / "JPEGImages/480p/ant").rename(root / "JPEGImages/480p/cat")
    elif how == "resolution":
        (root / "Annotations/480p").rename(root / "Annotations/1080p")
    elif how == "empty":
        write_list(root, "2017/val.txt", "")
    elif how == "no object":
        write_mask(root / "Annotations/480p/bee/00000.png", np.zeros(SIZE, np.int32))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no ImageSets", "holds no ImageSets folder"),
        ("frame", "00003 is in only one"),
        ("sequence", "ant' is missing; the list names"),
        ("resolution", "found none"),
        ("empty", "is empty"),
        ("no object", "marks no object"),
    ],
)
def test_broken_layouts_say_what_is_wrong(root, how, message):
    broken(root, how)
    with pytest.raises(LayoutError, match=message):
        evaluate_davis(root, year=2017, tracker=ScriptedTracker(perfect))


def test_wrong_arguments_say_what_is_there(root):
    with pytest.raises(LayoutError, match=r"no test\.txt; choose a split from train, val"):
        read_davis(root, year=2017, split="test")
    with pytest.raises(InputError, match="got wasp"):
        read_davis(root, year=2017, sequences=["wasp"])
    with pytest.raises(InputError, match="2016 or 2017; got 2018"):
        read_davis(root, year=2018)  # pyright: ignore[reportArgumentType]
    with pytest.raises(LayoutError, match="JPEGImages"):
        read_davis(root / "ImageSets")


def test_too_short_a_sequence_is_refused(tmp_path):
    write_sequence(tmp_path, "ant", frames=2)
    write_list(tmp_path, "val.txt", "ant")
    with pytest.raises(LayoutError, match="2 frames; at least 3"):
        read_davis(tmp_path)


def test_perfect_tracker_scores_one(root, tmp_path):
    tracker = ScriptedTracker(perfect)
    seen = []
    out = tmp_path / "out"
    result = evaluate_davis(
        root, tracker=tracker, year=2017, output=out, progress=lambda *state: seen.append(state)
    )
    assert tracker.seeds == [("bee", [0], [0, 1, 2]), ("ant", [0], [0, 1, 2])]
    assert result["scores"]["J&F-Mean"] == 1.0 and result["scores"]["J-Decay"] == 0.0
    assert tuple(result["scores"]) == SCORE_COLUMNS
    assert list(result["sequences"]["bee"]["objects"]) == ["1", "2"]
    assert result["frames"] == 2 * FRAMES and result["frames_per_second"] > 0
    assert result["config"] == {"top_k": 10} and result["model"] == "ScriptedTracker"
    assert seen[0] == ("bee", 1, 12) and seen[-1] == ("ant", 12, 12)
    assert json.loads((out / "result.json").read_text()) == result
    assert np.array_equal(read_mask(out / "masks/ant/00005.png"), truth_of(5))
    assert not [path for path in out.rglob("*.tmp")]


def test_2016_merges_objects_and_takes_255_as_the_object(tmp_path):
    write_sequence(tmp_path, "ant", truth=lambda index: np.where(truth_of(index) == 2, 255, 1))
    write_list(tmp_path, "2016/val.txt", "ant")
    write_list(tmp_path, "2017/val.txt", "ant")
    tracker = ScriptedTracker(lambda index, first: first)
    result = evaluate_davis(tmp_path, tracker=tracker, year=2016)
    assert tracker.seeds[0][2] == [1]
    assert result["scores"]["J-Mean"] == 1.0
    evaluate_davis(tmp_path, tracker=tracker, year=2017)
    assert tracker.seeds[1][2] == [0, 1]  # void is background


def test_a_miss_counts_as_empty(root, tmp_path):
    for tracker, missing in (
        (ScriptedTracker(perfect, deliver=[0, 1, 2, 5]), 2),
        (ScriptedTracker(perfect, deliver=[0, 1, 2], breaks=True), 3),
        (ScriptedTracker(lambda index, first: perfect(index, first) * (index < 3)), 0),
    ):
        result = evaluate_davis(root, tracker=tracker, year=2017, output=tmp_path / "out")
        assert result["scores"]["J-Mean"] == result["scores"]["F-Mean"] == 0.5
        assert result["sequences"]["ant"]["missing_frames"] == missing
        assert not read_mask(tmp_path / "out/masks/ant/00004.png").any()


def test_the_tracker_must_keep_size_and_order(root):
    small = ScriptedTracker(lambda index, first: first[::2])
    with pytest.raises(InputError, match="resize the prediction"):
        evaluate_davis(root, tracker=small, year=2017)
    backwards = ScriptedTracker(perfect, deliver=[0, 2, 1])
    with pytest.raises(InputError, match=r"bee: expected frames 3 to 5 in order.*got frame 1"):
        evaluate_davis(root, tracker=backwards, year=2017)


def test_an_annotation_of_the_first_frame_only_is_a_split_without_truth(root):
    for index in range(1, FRAMES):
        (root / f"Annotations/480p/bee/{index:05d}.png").unlink()
    with pytest.raises(LayoutError, match=r"test-dev.*not published.*choose the split val"):
        read_davis(root, year=2017)


def test_an_object_that_appears_later_is_not_scored(tmp_path):
    def later(index):
        mask = truth_of(index)
        return np.where(mask == 2, 2 * (index > 1), mask)

    write_sequence(tmp_path, "ant", truth=later)
    write_list(tmp_path, "val.txt", "ant")
    tracker = ScriptedTracker(lambda index, first: np.where(truth_of(index) == 1, 1, 0))
    result = evaluate_davis(tmp_path, tracker=tracker, year=2017)
    assert list(result["sequences"]["ant"]["objects"]) == ["1"]
    assert result["scores"]["J&F-Mean"] == 1.0


def test_processes_and_kept_sequences_give_the_same_scores(root, tmp_path):
    tracker = davis_trackers.Halting()
    one = evaluate_davis(root, tracker=tracker, year=2017)
    benchmark = davis_benchmark(root, year=2017)
    out = tmp_path / "out"
    two = evaluate(benchmark, tracker=tracker, output=out, jobs=2)
    assert 0 < one["scores"]["J-Mean"] < 1 and two["scores"] == one["scores"]
    assert read_mask(out / "masks/ant/00001.png").any()
    again = evaluate(benchmark, tracker=tracker, output=out, resume=True)
    assert again["resumed"] == ["bee", "ant"] and again["scores"] == one["scores"]
    sequences = {name: dict(two["sequences"][name]) for name in ("bee", "ant")}
    assert again["sequences"] == sequences
    write_mask(root / "Annotations/480p/ant/00003.png", truth_of(2))
    with pytest.warns(UserWarning, match="made with another clip"):
        changed = evaluate(benchmark, tracker=tracker, output=out, resume=True)
    assert changed["resumed"] == ["bee"] and changed["scores"] != one["scores"]
    wordless = evaluate(
        davis_benchmark(root, year=2017, save_masks=False), tracker=tracker, output=tmp_path / "no"
    )
    assert wordless["scores"] == changed["scores"] and not (tmp_path / "no/masks").exists()


def as_palette(path, mask):
    write_mask(path, mask)


def as_grey(path, mask):
    Image.fromarray(mask.astype(np.uint8)).save(path)


def as_davis_colors(path, mask):
    from chromatrack.formats.masks import DAVIS_PALETTE

    Image.fromarray(DAVIS_PALETTE[mask]).save(path)


@pytest.mark.parametrize("write", [as_palette, as_grey, as_davis_colors])
def test_masks_of_another_tool_are_scored_as_they_are(root, tmp_path, write):
    """Shifted masks score the same from files as from a tracker; absent files count as empty."""
    saved = tmp_path / "saved"
    for name in ("bee", "ant"):
        (saved / name).mkdir(parents=True)
        for index in (0, 1, 2, 4):
            write(saved / name / f"{index:05d}.png", truth_of(index - 1))
    result = evaluate_davis(root, tracker=SavedMasks(saved, year=2017), year=2017)
    shifted = ScriptedTracker(lambda index, first: truth_of(index - 1), deliver=[0, 1, 2, 4])
    expected = evaluate_davis(root, tracker=shifted, year=2017)
    assert result["scores"] == expected["scores"] and 0 < result["scores"]["J-Mean"] < 1
    assert result["sequences"]["ant"]["missing_frames"] == 2
    assert result["model"] == f"masks in {saved}"


def test_grey_masks_of_0_and_255_are_scored_in_2016(root, tmp_path):
    for index in range(FRAMES):
        path = tmp_path / f"saved/ant/{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(truth_of(index) > 0, 255, 0).astype(np.uint8)).save(path)
    result = evaluate_davis(root, tracker=SavedMasks(tmp_path / "saved"), split="train")
    assert result["scores"]["J&F-Mean"] == 1.0


def test_predictions_that_do_not_fit_say_why(root, tmp_path):
    saved = SavedMasks(tmp_path, year=2017)
    with pytest.raises(
        LayoutError, match=r"no masks of the sequence 'bee'; expected bee/00000\.png"
    ):
        evaluate_davis(root, tracker=saved, year=2017)
    write_mask(tmp_path / "bee/00002.png", truth_of(2)[::2])
    with pytest.raises(InputError, match="expected a mask of 64x48, got 64x24"):
        evaluate_davis(root, tracker=saved, year=2017)
    write_mask(tmp_path / "bee/00002.png", 38 * truth_of(2))
    with pytest.raises(InputError, match=r"object ids up to 2, as in the first.*got 76"):
        evaluate_davis(root, tracker=saved, year=2017)
    write_mask(tmp_path / "bee/00002.png", np.where(truth_of(2) == 0, 255, truth_of(2)))
    write_mask(tmp_path / "ant/00002.png", truth_of(2))
    assert evaluate_davis(root, tracker=saved, year=2017)["scores"]["J-Mean"] == 0.25  # void


def test_an_output_that_cannot_be_made_is_one_error(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        evaluate_davis(
            root, tracker=ScriptedTracker(perfect), year=2017, output=tmp_path / "file/out"
        )


def test_reports_hold_every_sequence_and_the_total(root):
    from rich.console import Console

    result = evaluate_davis(
        root, tracker=ScriptedTracker(perfect, deliver=[0, 1, 2]), year=2017, model="scripted"
    )
    console = Console(width=120)
    with console.capture() as capture:
        console.print(davis_table(result))
    lines = capture.get().splitlines()
    assert sum("bee" in line or "ant" in line for line in lines) == 2
    assert any("all (4 objects)" in line and "0.500" in line for line in lines)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    assert any(row[:4] == ["bee", "0.500", "0.500", "0.500"] and len(row) == 8 for row in rows)
    with console.capture() as capture:
        console.print(davis_table({**result, "resumed": ["ant"]}))
    assert "1 sequences from an earlier run" in capture.get()


@pytest.mark.skipif(not DEV.is_dir(), reason="needs ../shared/data/davis16-dev")
def test_equals_vos_benchmark_on_saved_masks(tmp_path):
    """Keep the first mask of two real sequences; the saved masks score the same elsewhere.

    They have 50 and 48 frames, so the first also has misses.
    """
    oracle = pytest.importorskip("vos_benchmark.benchmark")
    names = ["bear", "soccerball"]
    tracker = ScriptedTracker(lambda index, first: first, deliver=range(48))
    result = evaluate_davis(DEV, tracker=tracker, sequences=names, output=tmp_path)
    truth = tmp_path / "truth"
    for name in names:
        for path in sorted((DEV / "Annotations/480p" / name).glob("*.png")):
            write_mask(truth / name / path.name, davis.read_annotation(path, year=2016))
    evaluator = oracle.VideoEvaluator(truth, tmp_path / "masks")
    scores = {name: evaluator(name)[1:] for name in names}
    for name, (j, f) in scores.items():
        assert result["sequences"][name]["J-Mean"] * 100 == pytest.approx(j[1], abs=1e-9)
        assert result["sequences"][name]["F-Mean"] * 100 == pytest.approx(f[1], abs=1e-9)
    mean = np.mean([(j[1] + f[1]) / 2 for j, f in scores.values()])
    assert result["scores"]["J&F-Mean"] * 100 == pytest.approx(mean, abs=1e-9)
