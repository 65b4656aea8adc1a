"""Colour strokes: read, checked, and spread over the frame they are painted on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import write_clip

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.identity import RawLabEncoder
from chromatrack.formats.color_strokes import read_strokes
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.tracking.color_strokes import strokes_as_references
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
