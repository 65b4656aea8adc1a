"""A film of several shots: its references, its frames worth colouring, its look, and going on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as given_numbers
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from synthetic import moving_clip, rgb_of, write_clip

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.identity import RawLabEncoder
from chromatrack.formats.shots import Shot
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.runs import frame_samples, suggested
from chromatrack.runs.color_look import Look, paler
from chromatrack.runs.colorized import FilmOptions, colorize_to_file
from chromatrack.runs.frame_samples import FrameSamples
from chromatrack.runs.shot_references import pictures_in, ranges, shot_parts
from chromatrack.runs.shots import find_shots
from chromatrack.runs.suggested import candidates, suggest_references
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.frame_likeness import choose
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.luma import read_luma
from chromatrack.video.reader import Frame, read_frames

SHOTS = (Shot(0, 4), Shot(4, 9), Shot(9, 12))


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    config = TrackConfig(size=64, adapt=0)
    return Tracker(RawLabEncoder(), device="cpu", config=config, model="raw-lab")


@pytest.fixture(scope="module")
def frames():
    found = []
    for seed, count in ((0, 4), (1, 5), (2, 3)):
        found += rgb_of(moving_clip(frames=count, size=(64, 96), seed=seed))
    return found


@pytest.fixture(scope="module")
def film(frames, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("film") / "film.mp4", frames)


def test_a_reference_counts_in_its_shot_and_a_still_in_all():
    parts = shot_parts(SHOTS, ["a.png@1", "b.png@5", "still.png"], first=0, end=None)
    assert [part.references for part in parts] == [
        ("a.png@1", "still.png"),
        ("b.png@5", "still.png"),
        ("still.png",),
    ]
    assert [(part.first, part.end) for part in parts] == [(0, 4), (4, 9), (9, None)]
    assert not any(part.borrowed for part in parts)


def test_a_shot_without_reference_takes_those_most_like_it():
    names = [f"{n}.png@{n}" for n in range(4, 9)]
    asked = []

    def likest(shot, references):
        asked.append(shot)
        return references[::-1]

    parts = shot_parts(SHOTS, names, first=2, end=11, likest=likest)
    assert [part.borrowed for part in parts] == [True, False, True]
    assert parts[0].references == tuple(names[:0:-1]) and parts[1].references == tuple(names)
    assert asked == [SHOTS[0], SHOTS[2]]
    assert [(part.first, part.end) for part in parts] == [(2, 4), (4, 9), (9, 11)]


def test_references_count_everywhere_where_asked_and_without_shots():
    names = ["a.png@1", "b.png@5"]
    for part in shot_parts(SHOTS, names, first=0, end=None, everywhere=True):
        assert part.references == tuple(names) and not part.borrowed
    assert shot_parts((), names, first=3, end=None)[0].references == tuple(names)


def test_a_reference_behind_the_film_is_said_at_once():
    with pytest.raises(InputError, match=r"expected a frame before 12, .* got 12"):
        shot_parts(SHOTS, ["a.png@12"], first=0, end=None)
    with pytest.raises(InputError, match="before 12"):
        shot_parts(SHOTS, ["a.png@2"], first=12, end=None)


def test_numbers_are_told_as_spans():
    assert ranges([1, 3, 4, 5, 9]) == "1, 3-5, 9"
    assert ranges(list(range(0, 40, 2))).endswith("22, and 8 more")


def test_a_folder_is_its_coloured_pictures(frames, tmp_path):
    for name in ("frame_00003.png", "00005.jpg", "sea.png"):
        Image.fromarray(frames[0]).save(tmp_path / name)
    Image.fromarray(frames[0]).convert("L").save(tmp_path / "frame_00007.png")
    with pytest.warns(UserWarning, match="1 of its 4 pictures are still grey"):
        found = pictures_in([str(tmp_path), "x.png@2"])
    names = ["00005.jpg@5", "frame_00003.png@3", "sea.png"]
    assert found == [*(str(tmp_path / name) for name in names), "x.png@2"]
    with pytest.raises(InputError, match="expected coloured pictures in the folder, got no"):
        (tmp_path / "empty").mkdir()
        pictures_in([str(tmp_path / "empty")])


def test_a_bare_number_is_a_frame_only_where_it_looks_like_it(film, frames, tmp_path):
    other = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(12, 0)
    tinted = (frames[5] * [0.9, 0.8, 1.0]).round().astype(np.uint8)
    pictures = {"00005.png": tinted, "2.png": other, "900.png": frames[0], "frame_3.png": other}
    for name, rgb in pictures.items():
        Image.fromarray(rgb).save(tmp_path / name)
    with pytest.warns(UserWarning, match=r"2.png, 900.png do not look .* frame_2.png, or give"):
        found = pictures_in([str(tmp_path)], film)
    names = ["00005.png@5", "2.png", "900.png", "frame_3.png@3"]
    assert found == [str(tmp_path / name) for name in names]


def test_every_shot_has_a_candidate_and_long_ones_more():
    found = candidates([Shot(0, 10, whole=(4, 10)), Shot(10, 20_000), Shot(20_000, 20_001)])
    shots = [number for _, number, _ in found]
    assert len(found) <= 400 and shots.count(1) == shots.count(3) == 1 and shots.count(2) > 350
    assert found[0][0] >= 4 and sum(weight for *_, weight in found) == pytest.approx(19_997)
    assert len(candidates([Shot(n, n + 1) for n in range(900)])) == 400


def test_the_choice_covers_most_with_few():
    import torch

    torch.manual_seed(0)
    kinds = torch.nn.functional.normalize(torch.randn(3, 8, 64), dim=2)
    looks = [kinds[k] for k in (0, 1, 1, 2)]
    chosen = choose(looks, [1.0, 1.0, 1.0, 3.0], 4)
    assert [one.index for one in chosen] == [3, 1, 0]  # nothing is left for a fourth
    assert [one.added for one in chosen] == pytest.approx([0.5, 1 / 3, 1 / 6])


def test_suggestions_are_grey_and_those_coloured_stay(tracker, film, frames, tmp_path):
    found = suggest_references(tracker, film, SHOTS, count=1, output=tmp_path)
    assert 1 <= len(found) <= 2 and 0 < found[0].alone <= 1
    one = found[0]
    assert one.path.name == f"frame_{one.frame:05d}.png"
    grey = np.array(Image.open(one.path))
    assert grey.shape == (64, 96, 3) and np.ptp(grey, axis=2).max() == 0
    light = [rgb_to_lab(planes(rgb).float() / 255)[0] for rgb in (grey, frames[one.frame])]
    assert float((light[0] - light[1]).abs().mean()) < 1.5
    Image.fromarray(frames[one.frame]).save(one.path)
    again = suggest_references(tracker, film, SHOTS, count=1, output=tmp_path)
    assert again[0].is_colored and np.array_equal(np.array(Image.open(one.path)), frames[one.frame])
    with pytest.raises(InputError, match="at least 1, got 0"):
        suggest_references(tracker, film, SHOTS, count=0, output=tmp_path)


def test_a_film_is_read_once_to_find_shots_and_suggest(tracker, film, monkeypatch, tmp_path):
    alone = suggest_references(tracker, film, SHOTS, count=1, output=tmp_path / "a")
    samples, read = FrameSamples((64, 96)), []
    find_shots(film, samples=samples)
    assert list(samples.light) == list(range(12))
    monkeypatch.setattr(suggested, "_read", lambda _, frames: read.extend(frames) or [])
    both = suggest_references(tracker, film, SHOTS, count=1, output=tmp_path / "b", samples=samples)
    assert [(x.frame, x.shot) for x in both] == [(x.frame, x.shot) for x in alone] and not read


def test_shots_that_no_picture_was_kept_of_are_read(tracker, film, monkeypatch, tmp_path):
    samples, read, before = FrameSamples((64, 96), every=8), [], suggested._read

    def noted(video, frames):
        read.extend(frames)
        return before(video, frames)

    monkeypatch.setattr(suggested, "_read", noted)
    find_shots(film, samples=samples)
    assert list(samples.light) == [0, 8]
    found = suggest_references(tracker, film, SHOTS, count=1, output=tmp_path, samples=samples)
    assert set(read) == {9, 10, 11}
    assert found[0].frame in (0, 8, 9, 10, 11)


@settings(deadline=None, max_examples=30)
@given_numbers(st.integers(1, 5000), st.integers(1, 40), st.data())
def test_kept_pictures_are_few_and_spread_evenly(count, most, data):
    samples = FrameSamples((16, 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_samples, "small_light", lambda *_: np.zeros((1, 1), np.uint8))
        patch.setattr(frame_samples, "MOST", most)
        for index in range(count):
            samples.add(Frame(np.zeros((1, 1, 3), np.uint8), index, index / 24))
    assert list(samples.light) == list(range(0, count, samples.every))
    assert len(samples.light) <= most and (samples.every == 1 or 2 * len(samples.light) >= most)
    index = data.draw(st.integers(0, count - 1))
    near = samples.nearest(index, 0, count)
    assert near is not None and abs(near - index) < samples.every
    inside = [i for i in samples.light if index <= i < count]
    assert samples.nearest(index, index, count) in (inside[:1] or [None])


def given(frames):
    return [(frames[at], at) for at in (0, 4, 9)]


def test_shots_are_coloured_each_by_its_own(tracker, film, frames, tmp_path):
    done = colorize_to_file(
        tracker,
        film,
        references=given(frames),
        output=tmp_path / "c.mkv",
        film=FilmOptions(SHOTS),
    )
    assert done.frames == 12
    for at in (0, 4, 9):
        alone = tmp_path / f"{at}.mkv"
        end = {0: 4, 4: 9, 9: 12}[at]
        colorize_to_file(
            tracker, film, references=[(frames[at], at)], output=alone, start=at, end=end
        )
        both = zip(read_frames(tmp_path / "c.mkv", start=at), read_frames(alone), strict=False)
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in both)


def test_a_shot_without_reference_is_named(tracker, film, frames, tmp_path):
    with pytest.warns(UserWarning, match="shots 1, 3 of 3 have no reference of their own"):
        colorize_to_file(
            tracker,
            film,
            references=[(frames[4], 4)],
            output=tmp_path / "c.mkv",
            film=FilmOptions(SHOTS),
        )


class Crash(RuntimeError):
    """Stands for a power cut: nothing is tidied that a dead process would not."""


@pytest.mark.parametrize("name", ["c.mp4", "c.mov", "pictures"])
def test_a_film_that_crashed_goes_on_shot_by_shot(
    tracker, film, frames, tmp_path, monkeypatch, name
):
    whole, out = tmp_path / f"whole-{name}", tmp_path / name
    maps = [tmp_path / "whole-map.mkv", tmp_path / "map.mkv"]
    options = {"references": given(frames)}
    options["film"] = FilmOptions(SHOTS, resume=True, unsure=maps[0])
    colorize_to_file(tracker, film, output=whole, **options)
    options["film"] = FilmOptions(SHOTS, resume=True, unsure=maps[1])
    real, begun = Tracker.colorize, []

    def dies(self, video, *, start, **rest):
        begun.append(start)
        for frame in real(self, video, start=start, **rest):
            if crash and frame.index == 7:
                raise Crash
            yield frame

    crash = True
    monkeypatch.setattr(Tracker, "colorize", dies)
    with pytest.raises(Crash):
        colorize_to_file(tracker, film, output=out, **options)
    assert not out.exists()
    crash = False
    other = options | {"references": [*given(frames), (frames[1], 1)]}
    with pytest.raises(InputError, match="resume: what was begun had another references"):
        colorize_to_file(tracker, film, output=out, **other)
    colorize_to_file(tracker, film, output=out, **options)
    assert begun == [0, 4, 4, 9]  # the shot it died in is done again, none before it
    assert not (tmp_path / f"{name}.resume").exists()
    pair = [[frame.rgb for frame in read_frames(path)] for path in (whole, out)]
    assert len(pair[0]) == 12 and all(map(np.array_equal, *pair))
    rows = [json.loads((tmp_path / f"{p.name}.reliability.json").read_text()) for p in (whole, out)]
    assert rows[0] == rows[1]
    lacks = [[frame.rgb for frame in read_frames(path)] for path in maps]
    assert len(lacks[0]) == 12 and all(map(np.array_equal, *lacks))
    assert lacks[0][0].max() < lacks[0][2].max()  # the reference itself is sure


def test_what_is_kept_of_others_is_not_touched(tracker, film, frames, tmp_path):
    (tmp_path / "c.mp4.resume").mkdir()
    (tmp_path / "c.mp4.resume" / "mine.txt").touch()
    with pytest.raises(InputError, match="is in the way"):
        colorize_to_file(
            tracker,
            film,
            references=given(frames),
            output=tmp_path / "c.mp4",
            film=FilmOptions(SHOTS, resume=True),
        )
    assert (tmp_path / "c.mp4.resume" / "mine.txt").exists()


def test_paler_colours_keep_their_light(frames):
    for rgb in (frames[0], frames[0].astype(np.uint16) * 257):
        lab = [
            rgb_to_lab(planes(x.astype(np.int32)).float() / (255 if x.dtype == np.uint8 else 65535))
            for x in (rgb, paler(rgb, 0.5), paler(rgb, 0.0))
        ]
        assert float((lab[1][0] - lab[0][0]).abs().max()) < 1.5
        chroma = [float(x[1:].norm(dim=0).mean()) for x in lab]
        assert chroma[1] == pytest.approx(chroma[0] / 2, rel=0.05) and chroma[2] < 0.5


def test_side_by_side_is_grey_and_coloured(tracker, film, frames, tmp_path):
    options = {"references": given(frames)[:1], "end": 2}
    plain, wide = tmp_path / "c.mkv", tmp_path / "w.mkv"
    colorize_to_file(tracker, film, output=plain, **options)
    look = FilmOptions(look=Look(side_by_side=True))
    colorize_to_file(tracker, film, output=wide, film=look, **options)
    for a, b in zip(read_frames(plain), read_frames(wide), strict=True):
        assert np.array_equal(b.rgb[:, 96:], a.rgb)
        assert np.ptp(b.rgb[:, :96].astype(int), axis=2).max() <= 1
    with pytest.raises(InputError, match=r"strength: expected 0 .* got 1\.2"):
        replace(Look(), strength=1.2)


def test_exact_luma_is_the_sources_own(tracker, film, frames, tmp_path):
    look = FilmOptions(SHOTS, look=Look(0.8, side_by_side=True, exact_luma=True))
    colorize_to_file(
        tracker, film, references=given(frames), output=tmp_path / "c.mkv", film=look, start=2
    )
    pairs = zip(read_luma(film, start=2), read_luma(tmp_path / "c.mkv"), strict=True)
    assert all(np.array_equal(a.beside().values, b.values) for a, b in pairs)
    right = next(read_frames(tmp_path / "c.mkv")).rgb[:, 96:]
    assert np.ptp(right.astype(int), axis=2).mean() > 20
    with pytest.raises(InputError, match="which have no Y'"):
        colorize_to_file(
            tracker, film, references=given(frames), output=tmp_path / "pictures", film=look
        )
