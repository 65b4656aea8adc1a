"""Colour strokes: read, checked, and spread over the frame they are painted on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import write_clip

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.identity import RawLabEncoder
from chromatrack.formats.color_strokes import Strokes, read_strokes
from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.resample import planes, to_cells, upsample_guided
from chromatrack.tracking.color_strokes import PaintedFrame, spread, strokes_as_references
from chromatrack.tracking.colorize import paint
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

SIZE = (64, 96)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A grey film of two halves, one dark and one light."""
    rng = np.random.default_rng(0)
    frame = np.full((*SIZE, 3), 70, np.uint8)
    frame[:, 48:] = 180
    grey = (frame + rng.integers(0, 6, (*SIZE, 1))).astype(np.uint8)
    return write_clip(tmp_path_factory.mktemp("film") / "film", [grey] * 3)


def painted(path, *places, size=SIZE):
    rgba = np.zeros((*size, 4), np.uint8)
    for rows, columns, color in places:
        rgba[rows, columns] = [*color, 255]
    Image.fromarray(rgba).save(path)
    return path


def ab_of(rgb, rows, columns):
    return rgb_to_lab(planes(rgb[rows, columns]).float() / 255)[1:].mean((1, 2)).numpy()


def test_strokes_colour_the_surface_they_are_on(film, tmp_path):
    tracker = Tracker(RawLabEncoder(), device="cpu", config=TrackConfig(size=64, adapt=0))
    blue, red = (40, 60, 160), (240, 150, 120)
    strokes = painted(
        tmp_path / "s.png",
        (slice(20, 30), slice(10, 24), blue),
        (slice(20, 30), slice(70, 84), red),
    )
    [(rgb, frame)] = strokes_as_references(
        tracker.embedder, film, read_strokes([f"{strokes}@1"], size=SIZE)
    )
    assert frame == 1 and rgb.shape == (*SIZE, 3)
    left, right = (ab_of(rgb, slice(40, 60), x) for x in (slice(4, 40), slice(56, 92)))
    wanted = [ab_of(np.full((4, 4, 3), c, np.uint8), slice(4), slice(4)) for c in (blue, red)]
    assert np.dot(left, wanted[0]) > 0.9 * np.linalg.norm(left) * np.linalg.norm(wanted[0])
    assert np.dot(right, wanted[1]) > 0.9 * np.linalg.norm(right) * np.linalg.norm(wanted[1])
    assert min(np.linalg.norm(left), np.linalg.norm(right)) > 15
    light = [rgb_to_lab(planes(x).float() / 255)[0].mean() for x in (rgb, _frame(film))]
    assert abs(light[0] - light[1]) < 1


def _frame(film):
    return np.array(Image.open(film / "00001.png"))


WIDE = (240, 320)
BLUE, RED, GREEN = ((10.0, -30.0), (35.0, 20.0), (-30.0, 25.0))  # ab


@pytest.fixture(scope="module")
def surface(tmp_path_factory):
    """(embedder, a frame of one grey surface: all is alike but for the colours it is given)."""
    rng = np.random.default_rng(1)
    grey = (120 + rng.integers(0, 6, (*WIDE, 1))).astype(np.uint8).repeat(3, 2)
    film = write_clip(tmp_path_factory.mktemp("surface") / "film", [grey])
    config = TrackConfig(size=WIDE[0], adapt=0)
    embedder = Tracker(RawLabEncoder(), device="cpu", config=config).embedder
    return embedder, PaintedFrame.of(embedder, film, 0)


def corrected(surface, ground, *strokes):
    """ab `(2, H, W)` with strokes, (rows, columns, ab) each, on that ground."""
    embedder, seen = surface
    rgb, alpha = np.zeros((*WIDE, 3), np.uint8), np.zeros(WIDE, np.float32)
    for rows, columns, ab in strokes:
        lab = torch.tensor([50.0, *ab])[:, None, None]
        rgb[rows, columns] = (lab_to_rgb(lab).flatten() * 255).round().numpy()
        alpha[rows, columns] = 1
    picture = spread(embedder, "", Strokes(0, rgb, alpha), ground=ground, known=seen)
    return rgb_to_lab(planes(picture).float() / 255)[1:].numpy()


def grounds(*places):
    """BLUE `(2, H, W)`, but for places, (rows, columns, ab) each."""
    ground = np.empty((2, *WIDE), np.float32)
    ground[:] = np.array(BLUE)[:, None, None]
    for rows, columns, ab in places:
        ground[:, rows, columns] = np.array(ab)[:, None, None]
    return ground


def off(found, ab):
    """How far colours `(2, H, W)` are from one, `(H, W)`."""
    return np.hypot(*(found - np.array(ab)[:, None, None]))


BLOT = (slice(80, 144), slice(120, 184))
DAB = (slice(106, 118), slice(146, 158))


def test_a_correction_mends_the_blot_it_is_on_and_nothing_else(surface):
    found = corrected(surface, grounds((*BLOT, RED)), (*DAB, BLUE))
    inside = off(found, BLUE)[96:128, 136:168]
    assert inside.mean() < 0.4 * np.hypot(*np.subtract(RED, BLUE))
    again = corrected(surface, grounds((*BLOT, RED)), (*DAB, GREEN))
    outside = off(again, BLUE)
    outside[BLOT[0].start - 12 : BLOT[0].stop + 12, BLOT[1].start - 12 : BLOT[1].stop + 12] = 0
    assert outside.max() < 3  # 8 bits, and what a cell has of the blot
    assert off(again, GREEN)[96:128, 136:168].mean() < 0.4 * np.hypot(*np.subtract(RED, GREEN))


def test_a_blot_that_is_not_joined_to_a_correction_holds(surface):
    other = (slice(80, 144), slice(208, 240))  # as near as the blot's own far end, and as alike
    found = corrected(surface, grounds((*BLOT, RED), (*other, RED)), (*BLOT, GREEN))
    assert off(found, RED)[88:136, 216:232].max() < 3
    joined = (slice(80, 144), slice(184, 208))
    found = corrected(surface, grounds((*BLOT, RED), (*joined, RED), (*other, RED)), (*BLOT, GREEN))
    assert off(found, RED)[88:136, 216:232].mean() > 3


def test_a_long_stroke_corrects_farther_than_a_small_one(surface):
    small = (slice(114, 126), slice(154, 166))
    long = (slice(114, 126), slice(110, 210))
    above = (slice(86, 98), slice(154, 166))
    changed = [
        off(corrected(surface, grounds(), (*one, RED)), BLUE)[above] for one in (small, long)
    ]
    assert changed[1].mean() > 1.5 * changed[0].mean() > 0
    far = off(corrected(surface, grounds(), (*long, RED)), BLUE)
    assert far[:40].max() < 3 and far[-40:].max() < 3


def test_a_stroke_a_little_over_an_edge_does_not_mean_what_lies_there(surface):
    left = (slice(0, 240), slice(0, 160), RED)
    over = (slice(110, 126), slice(96, 176))  # a fifth of it on the blue half
    found = corrected(surface, grounds(left), (*over, GREEN))
    assert off(found, BLUE)[108:128, 200:].max() < 3
    assert off(found, RED)[86:98, 120:140].mean() > 10


def test_each_of_several_strokes_corrects_what_it_is_on(surface):
    left = (slice(0, 240), slice(0, 160), RED)
    strokes = (
        (slice(40, 200), slice(120, 140), GREEN),
        (slice(110, 130), slice(220, 240), (0.0, 0.0)),  # a small part of all that is painted
    )
    found = corrected(surface, grounds(left), *strokes)
    beside = slice(100, 140), slice(144, 148)
    green = np.subtract(GREEN, RED)
    change = (found - np.array(RED)[:, None, None])[:, *beside].mean((1, 2))
    assert change @ green > 0.9 * np.linalg.norm(change) * np.linalg.norm(green)
    assert np.linalg.norm(change) > 0.3 * np.linalg.norm(green)
    change = (found - np.array(BLUE)[:, None, None])[:, 112:128, 204:212].mean((1, 2))
    grey = -np.array(BLUE)
    assert np.linalg.norm(change) > 0.3 * np.linalg.norm(grey)
    assert change @ grey > 0.9 * np.linalg.norm(change) * np.linalg.norm(grey)


def test_strokes_on_a_grey_frame_spread_as_ever(surface):
    """To the bit, as the formula that films were coloured by before corrections held the rest."""
    embedder, seen = surface
    rgb, alpha = np.zeros((*WIDE, 3), np.uint8), np.zeros(WIDE, np.float32)
    rgb[80:120, 64:80], rgb[80:120, 240:256] = (200, 80, 40), (20, 80, 240)
    alpha[rgb.any(2)] = 1
    found = spread(embedder, "", Strokes(0, rgb, alpha), known=seen)

    spec, cover = embedder.spec, torch.from_numpy(alpha)[None]
    levels = planes(rgb).float() / 255 * cover[0]
    color = rgb_to_lab((levels / cover.clamp(min=1e-3)).clamp(0, 1))[1:]
    share = to_cells(cover[None], spec)[0]
    ab = to_cells((color * cover)[None], spec)[0] / share.clamp(min=1e-6)
    light = to_cells(seen.lab[None, :1], spec)[0].flatten()
    own = (share[0] >= 0.15).flatten()
    flat = seen.features.flatten(1).T
    cosine = flat @ flat[own].T
    h, w = share.shape[1:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    at = torch.stack([rows, columns], -1).reshape(-1, 2).float()
    apart = torch.cdist(at, at[own]) / (h**2 + w**2) ** 0.5
    other = (light[:, None] - light[own][None]).abs() / 10.0
    score = cosine / 0.05 - (apart / 0.1).square() - other.square()
    mixed = (score.softmax(1) @ ab.flatten(1).T[own]).T.reshape(2, h, w)
    like = (cosine - 0.1 * other.square()).amax(1)
    sure = ((like - 0.2) / (0.6 - 0.2)).clamp(0, 1).reshape(1, h, w)
    grey = lab_to_rgb(torch.cat([seen.lab[:1], torch.zeros_like(seen.lab[1:])]))
    copied = upsample_guided(mixed * sure, grey, spec=spec)
    wanted = paint(seen.rgb, torch.where(cover > 0.5, color, copied), light=seen.lab[:1])
    assert np.array_equal(found, wanted)


def test_points_and_pictures_are_one_for_each_frame(tmp_path):
    points = [
        {"frame": 2, "x": 10, "y": 20, "color": "#ff8000"},
        {"frame": 2, "x": 40.5, "y": 20, "color": "#0080FF", "radius": 6},
        {"frame": 0, "x": 95, "y": 63, "color": "#010203"},
    ]
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"points": points}), encoding="utf-8")
    png = painted(tmp_path / "s.png", (slice(0, 4), slice(0, 4), (9, 9, 9)))
    first, second = read_strokes([str(path), f"{png}@2"], size=SIZE)
    assert (first.frame, second.frame) == (0, 2)
    assert first.rgb[63, 95].tolist() == [1, 2, 3]
    assert second.rgb[20, 10].tolist() == [255, 128, 0]
    assert second.rgb[20, 45].tolist() == [0, 128, 255] and second.alpha[1, 1] == 1
    assert second.alpha[40, 40] == 0


@given(st.floats(0, 95.99), st.floats(0, 63.99), st.floats(0, 50))
def test_a_point_paints_its_pixel(tmp_path_factory, x, y, radius):
    path = tmp_path_factory.mktemp("p") / "p.json"
    point = {"frame": 1, "x": x, "y": y, "color": "#102030", "radius": radius}
    path.write_text(json.dumps([point]), encoding="utf-8")
    [one] = read_strokes([str(path)], size=SIZE)
    assert one.alpha[min(round(y), 63), min(round(x), 95)] == 1
    rows, columns = np.nonzero(one.alpha)
    assert np.hypot(columns - x, rows - y).max() <= max(radius, 2**0.5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "expected a list of points, got none"),
        ('[{"frame": 1, "x": 1, "y": 1, "color": "red"}]', "point 1: expected color as '#rrggbb'"),
        ('[{"frame": -1, "x": 1, "y": 1, "color": "#ffffff"}]', "expected frame as a number"),
        ('[{"frame": 1, "x": 96, "y": 1, "color": "#ffffff"}]', "expected x in the frame, got 96"),
        ('[{"frame": 1, "x": 1, "color": "#ffffff"}]', "expected y in the frame, got None"),
        ("[3]", "expected frame, x, y and color"),
    ],
)
def test_what_is_wrong_with_points_is_said(tmp_path, content, said):
    (tmp_path / "p.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_strokes([str(tmp_path / "p.json")], size=SIZE)


def test_what_is_wrong_with_a_picture_is_said(tmp_path):
    whole = slice(None), slice(None), (1, 2, 3)
    cases = [
        (f"{painted(tmp_path / 'e.png')}@1", "nothing painted"),
        (f"{painted(tmp_path / 'f.png', whole)}@1", "painted all over"),
        (f"{painted(tmp_path / 'g.png', whole, size=(4, 4))}@1", "expected the film's 96x64 px"),
        (str(tmp_path / "e.png"), "expected PICTURE@FRAME"),
        (f"{tmp_path / 'no.png'}@1", "no.png"),
    ]
    for name, said in cases:
        with pytest.raises(InputError, match=said):
            read_strokes([name], size=SIZE)


@pytest.mark.parametrize("corrects", [False, True])
def test_a_thin_line_has_its_colour_in_every_pixel_of_a_large_frame(tmp_path, corrects):
    size = (320, 480)
    grey = np.random.default_rng(0).integers(90, 160, (*size, 1), np.uint8).repeat(3, 2)
    path = write_clip(tmp_path / "film", [grey])
    rows, columns = np.mgrid[: size[0], : size[1]]
    apart = np.abs(rows - 40 - 0.4 * columns)
    line, around = apart < 0.5, apart > 4
    rgb = np.where(line[..., None], (220, 30, 30), (30, 30, 220)).astype(np.uint8)
    tracker = Tracker(RawLabEncoder(), device="cpu", config=TrackConfig(size=96, adapt=0))
    ground = np.full((2, 32, 48), -40.0, np.float32) if corrects else None
    strokes = Strokes(0, rgb, (line | around).astype(np.float32))
    shown = spread(tracker.embedder, path, strokes, ground=ground)
    assert shown.shape == grey.shape
    red = shown[..., 0].astype(int) - shown[..., 2]
    assert red[line].min() > 60, "no gaps, however small the frame is looked at"
    assert red[around].max() < -60
    light = [rgb_to_lab(planes(one).float() / 255)[0].numpy() for one in (shown, grey)]
    assert np.abs(light[0] - light[1])[line].max() < 2, "under the frame's own light"
