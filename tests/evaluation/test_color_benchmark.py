"""The colour benchmark: which clips, what methods see of them, and the scores they get."""

from __future__ import annotations

import json
import math
import pickle
import sys
import types
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from synthetic import moving_clip, rgb_of, still, write_clip

from chromatrack.errors import InputError, LayoutError, VideoError
from chromatrack.evaluation.baselines.colorizers import (
    CHAINED,
    FLOW,
    GREY,
    STILL,
    Method,
    colored_from,
    frame_by_frame,
    grey_of,
    held_still,
    single_method,
    tracker_method,
)
from chromatrack.evaluation.datasets.color import TRUTH, color_benchmark, color_table
from chromatrack.evaluation.datasets.color_clips import read_clips
from chromatrack.evaluation.metrics import perceptual
from chromatrack.evaluation.metrics.color import ColorConsistency, colorfulness
from chromatrack.evaluation.runner import evaluate
from chromatrack.evaluation.tables import table_text
from chromatrack.model.encoder import build_encoder
from chromatrack.propagation.config import PropagateConfig
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

SIZE = (32, 48)
FRAMES = rgb_of(moving_clip(frames=7, size=SIZE, radius=9))


@pytest.fixture
def root(tmp_path) -> Path:
    write_clip(tmp_path / "clips/discs", FRAMES)
    return tmp_path / "clips"


def make_tracker() -> Tracker:
    torch.manual_seed(0)
    return Tracker(build_encoder(TINY), device="cpu", config=TrackConfig(size=32), model="ours")


def told(reference, greys, *, frames):
    """A colourer that knows the truth."""
    for index, _ in greys:
        yield index, frames[index]


def measured(root, *, methods=(), others=None, tracker=None, **options):
    benchmark = color_benchmark(root, methods=methods, others=others, **options)
    return evaluate(benchmark, tracker=tracker)


# -- scores --------------------------------------------------------------------------------


def test_the_truth_scores_perfectly_and_grey_has_no_colors(root):
    result = measured(root, methods=["grey"], others={"told": Method(partial(told, frames=FRAMES))})
    perfect, grey = (result["methods"][name] for name in ("told", GREY))
    assert (perfect["PSNR"], perfect["SSIM"]) == (math.inf, 1)
    assert perfect["CIEDE2000"] == perfect["CIEDE2000-p90"] == 0
    assert perfect["CDC"] == result[TRUTH]["CDC"] > 0
    assert perfect["colorfulness"] == result[TRUTH]["colorfulness"] > 5
    assert grey["colorfulness"] == 0 and grey["CIEDE2000"] > 3
    assert grey["PSNR"] < 40 and grey["SSIM"] < 1 and grey["CIEDE2000-p90"] > grey["CIEDE2000"]
    assert result["scores"] == {name: score for name, score in grey.items() if name != "seconds"}


def test_scores_are_means_over_the_later_frames(root):
    result = measured(root, methods=["still"])
    pictures = held_still(FRAMES[0], [(i, grey_of(FRAMES[i])) for i in range(1, 7)])
    apart, decibel, colors, drift = [], [], [], ColorConsistency()
    for index, rgb in pictures:
        apart.append(deltaE_ciede2000(rgb2lab(rgb), rgb2lab(FRAMES[index])))
        decibel.append(peak_signal_noise_ratio(FRAMES[index], rgb))
        colors.append(colorfulness(rgb))
        drift.add(rgb)
    found = result["sequences"]["discs"]["methods"][STILL]
    assert found["CIEDE2000"] == pytest.approx(np.mean(apart), abs=1e-3)
    p90 = np.mean([np.percentile(frame, 90) for frame in apart])
    assert found["CIEDE2000-p90"] == pytest.approx(p90, abs=2e-3)
    assert found["PSNR"] == pytest.approx(np.mean(decibel))
    assert found["colorfulness"] == pytest.approx(np.mean(colors))
    assert found["CDC"] == drift.value
    assert result["methods"][STILL] == found, "one clip: its scores are the means"


def test_a_clip_that_does_not_change_is_kept_by_holding_still(tmp_path):
    write_clip(tmp_path / "still", [still(SIZE)] * 6)
    result = measured(tmp_path / "still", methods=["still", "grey"])
    assert result["methods"][STILL]["PSNR"] > 45 and result["methods"][STILL]["CDC"] == 0
    assert result[TRUTH]["CDC"] == 0


def test_clips_count_alike_and_short_ones_have_no_cdc(root):
    write_clip(root / "short", [FRAMES[0], FRAMES[3]])
    result = measured(root, methods=["still"])
    long, short = (result["sequences"][n]["methods"][STILL] for n in ("discs", "short"))
    assert short["CDC"] is None and result["methods"][STILL]["CDC"] == long["CDC"]
    assert result["methods"][STILL]["PSNR"] == pytest.approx((long["PSNR"] + short["PSNR"]) / 2)
    assert result["frames"] == 9
    alone = measured(root, methods=["still"], clips=["short"])
    assert alone["methods"][STILL]["CDC"] is None
    assert "short" in table_text(color_table(alone))


def test_the_model_and_every_comparison_point_stand_in_one_table(root, tmp_path):
    tracker = make_tracker()
    known = ["model", "still", "grey"]
    pytest.importorskip("cv2", reason="OpenCV is not installed (the extra `flow`)")
    seen = []
    benchmark = color_benchmark(root, methods=[*known, "flow", "flow chained"])
    result = evaluate(
        benchmark,
        tracker=tracker,
        output=tmp_path / "out",
        progress=lambda *a: seen.append(a),
    )
    assert list(result["methods"]) == ["ours", STILL, GREY, FLOW, CHAINED]
    assert (
        result["model"] == "ours" and result["scores"].items() <= result["methods"]["ours"].items()
    )
    assert [done for _, done, _ in seen] == [1, 2, 3, 4, 5, 6, 7]
    shown = table_text(color_table(result))
    for text in ("CIEDE2000-p90", "flow chained", f"{result['scores']['PSNR']:.2f}", "truth"):
        assert text in shown
    assert (tmp_path / "out/sheets/discs.png").stat().st_size > 1000
    assert json.loads((tmp_path / "out/result.json").read_text())["methods"] == result["methods"]


# -- what methods see ----------------------------------------------------------------------


def test_methods_see_no_color_and_not_the_future(root):
    log = []

    def spy(reference, greys):
        np.testing.assert_array_equal(reference, FRAMES[0])
        for index, grey in greys:
            log.append(("shown", index))
            np.testing.assert_array_equal(grey, grey_of(FRAMES[index]))
            assert (np.ptp(grey, axis=2) == 0).all()
            yield index, grey

    benchmark = color_benchmark(root, methods=(), others={"spy": Method(spy)})
    evaluate(benchmark, tracker=None, progress=lambda _, done, total: log.append(("done", done)))
    expected = [step for i in range(1, 7) for step in (("shown", i), ("done", i + 1))]
    assert log == [("done", 1), *expected], "streamed: one frame at a time"


def test_a_trackers_colors_do_not_hang_on_the_clips_own(root, tmp_path):
    write_clip(tmp_path / "other/discs", [FRAMES[0], *(grey_of(rgb) for rgb in FRAMES[1:])])
    results = [
        measured(folder, methods=["model"], tracker=make_tracker())
        for folder in (root, tmp_path / "other")
    ]
    colors = [result["scores"]["colorfulness"] for result in results]
    assert colors[0] == colors[1] > 1
    assert results[0]["scores"]["PSNR"] != results[1]["scores"]["PSNR"]


def test_single_pictures_are_colored_by_a_function(root):
    def warm(rgb):
        tint = rgb.astype(int) + np.array([20, 0, -20])
        return tint.clip(0, 255).astype(np.uint8)

    result = measured(root, methods=["grey"], others={"warm": single_method(warm)})
    assert result["methods"]["warm"]["colorfulness"] > 8


def test_trackers_that_remember_or_do_not_say_are_shown_every_frame():
    assert tracker_method(make_tracker()).every, "colours are carried over time"
    assert not frame_by_frame(make_tracker()).every
    remembers = Tracker(
        build_encoder(TINY), device="cpu", config=TrackConfig(color=PropagateConfig(recent=2))
    )
    assert tracker_method(remembers).every
    assert tracker_method(object()).every


# -- where the reference comes from ----------------------------------------------------------


def test_a_reference_in_the_middle_colors_both_ways(root):
    seen = []

    def spy(reference, greys):
        np.testing.assert_array_equal(reference, FRAMES[3])
        part = list(greys)
        seen.append([index for index, _ in part])
        yield from ((index, FRAMES[index]) for index, _ in part)

    result = measured(root, others={"spy": Method(spy)}, reference="middle")
    assert seen == [[2, 1, 0], [4, 5, 6]], "away from the reference, on either side"
    assert result["methods"]["spy"]["PSNR"] == math.inf


def test_a_tracker_is_given_the_middle_frame_at_its_place(root):
    class Placed:
        model = "placed"

        def colorize(self, video, *, references):
            ((rgb, index),) = references
            np.testing.assert_array_equal(rgb, FRAMES[3])
            assert index == 3 and len(list(Path(video).iterdir())) == 7
            return (types.SimpleNamespace(index=i, rgb=FRAMES[i]) for i in range(7))

    result = measured(root, methods=["model"], tracker=Placed(), reference="middle")
    assert result["methods"]["placed"]["PSNR"] == math.inf


def test_a_reference_of_another_scene_is_the_next_clips(root):
    write_clip(root / "flat", [still(SIZE)] * 3)
    seen = {}

    def spy(reference, greys):
        pictures = list(greys)
        seen[len(pictures)] = reference
        yield from pictures

    measured(root, others={"spy": Method(spy)}, reference="other scene")
    np.testing.assert_array_equal(seen[7], still(SIZE))
    np.testing.assert_array_equal(seen[3], FRAMES[0])
    with pytest.raises(InputError, match="two clips or more"):
        color_benchmark(root, clips=["flat"], reference="other scene")
    with pytest.raises(InputError, match="expected one of first, middle, other scene, got 'last'"):
        color_benchmark(root, reference="last")


def test_colors_from_any_frame_come_in_the_clips_order():
    def same(reference, greys):
        yield from greys

    greys = [(i, FRAMES[i]) for i in range(7)]
    for at in (0, 3, 6, None):
        rest = [picture for picture in greys if picture[0] != at]
        found = list(colored_from(Method(same), FRAMES[at or 0], at, iter(rest)))
        assert [index for index, _ in found] == [index for index, _ in rest]


def test_means_have_intervals_over_clips(root):
    write_clip(root / "short", [FRAMES[0], FRAMES[3], FRAMES[6]])
    result = measured(root, methods=["still", "grey"])
    low, high = result["intervals"][STILL]["PSNR"]
    each = sorted(report["methods"][STILL]["PSNR"] for report in result["sequences"].values())
    assert each[0] == pytest.approx(low) and each[1] == pytest.approx(high)
    assert "CDC" not in result["intervals"][STILL], "of one clip alone there is none"
    assert f"±{(high - low) / 2:.2f}" in table_text(color_table(result))


def test_what_flickers_and_bleeds_scores_worse_than_what_does_not(tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed (the extra `flow`)")
    frames = rgb_of(moving_clip(frames=6, size=(64, 96), radius=18))
    write_clip(tmp_path / "discs", frames)

    def flickers(reference, greys):
        for index, _ in greys:
            yield index, np.roll(frames[index], index % 2, axis=2)

    others = {"told": Method(partial(told, frames=frames)), "flickers": Method(flickers)}
    found = measured(tmp_path / "discs", methods=["still"], others=others)["methods"]
    assert found["told"]["edge-error"] == 0 < found[STILL]["edge-error"]
    for name in ("flicker", "warp-error"):
        assert found["flickers"][name] > 2 * found["told"][name]


# -- what goes wrong -----------------------------------------------------------------------


def stops(reference, greys):
    yield next(iter(greys))


def shrinks(reference, greys):
    return ((index, grey[1:]) for index, grey in greys)


def skips(reference, greys):
    return ((index + 1, grey) for index, grey in greys)


@pytest.mark.parametrize(
    ("colorer", "got"),
    [(stops, "frame 2.*got nothing"), (shrinks, r"\(31, 48, 3\)"), (skips, "got frame 2")],
)
def test_methods_that_miss_frames_are_named(root, colorer, got):
    with pytest.raises(InputError, match=f"discs, method 'bad': expected .*{got}"):
        measured(root, others={"bad": Method(colorer)})


def test_methods_are_checked_before_anything_runs(root):
    for names, message in (
        (["vivid"], "vivid"),
        (["still", "still"], "each once"),
    ):
        with pytest.raises(InputError, match=message):
            color_benchmark(root, methods=names)
    with pytest.raises(InputError, match="one or more"):
        measured(root)
    with pytest.raises(InputError, match="each name once; got grey, grey"):
        measured(root, methods=["grey"], others={"grey": Method(held_still)})
    with pytest.raises(InputError, match="expected a model that colours, got object"):
        measured(root, methods=["model"], tracker=object())


def test_flow_without_opencv_is_left_out_unless_asked_for(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr("chromatrack.evaluation.baselines.colorizers.find_spec", lambda name: None)
    assert color_benchmark(root).settings["methods"] == ["model", "frame by frame", "still", "grey"]
    with pytest.raises(InputError, match=r"chromatrack\[flow\]"):
        color_benchmark(root, methods=["flow"])


# -- clips ---------------------------------------------------------------------------------


def test_clips_are_found_in_every_layout(tmp_path):
    write_clip(tmp_path / "JPEGImages/480p/bear", FRAMES[:3])
    write_clip(tmp_path / "JPEGImages/480p/car", FRAMES[:2])
    assert [(c.name, c.frame_count) for c in read_clips(tmp_path)] == [("bear", 3), ("car", 2)]
    mixed = tmp_path / "mixed"
    write_clip(mixed / "box/img", FRAMES[:3])
    write_clip(mixed / "disc.mp4", FRAMES[:4])
    write_clip(mixed / "disc", FRAMES[:2])
    (mixed / "notes.txt").write_text("")
    (mixed / ".hidden").mkdir()
    found = {clip.name: (clip.frame_count, clip.size) for clip in read_clips(mixed)}
    assert found == {"box": (3, SIZE), "disc": (2, SIZE), "disc.mp4": (4, SIZE)}
    assert [c.name for c in read_clips(mixed / "disc.mp4")] == ["disc"]
    assert [c.name for c in read_clips(mixed / "disc")] == ["disc"]
    some = read_clips(mixed, clips=["box"], frames=2, short_side=16)
    assert [(c.name, c.frame_count, c.size) for c in some] == [("box", 2, (16, 24))]
    assert [f.index for f in some[0].frames()] == [0, 1]


def test_clips_that_are_not_there_or_cannot_be_read_are_named(tmp_path, root):
    with pytest.raises(LayoutError, match="nowhere"):
        read_clips(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match="holds no clip"):
        read_clips(tmp_path / "empty")
    with pytest.raises(InputError, match="must be among discs; got cats"):
        read_clips(root, clips=["cats"])
    with pytest.raises(InputError, match="2 or more"):
        read_clips(root, frames=1)
    write_clip(root / "one", FRAMES[:1])
    with pytest.raises(VideoError, match="one: expected 2 frames or more"):
        read_clips(root)
    (root / "torn.mp4").write_bytes(b"no video at all" * 40)
    with pytest.raises(VideoError, match=r"torn\.mp4"):
        read_clips(root, clips=["torn"])


def test_a_picture_damaged_in_the_middle_is_named(root):
    (root / "discs/00003.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"00003\.png"):
        measured(root, methods=["grey"])


def test_clips_can_be_measured_in_another_process(root):
    others = {"second": tracker_method(make_tracker())}
    benchmark = color_benchmark(root, methods=["still", "grey"], others=others)
    sent = pickle.loads(pickle.dumps((benchmark.measure, benchmark.clips[0])))
    reports = [
        measure(clip, tracker=None, folder=None, tick=lambda: None)
        for measure, clip in (sent, (benchmark.measure, benchmark.clips[0]))
    ]
    for report in reports:
        for scores in report["methods"].values():
            assert scores.pop("seconds") >= 0
    assert reports[0] == reports[1] and "second" in reports[0]["methods"]


# -- LPIPS ---------------------------------------------------------------------------------


class Apart(torch.nn.Module):
    """Stands for a network of LPIPS: the mean difference of what it is shown."""

    def __init__(self, **options):
        super().__init__()
        assert options.get("net", options.get("net_type")) == "alex"

    def forward(self, a, b):
        assert a.shape == b.shape == (1, 3, *SIZE) and a.dtype == torch.float32
        assert float(torch.min(a.min(), b.min())) >= -1 and float(torch.max(a.max(), b.max())) <= 1
        return (a - b).abs().mean().reshape(1, 1, 1, 1)


@pytest.mark.parametrize(
    ("package", "name"),
    [("lpips", "LPIPS"), ("torchmetrics.image.lpip", "LearnedPerceptualImagePatchSimilarity")],
)
def test_lpips_is_a_column_where_a_package_has_it(root, monkeypatch, package, name):
    module = types.ModuleType(package)
    setattr(module, name, Apart)
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.setitem(sys.modules, package, module)
    if "." in package:
        for parent in ("torchmetrics", "torchmetrics.image"):
            monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    result = measured(root, methods=["grey"], others={"told": Method(partial(told, frames=FRAMES))})
    assert result["settings"]["notes"] == []
    assert result["methods"]["told"]["LPIPS"] == 0
    apart = [np.abs(grey_of(rgb).astype(float) - rgb).mean() / 127.5 for rgb in FRAMES[1:]]
    assert result["methods"][GREY]["LPIPS"] == pytest.approx(np.mean(apart), rel=1e-5)
    assert "LPIPS" in table_text(color_table(result))


@pytest.mark.parametrize("error", [ImportError("no lpips"), RuntimeError("nms\nlong"), OSError()])
def test_without_lpips_the_column_is_absent_and_said_to_be(root, monkeypatch, error):
    def refuse():
        raise error

    monkeypatch.setattr(perceptual, "_network", refuse)
    result = measured(root, methods=["grey"])
    assert "LPIPS" not in result["methods"][GREY]
    assert len(result["settings"]["notes"]) == 1 and "lpips" in result["settings"]["notes"][0]
    assert "LPIPS" not in table_text(color_table(result))
