"""The benchmark of stages: its counts against counts by hand, its arithmetic, and that it runs."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import chromatrack
from chromatrack.model.weights import load_encoder
from chromatrack.ops.affinity import tiled_affinity, window_mask
from chromatrack.video.reader import read_frames

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ceilings(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import ceilings  # pyright: ignore[reportMissingImports]

    return ceilings


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import stage_tables  # pyright: ignore[reportMissingImports]

    return stage_tables


@pytest.fixture
def stages(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import stages  # pyright: ignore[reportMissingImports]

    return stages


# -- counts ----------------------------------------------------------------------------------


def test_a_convolution_is_counted_as_by_hand(ceilings):
    layer, image = nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.randn(1, 3, 10, 12)
    with torch.inference_mode():
        found = ceilings.forward_operations(lambda: layer(image))
    assert found == ceilings.Operations(2 * (8 * 5 * 6) * (3 * 3 * 3), 0)


def test_what_has_no_product_counts_nothing(ceilings):
    assert ceilings.forward_operations(lambda: torch.ones(3) + 1).total == 0


def test_the_tiled_pointer_is_counted_as_by_hand(ceilings):
    C, tile, radius = 5, 12, 2
    target, references = torch.randn(C, 12, 24), torch.randn(2, C, 12, 24)
    knobs = {"radius": [radius, radius], "top_k": 3, "temperature": 0.1, "tile": tile}
    found = ceilings.forward_operations(lambda: tiled_affinity(target, references, **knobs))
    tiles, halo = 2, tile + 2 * radius
    assert found.total == 2 * (2 * tiles) * tile**2 * halo**2 * (C + 1)


def test_a_pointer_needs_the_cells_of_its_windows(ceilings):
    everywhere = torch.ones(3, 3, dtype=torch.bool)
    pairs = 4 * 4 + 4 * 6 + 1 * 9  # corners, edges, the middle
    assert ceilings.pointer_operations(everywhere, radius=[1], channels=2) == 2 * 2 * pairs
    middle = torch.zeros(3, 3, dtype=torch.bool)
    middle[1, 1] = True
    assert ceilings.pointer_operations(middle, radius=[1, 0, None], channels=7) == 2 * 7 * (
        9 + 1 + 9
    )


@pytest.mark.parametrize("disc", [False, True])
@pytest.mark.parametrize("radius", [1, 2, 3, 9])
def test_a_pointer_needs_what_the_window_mask_allows(ceilings, radius, disc):
    torch.manual_seed(0)
    active = torch.rand(5, 7) > 0.4
    shape = "disc" if disc else "square"
    allowed = window_mask((5, 7), radius=radius, radius_shape=shape)
    pairs = int(allowed[active.flatten()].sum())
    found = ceilings.pointer_operations(active, radius=[radius], channels=3, disc=disc)
    assert found == 2 * 3 * pairs


# -- tables ----------------------------------------------------------------------------------


def stage(name: str, ms: list[float], **more: object) -> dict[str, object]:
    row = {"name": name, "ms": ms, "in_path": True, "operations": 0, "needed": None}
    return row | {"peak_mib": None} | more


def test_percentiles_and_rate(tables):
    found = tables.Spread.of([10.0, 20.0, 30.0, 40.0, 150.0])
    assert (found.p50, found.per_second) == (30.0, 20.0)
    assert found.p95 == pytest.approx(40 + 0.8 * 110)


def test_stages_have_shares_and_floors(tables):
    found = {
        "gemm": [1e9, 2e9],
        "stages": [
            stage("pointer, every cell", [8.0], in_path=False, operations=9, needed=4_000_000),
            stage("encoder", [30.0, 30.0], operations=20_000_000),
            stage("pointer", [6.0], operations=9_000_000, needed=4_000_000),
            stage("colour", [4.0], operations=1_000_000),
        ],
    }
    rows = tables.stage_rows(found)
    assert [row["name"] for row in rows] == ["encoder", "pointer", "colour", "pointer, every cell"]
    assert [row.get("share") for row in rows] == [0.75, 0.15, 0.1, None]
    assert [row.get("floor_ms") for row in rows] == [10.0, 2.0, None, 2.0], "better rate, needed"
    assert [row.get("over_floor") for row in rows] == [3.0, 3.0, None, 4.0]
    full = tables.full_row({"ms": [80.0], "operations": 8e7, "peak_mib": 7.0}, rate=2e9)
    assert (full["over_floor"], full["in_path"]) == (2.0, False)
    text = tables.stage_table([*rows, full])
    assert text.endswith(tables.stage_line(full))
    assert "| encoder | 30.0 | 30.0 | 33.3 | 75.0% |  | 0.02 |  | 10.00 | 3.0 |" in text
    assert "| (pointer, plain full matrix) | 80.0 | 80.0 | 12.5 |  | 7 | 0.08 |  | 40.00 |" in text
    said = tables.notes([*rows, full], frame_ms=50.0)
    assert said[0] == "sum of the stages on the way: 40.0 ms; a frame end to end: 50.0 ms"
    assert said[1] == "plain full matrix: 13.3 times the time of `pointer`"


def end_to_end(seconds: float, **results: str) -> dict[str, object]:
    latency = [1000 * seconds / 4] * 3
    return {
        "frames": 4,
        "seconds": seconds,
        "latency_ms": latency,
        "peak_mib": 100.0,
        "results": results,
    }


def test_two_commits_are_compared_pair_by_pair(tables):
    before = [end_to_end(4.0, a="1", b="2"), end_to_end(2.0, a="1", b="2")] * 2
    after = [end_to_end(2.0, a="1", b="3"), end_to_end(2.0, a="1", b="3", c="4")] * 2
    found = tables.pair_rows(before, after)
    assert found["before"]["frames_per_second"] == 1.5
    assert found["after"]["frames_per_second"] == 2.0
    assert found["ratio"]["frames_per_second"] == {"median": 1.5, "least": 1.0, "most": 2.0}
    assert found["ratio"]["p50_ms"]["median"] == 0.75
    assert (found["differing"], found["files"]) == (["b", "c"], 3)
    assert "1.500 [1.000, 2.000]" in tables.pair_table(found, name="old")
    assert "2 of 3 files differ (b, c)" in tables.sameness(found)
    assert "all 2 files the same" in tables.sameness(tables.pair_rows(before, before))


# -- clips -----------------------------------------------------------------------------------


def test_a_clip_goes_round_without_a_seam(stages, tmp_path):
    import stage_clips  # pyright: ignore[reportMissingImports]

    assert [stage_clips.frame_size(n) for n in ("240p", "480p", "1080p")] == [
        (240, 426), (480, 854), (1080, 1920)
    ]  # fmt: skip
    scene = stage_clips.Scene((48, 86), 5)
    masks = [mask for _, mask in stage_clips.render(scene)]
    assert all(set(np.unique(mask)) == set(range(6)) for mask in masks)
    moved = [(a != b).mean() for a, b in zip(masks, [*masks[1:], masks[0]], strict=True)]
    assert 0 < moved[-1] < 2 * max(moved[:-1])
    video, _, first = stage_clips.write_clip(tmp_path, scene, frames=stage_clips.PERIOD + 1)
    frames = [frame.rgb.astype(float) for frame in read_frames(video)]
    assert len(frames) == stage_clips.PERIOD + 1
    assert np.abs(frames[0] - frames[-1]).mean() < np.abs(frames[0] - frames[24]).mean() / 2
    points = stage_clips.spread_points(first, 7)
    on = [first[round(y), round(x)] > 0 for x, y in points]
    assert on == [True] * 4 + [False] * 3


def test_a_larger_clip_is_enlarged(stages, monkeypatch):
    import stage_clips  # pyright: ignore[reportMissingImports]

    scene = stage_clips.Scene((96, 170), 1)
    drawn = next(stage_clips.render(scene))
    monkeypatch.setattr(stage_clips, "_FINEST", 48)
    rgb, mask = next(stage_clips.render(scene))
    assert rgb.shape == (96, 170, 3) and mask.shape == (96, 170)
    both, one = ((mask == 1) & (drawn[1] == 1)).sum(), ((mask == 1) | (drawn[1] == 1)).sum()
    assert both > 0.9 * one


# -- what is measured ------------------------------------------------------------------------


@pytest.fixture
def case(stages, tmp_path):
    import stage_clips  # pyright: ignore[reportMissingImports]

    scene = stage_clips.Scene((64, 96), 2)
    video, mask, first = stage_clips.write_clip(tmp_path, scene, frames=stages.LEAST_FRAMES)
    points = stage_clips.spread_points(first, 3)
    clip = stages.Clip("clip", str(video), str(mask), points)
    options = stages.parsed(["--size", "64", "--threads", "1"])
    case = stages.case_of(clip, options, tmp_path, frames=stages.LEAST_FRAMES)
    return replace(case, source=str(Path(chromatrack.__file__).parents[1]))


@pytest.mark.slow
def test_every_stage_is_measured(case, tables):
    import stage_probes  # pyright: ignore[reportMissingImports]

    found = stage_probes.stages(case)
    on_the_way = {row["name"] for row in found["stages"] if row["in_path"]}
    assert on_the_way == {
        "decode", "resize", "colour", "encoder", "pointer", "readout", "recall", "points",
        "mask decoder", "reliability", "upsample, to ids", "draw", "encode, masks",
        "encode, overlay", "write tables",
    }  # fmt: skip
    assert all(len(row["ms"]) == 1 for row in found["stages"]), "one warms up, one is counted"
    rows = {row["name"]: row for row in tables.stage_rows(found)}
    pointer = rows["pointer"]
    assert 0 < pointer["needed"] <= rows["pointer, every cell"]["needed"]
    assert all(rows[name]["over_floor"] > 0 for name in ("encoder", "pointer", "mask decoder"))
    full = stage_probes.full_matrix(case)
    cells, channels = 8 * 12, load_encoder("small").spec.channels
    assert full["operations"] == 2 * 5 * cells**2 * channels


def test_end_to_end_tells_frames_and_results(case, tables):
    import stage_children  # pyright: ignore[reportMissingImports]

    found = stage_children.end_to_end(case)
    assert (found["frames"], len(found["latency_ms"])) == (9, 8)
    masks = {f"masks/{number:05d}.png" for number in range(9)}
    assert set(found["results"]) == {*masks, "things.csv", "tracks.csv"}
    assert tables.end_to_end_row(found)["peak_mib"] > 10


def test_other_code_than_was_asked_for_is_refused(case, tmp_path):
    import stage_children  # pyright: ignore[reportMissingImports]

    elsewhere = stage_children.Case(**{**case.__dict__, "source": str(tmp_path)})
    with pytest.raises(SystemExit, match=f"expected the code in {tmp_path}"):
        stage_children.loaded(elsewhere)


# -- two commits -----------------------------------------------------------------------------


@pytest.fixture
def repository(stages, tmp_path, monkeypatch):
    """One with a commit, taken for the package's own."""
    folder = tmp_path / "repository"
    for arguments in (
        ["init", "-q", str(folder)],
        ["-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-q",
         "--allow-empty", "-m", "First"],
    ):  # fmt: skip
        subprocess.run(["git", *arguments], check=True)
    monkeypatch.setattr(stages, "ROOT", folder)
    return folder


@pytest.mark.parametrize("ending", [None, KeyboardInterrupt, ValueError])
def test_a_worktree_is_gone_however_it_ends(stages, repository, tmp_path, ending):
    handler = signal.getsignal(signal.SIGINT)
    try:
        with stages.checked_out("HEAD", tmp_path) as tree:
            (tree / "new").write_text("x")
            assert str(tree) in stages.git("worktree", "list")
            if ending is not None:
                raise ending
    except (KeyboardInterrupt, ValueError):
        assert ending is not None
    assert not tree.exists()
    assert len(stages.git("worktree", "list").splitlines()) == 1
    assert signal.getsignal(signal.SIGINT) is handler


def test_no_such_commit_is_said_in_one_line(stages, repository, tmp_path):
    with (
        pytest.raises(stages.BenchmarkError, match="--against nix: expected a commit"),
        stages.checked_out("nix", tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "arguments",
    [
        ["--video", "a.mp4"],
        ["--video", "a.mp4", "--masks", "m.png", "--sizes", "240p"],
        ["--sizes", "large"],
        ["--frames", "8"],
        ["--pairs", "0"],
        ["--objects", "-1"],
        ["--only", "full-matrix"],
        ["--against", "HEAD", "--only", "stages"],
    ],
)
def test_what_cannot_be_measured_is_refused(stages, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        stages.parsed(arguments)
    assert ended.value.code == 2
    assert arguments[-2].lstrip("-") in capsys.readouterr().err or "--video" in arguments
