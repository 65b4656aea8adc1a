"""Charts of results: what they show, and the files they go to."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from hand_results import SIZE, hand_result, squares
from matplotlib.figure import Figure
from PIL import Image

from chromatrack.cli.main import main
from chromatrack.errors import InputError
from chromatrack.uses.measures import Scale
from chromatrack.uses.plot_files import plot_result
from chromatrack.uses.plots import CHARTS, chart_names, measure

NAN = np.nan


def two_squares(**more):
    """Two squares that touch on two frames of five, 0.1 s each; 10 px a frame, a cut before 3."""
    masks = squares(
        {1: [(5, 5), (15, 5), (25, 5), (5, 40), (15, 40)], 2: [(36, 5), None, (36, 5)] + [None] * 2}
    )
    masks[1][5:15, 26:36] = 2  # beside the first one, which ends at 24
    result = hand_result(masks=masks, cuts=[3], **more)
    frames = [
        replace(frame, reliability={1: 0.5 + n / 10}) for n, frame in enumerate(result.frames)
    ]
    return replace(result, frames=tuple(frames), names={("object", 1): "cow $x$"})


def drawn(name, measured):
    figure = Figure(layout="constrained")
    CHARTS[name](figure, measured)
    figure.canvas.draw()
    return figure


def lines(figure, n=0):
    return [line.get_xydata() for line in figure.axes[n].lines if len(line.get_xdata()) > 2]


def test_what_there_is_to_show():
    assert chart_names(measure(two_squares())) == list(CHARTS)
    point = hand_result(points={1: np.array([[1.0, 2], [3, 4]])})
    assert chart_names(measure(point)) == ["trajectories", "presence", "speed"]


def test_paths_break_where_a_thing_is_gone_and_at_cuts():
    figure = drawn("trajectories", measure(two_squares()))
    first, second = lines(figure)
    np.testing.assert_allclose(
        first,
        [[9.5, 9.5], [19.5, 9.5], [29.5, 9.5], [NAN, NAN], [9.5, 44.5], [19.5, 44.5], [NAN] * 2],
    )
    assert np.isnan(second[3:]).all()
    axis = figure.axes[0]
    assert axis.get_xlim() == (-0.5, SIZE[1] - 0.5) and axis.get_ylim() == (SIZE[0] - 0.5, -0.5)


def test_presence_is_a_bar_for_each_stretch():
    figure = drawn("presence", measure(two_squares()))
    one, other = figure.axes[0].collections
    assert len(one.get_paths()) == 1 and len(other.get_paths()) == 1
    assert one.get_paths()[0].get_extents().width == pytest.approx(0.5)
    assert other.get_paths()[0].get_extents().width == pytest.approx(0.3)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == [r"object 1 (cow \$x\$)", "object 2"]


def test_speeds_areas_and_reliability_are_told_in_the_unit():
    measured = measure(two_squares(), scale=Scale(10.0, "cm"))
    speed = drawn("speed", measured)
    assert lines(speed)[0][4, 1] == pytest.approx(10)  # 100 px/s, not that across the cut
    assert speed.axes[0].get_ylabel() == "speed (cm/s)"
    assert lines(drawn("area", measured))[0][0].tolist() == [0, 1]
    reliability = lines(drawn("reliability", measured))
    assert len(reliability) == 1 and reliability[0][1].tolist() == [0.1, 0.6]


def test_contacts_are_seconds_within_reach():
    measured = measure(two_squares(), near=2)
    numbers, seconds = measured.contacts["object"]
    assert numbers == [0, 1] and np.isnan(seconds[0, 0])
    assert seconds[0, 1] == seconds[1, 0] == pytest.approx(0.2)
    assert measure(two_squares(), near=30).contacts["object"][1][0, 1] == pytest.approx(0.3)
    texts = [text.get_text() for text in drawn("contacts", measured).axes[0].texts]
    assert texts == ["0.2", "0.2"]


def test_many_things_are_shaded_and_not_named():
    points = {n: np.array([[n, 2.0], [n, 4]]) for n in range(40)}
    measured = measure(hand_result(points=points))
    figure = drawn("trajectories", measured)
    assert not figure.legends and len({line.get_color() for line in figure.axes[0].lines}) == 40
    for name in chart_names(measured):
        drawn(name, measured)


def test_a_skeleton_has_a_path_for_each_joint():
    joints = np.array([[[1, 2], [10, 20]], [[2, 3], [NAN, NAN]], [[3, 4], [12, 20]]], dtype=float)
    result = hand_result(keypoints={1: joints})
    said = {("joint", 1, 0): 0.2, ("joint", 1, 1): 0.6}
    frames = [replace(frame, place_reliability=said) for frame in result.frames]
    measured = measure(replace(result, frames=tuple(frames)))
    assert measured.labels == ["skeleton 1"] and measured.reliability[0][0] == pytest.approx(0.4)
    assert len(lines(drawn("trajectories", measured))) == 2


def quietly(*args, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plot_result(*args, **more)


def test_a_folder_of_pictures_and_a_page(tmp_path):
    with pytest.warns(UserWarning, match="paths are drawn on white"):
        files = plot_result(two_squares(), tmp_path / "plots")
    assert [path.name for path in files] == [*(f"{name}.png" for name in CHARTS), "plots.html"]
    with Image.open(files[0]) as image:
        assert image.info["Software"] == "chromatrack plot" and image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20
    page = files[-1].read_text(encoding="utf-8")
    assert 'src="data:image/' in page and page.count("<svg") == len(CHARTS) - 1
    assert "http:" not in page.replace("http://www.w3.org/", "") and "https:" not in page
    assert "cow $x$" in page
    quietly(two_squares(), tmp_path / "plots")  # ours are replaced


def test_one_file_of_all_or_of_some(tmp_path):
    assert quietly(two_squares(), tmp_path / "a.svg") == [tmp_path / "a.svg"]
    drawing = ET.parse(tmp_path / "a.svg").getroot()
    assert drawing.tag.endswith("svg") and "chromatrack plot" in ET.tostring(drawing, "unicode")
    quietly(two_squares(), tmp_path / "b.png", only=["speed"])
    quietly(two_squares(), tmp_path / "c.png", only=["speed", "area"])
    one, two = (Image.open(tmp_path / name).height for name in ("b.png", "c.png"))
    assert two > 1.5 * one
    quietly(two_squares(), tmp_path / "d.html", only=["speed"])
    assert (tmp_path / "d.html").read_text(encoding="utf-8").count("<svg") == 1


def test_what_others_wrote_stays(tmp_path):
    for name in ("a.png", "a.svg", "a.html"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
        with pytest.raises(InputError, match="is no plot that chromatrack wrote"):
            quietly(two_squares(), tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8") == "mine"


def test_wrong_wishes_are_told(tmp_path):
    with pytest.raises(InputError, match=r"expected a folder, or a file of \.html, \.png, \.svg"):
        quietly(two_squares(), tmp_path / "a.pdf")
    with pytest.raises(InputError, match=r"only: expected trajectories.*got 'colour'"):
        quietly(two_squares(), tmp_path / "a.png", only=["colour"])
    with pytest.raises(InputError, match="frame: expected one of those tracked, 0 to 4, got 9"):
        quietly(two_squares(), tmp_path / "a.png", frame=9)
    point = hand_result(points={1: np.array([[1.0, 2], [3, 4]])})
    with pytest.raises(InputError, match="nothing that was tracked shows in area"):
        quietly(point, tmp_path / "a.png", only=["area"])


def test_the_frame_lies_under_the_paths(tmp_path):
    folder = tmp_path / "video"
    folder.mkdir()
    for n in range(5):
        color = (250, 0, 0) if n == 2 else (0, 0, 250)
        Image.new("RGB", SIZE[::-1], color).save(folder / f"{n:05d}.png")
    for frame, channel in ((None, 2), (2, 0)):
        quietly(two_squares(), tmp_path / "a.png", only=["trajectories"], video=folder, frame=frame)
        picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"), dtype=int)
        strong = picture[..., channel] > picture[..., 2 - channel] + 100
        assert strong.mean() > 0.3
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="expected 80x60 pixels as tracked, got 8x8"):
        quietly(two_squares(), tmp_path / "a.png", video=tmp_path / "other.png")


def test_the_command_says_what_it_needs(tmp_path, capsys):
    assert main(["plot", str(tmp_path), "-o", str(tmp_path / "a.png")]) == 2
    assert "no result.json" in capsys.readouterr().err
