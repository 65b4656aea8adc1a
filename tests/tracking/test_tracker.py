"""What users call: masks and colours through synthetic clips, and every error on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import moving_clip, still, write_clip, write_masks

from chromatrack.errors import InputError, VideoError
from chromatrack.formats.masks import write_mask
from chromatrack.model.encoder import Vondrick2018Encoder
from chromatrack.model.weights import save_encoder
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import resize
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.colorize import fit_picture, paint, shows_same
from chromatrack.tracking.config import Device, TrackConfig, choose_device
from chromatrack.tracking.marks import read_marks, read_reference
from chromatrack.tracking.tracker import Tracker

SIZE = (72, 104)


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    # an untrained network sees little difference between cells: a low temperature makes it count
    propagate = PropagateConfig(radius=2, recent_radius=2, top_k=3, temperature=1e-3)
    config = TrackConfig(size=72, propagate=propagate)
    return Tracker(tiny_encoder, device="cpu", config=config)


@pytest.fixture(scope="module")
def film():
    """Six frames with two objects, ids 7 and 200."""
    frames = moving_clip(frames=6, size=SIZE, objects=2, radius=15, velocity=(2, 1))
    for frame in frames:
        frame.mask[:] = np.array([0, 7, 200])[frame.mask]
    return frames


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("film") / "frames", film)


def lab_of(rgb: np.ndarray) -> torch.Tensor:
    return rgb_to_lab(torch.from_numpy(rgb).permute(2, 0, 1).float() / 255)


def grey(rgb: np.ndarray) -> np.ndarray:
    return paint(rgb, torch.zeros(2, *rgb.shape[:2]))


def test_tracked_frames_are_as_stated(tracker, film, clip):
    found = list(tracker.track(clip, masks=film[0].mask))
    assert [frame.index for frame in found] == list(range(6))
    times = [frame.pts_seconds for frame in found]
    assert times == sorted(times) and len(set(times)) == 6
    for frame, truth in zip(found, film, strict=True):
        assert frame.rgb.dtype == np.uint8 and np.array_equal(frame.rgb, truth.rgb)
        assert frame.mask.shape == SIZE and frame.mask.dtype == np.int32
        assert set(np.unique(frame.mask)) <= {0, 7, 200}
        assert frame.areas == {i: int((frame.mask == i).sum()) for i in (7, 200)}
        assert set(frame.entropy) == {7, 200}
        assert all(0 <= value <= 1 for value in frame.entropy.values())
    assert max(found[-1].areas.values()) > 0
    painted = film[0].mask > 0
    assert np.array_equal(found[0].mask[painted], film[0].mask[painted])


def test_a_static_clip_keeps_its_mask(tracker, film, tmp_path):
    clip = write_clip(tmp_path / "static", [film[0]] * 4)
    *_, last = tracker.track(clip, masks=film[0].mask)
    for i in (7, 200):
        a, b = last.mask == i, film[0].mask == i
        assert (a & b).sum() / (a | b).sum() > 0.75


def test_masks_come_in_every_stated_form(tracker, film, clip, tmp_path):
    write_mask(tmp_path / "first.png", film[0].mask)
    write_masks(tmp_path / "some", [film[0], film[3]])
    one = [f.mask for f in tracker.track(clip, masks=tmp_path / "first.png")]
    by_array = [f.mask for f in tracker.track(str(clip), masks=film[0].mask.astype(np.uint8))]
    assert np.array_equal(one, by_array)
    two = [f.mask for f in tracker.track(clip, masks=tmp_path / "some")]
    by_dict = [f.mask for f in tracker.track(clip, masks={0: film[0].mask, 3: film[3].mask})]
    assert np.array_equal(two, by_dict) and not np.array_equal(two[3], one[3])


def test_every_keyframe_is_as_painted(tracker, film, clip):
    masks = {0: film[0].mask, 3: film[3].mask}
    found = list(tracker.track(clip, masks=masks))
    for index, mask in masks.items():
        painted = mask > 0
        assert np.array_equal(found[index].mask[painted], mask[painted])


def test_labels_go_both_ways_unless_told_otherwise(tracker, film, clip):
    mask = {2: film[2].mask}
    for direction, without in (("both", []), ("forward", [0, 1]), ("backward", [3, 4, 5])):
        found = list(tracker.track(clip, masks=mask, direction=direction))
        assert [frame.index for frame in found] == list(range(6))
        empty = [frame.index for frame in found if not frame.mask.any()]
        assert empty == without, direction
        for index in without:
            assert found[index].areas == {7: 0, 200: 0}
            assert found[index].present == {7: False, 200: False}


def test_a_mark_on_the_last_frame_goes_back_to_the_first(tracker, film, clip):
    found = list(tracker.track(clip, masks={5: film[5].mask}))
    assert all(frame.areas[7] > 0 for frame in found)


def test_presence_and_confidence_are_told_of_every_region(tracker, film, clip):
    for frame in tracker.track(clip, masks=film[0].mask):
        assert set(frame.confidence) == set(frame.present) == {7, 200}
        assert all(0 <= value <= 1 for value in frame.confidence.values())
        assert frame.present == {i: frame.areas[i] > 0 for i in (7, 200)}
        assert frame.cut is False


def test_a_region_declared_lost_is_gone_from_there(tracker, film, clip):
    found = list(tracker.track(clip, masks=film[0].mask, lost=[LostMark(7, 2)]))
    assert found[0].present[7] and not found[2].present[7] and found[2].areas[7] == 0
    assert found[2].present[200]


def test_kinds_go_together_in_one_run(tracker, film, clip):
    x, y = film[0].centres[1]
    points = [PointMark(4, 0, x, y), PointMark(9, 3, 20.25, 30.5)]
    boxes = [BoxMark(0, 0, 60, 20, 30, 31)]
    joints = np.array([[x, y], [np.nan, np.nan], [10.0, 12.0]])
    lost = np.array([False, True, False])
    keypoints = [KeypointMark(3, 0, joints, lost)]
    found = list(
        tracker.track(clip, masks=film[0].mask, points=points, boxes=boxes, keypoints=keypoints)
    )
    start = found[0]
    assert (start.points[4].x, start.points[4].y) == pytest.approx((x, y), abs=1e-3)
    assert start.points[4].visible
    assert (found[3].points[9].x, found[3].points[9].y) == pytest.approx((20.25, 30.5), abs=1e-3)
    box = start.boxes[0]
    assert (box.x, box.y, box.width, box.height) == pytest.approx((60, 20, 30, 31), abs=1e-3)
    np.testing.assert_allclose(start.keypoints[3].joints[[0, 2]], joints[[0, 2]], atol=1e-3)
    assert start.keypoints[3].visible.tolist() == [True, False, True]
    for frame in found:
        assert set(frame.points) == {4, 9} and set(frame.areas) == {7, 200}
        assert set(frame.keypoints) == {3} and frame.keypoints[3].joints.shape == (3, 2)
        assert all(0 <= p.confidence <= 1 for p in frame.points.values())


def test_points_alone_leave_no_mask(tracker, clip):
    for frame in tracker.track(clip, points=[PointMark(1, 0, 30.0, 30.0)], end=3):
        assert not frame.mask.any() and frame.areas == {} and set(frame.points) == {1}


def test_a_part_of_the_video(tracker, film, clip):
    found = list(tracker.track(clip, masks=film[2].mask, start=2, end=5))
    assert [frame.index for frame in found] == [2, 3, 4]
    assert np.array_equal(found[0].rgb, film[2].rgb)


def test_results_have_the_videos_size_whatever_the_working_size(tiny_encoder, film, clip):
    for size, stride in ((40, None), (72, 4)):
        tracker = Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=size, stride=stride))
        assert tracker.spec.stride == (stride or 8)
        *_, last = tracker.track(clip, masks=film[0].mask, end=2)
        assert last.mask.shape == SIZE and last.areas[7] > 0


def test_the_papers_network_tracks_too(tiny_clip_encoder, film, clip):
    tracker = Tracker(tiny_clip_encoder, device="cpu", config=TrackConfig(size=72))
    found = list(tracker.track(clip, masks=film[0].mask))
    assert len(found) == 6 and found[-1].mask.shape == SIZE


def test_tracking_needs_no_random_state(tracker, film, clip):
    runs = [[f.mask for f in tracker.track(clip, masks=film[0].mask)] for _ in range(2)]
    assert np.array_equal(runs[0], runs[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[:-1], "expected the video's 104x72 pixels, got 104x71; draw it on a frame"),
        (lambda m: np.zeros_like(m), r"masks are all 0"),
        (lambda m: m.astype(float), r"expected \(H, W\) integer object ids, got .*float64"),
        (lambda m: np.stack([m] * 3, -1), r"integer object ids, got \(72, 104, 3\)"),
        (lambda m: {6: m}, "mask of frame 6: expected a frame from 0 to 5"),
        (lambda m: {-1: m}, "mask of frame -1: expected a frame from 0 on"),
        (lambda m: {}, "at least one object"),
        (lambda m: np.where(m == 7, -7, m), "expected object ids >= 0, got -7"),
        (lambda m: "nowhere.png", "nowhere.png"),
    ],
)
def test_masks_that_make_no_sense(tracker, film, clip, change, message):
    with pytest.raises(InputError, match=message):
        list(tracker.track(clip, masks=change(film[0].mask)))


@pytest.mark.parametrize("frame", [1, 4])
def test_marks_must_lie_in_the_part_that_is_tracked(tracker, film, clip, frame):
    mask = film[0].mask
    expected = f"of frame {frame}: expected a frame from 2 to 3"
    with pytest.raises(InputError, match=f"mask {expected}"):
        tracker.track(clip, masks={frame: mask}, start=2, end=4)
    with pytest.raises(InputError, match=f"point 5 {expected}"):
        tracker.track(clip, points=[PointMark(5, frame, 1, 1)], start=2, end=4)
    box = BoxMark(5, frame, 1, 1, 9, 9)
    with pytest.raises(InputError, match=f"box 5 {expected}"):
        tracker.track(clip, boxes=[box], start=2, end=4)


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({"points": [PointMark(5, 0, 200.0, 3.0)]}, "inside the 104x72 frame, got x 200, y 3"),
        ({"points": [PointMark(5, 0, float("nan"), 3.0)]}, "expected finite x and y"),
        ({"points": [PointMark(5, 0, None, None)]}, "at least one object, point or box"),
        ({"boxes": [BoxMark(1, 0, 200, 0, 9, 9)]}, "a box that meets the 104x72 frame"),
        ({"boxes": [BoxMark(1, 0, 2, 0, 9, 0)]}, "width and height > 0"),
        ({"boxes": [BoxMark(1, 0, 2, 0, 9, 9)] * 2}, "one box per id and frame, got two"),
    ],
)
def test_marks_that_make_no_sense(tracker, clip, marks, message):
    with pytest.raises(InputError, match=message):
        tracker.track(clip, **marks)


def test_only_painted_regions_can_be_lost(tracker, film, clip):
    with pytest.raises(InputError, match=r"painted ids \[7, 200\], got 3"):
        tracker.track(clip, masks=film[0].mask, lost=[LostMark(3, 1)])


def test_errors_come_at_the_call(tracker, film, tmp_path):
    with pytest.raises(VideoError, match=r"nothing\.mp4"):
        tracker.track(tmp_path / "nothing.mp4", masks=film[0].mask)
    with pytest.raises(InputError, match="at least one coloured picture, got none"):
        tracker.colorize(tmp_path / "nothing.mp4", references=[])


def test_marks_of_an_array_are_of_the_first_frame():
    mask = np.ones((2, 2), dtype=np.int32)
    assert list(read_marks(mask, start=5)) == [5]
    assert read_marks({3: mask}, start=5) == {3: mask}


def test_knobs_of_the_tracker(tiny_encoder, tiny_clip_encoder):
    with pytest.raises(InputError, match="short side of 16 pixels or more, got 15"):
        TrackConfig(size=15)
    with pytest.raises(InputError, match="stride: expected 4 or 8 or None, got 2"):
        Tracker(tiny_encoder, device="cpu", config=TrackConfig(stride=2))
    with pytest.raises(InputError, match="this encoder has stride 8 only, got 4"):
        Tracker(tiny_clip_encoder, device="cpu", config=TrackConfig(stride=4))
    assert isinstance(tiny_clip_encoder, Vondrick2018Encoder)
    assert Tracker(tiny_clip_encoder, device="cpu", config=TrackConfig(stride=8)).spec.stride == 8


def test_working_sizes_of_other_protocols():
    wide, tall = (480, 854), (854, 480)
    assert TrackConfig(size=256, square=True).working_size(wide) == (256, 256)
    dino = TrackConfig(size=480, long_multiple=64)
    assert dino.working_size(wide) == (480, 832) and dino.working_size(tall) == (832, 480)
    assert TrackConfig(size=480).working_size(wide) == wide
    assert TrackConfig(size=480, long_multiple=64).working_size((500, 500)) == (480, 480)
    for knobs in ({"long_multiple": 0}, {"color": PropagateConfig(top_k=None)}):
        with pytest.raises(InputError):
            TrackConfig(**knobs)


def test_inner_products_are_of_features_as_long_as_they_are(tiny_encoder, film, clip):
    plain = TrackConfig(size=64, propagate=PropagateConfig(similarity="dot", radius=2))
    tracker = Tracker(tiny_encoder, device="cpu", config=plain)
    lab = tracker.embedder.lab(film[0].rgb)
    image = tracker.embedder.image(film[0].rgb)[None]
    with torch.no_grad():
        long = tracker.embedder.for_clip(lab)(image)
        unit = tracker.embedder.for_clip(lab, grey=True)(image)
    assert float((long.norm(dim=1) - 1).abs().max()) > 0.1
    assert float((unit.norm(dim=1) - 1).abs().max()) < 1e-4  # colours keep cosines
    assert len(list(tracker.track(clip, masks=film[0].mask, end=3))) == 3


def test_bilinear_masks_are_not_the_guided_ones(tiny_encoder, film, clip):
    masks = []
    for how in ("guided", "bilinear"):
        config = TrackConfig(size=64, redetect=False, upsample=how)
        tracker = Tracker(tiny_encoder, device="cpu", config=config)
        masks.append([frame.mask for frame in tracker.track(clip, masks=film[0].mask, end=3)])
    assert np.array_equal(masks[0][0], masks[1][0])  # as painted
    assert not np.array_equal(masks[0][2], masks[1][2])


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    cases: list[tuple[Device, Any]] = [("cuda", torch.cuda), ("mps", torch.backends.mps)]
    for device, there in cases:
        if not there.is_available():
            with pytest.raises(
                InputError, match=f"'{device}' is not available here; choose auto or"
            ):
                choose_device(device)


def test_from_pretrained_takes_a_path(tracker, tiny_encoder, film, clip, tmp_path):
    for weight in tiny_encoder.parameters():
        weight.data = weight.data.half().float()  # as a weights file holds them
    tracker = Tracker(tiny_encoder, device="cpu", config=tracker.config)
    save_encoder(tmp_path / "mine.safetensors", tiny_encoder)
    loaded = Tracker.from_pretrained(
        tmp_path / "mine.safetensors", device="cpu", config=tracker.config
    )
    assert loaded.model == str(tmp_path / "mine.safetensors")
    runs = [[f.mask for f in t.track(clip, masks=film[0].mask, end=3)] for t in (tracker, loaded)]
    assert np.array_equal(runs[0], runs[1])


def test_paint_keeps_lightness_and_gives_the_color():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    ab = torch.tensor([12.0, -18.0]).reshape(2, 1, 1).expand(2, 40, 50)
    painted = paint(rgb, ab)
    assert painted.shape == rgb.shape and painted.dtype == np.uint8
    before, after = lab_of(rgb), lab_of(painted)
    assert float((before[0] - after[0]).abs().mean()) < 0.5
    middle = (before[0] > 30) & (before[0] < 70)
    assert float((after[1:] - ab).abs().amax(0)[middle].max()) < 2.5


def test_resize_keeps_equal_sizes_and_flat_images():
    image = torch.rand(3, 8, 9)
    assert resize(image, (8, 9)) is image
    assert resize(torch.full((2, 31, 17), 0.4), (9, 12)).sub(0.4).abs().max() < 1e-6


def test_colors_are_copied_and_luminance_is_not_touched(tracker, film, tmp_path):
    clip = write_clip(tmp_path / "grey", [grey(frame.rgb) for frame in film])
    found = list(tracker.colorize(clip, references=[(film[0].rgb, 0)]))
    assert [frame.index for frame in found] == list(range(6))
    for frame, truth in zip(found, film, strict=True):
        assert frame.rgb.shape == truth.rgb.shape and frame.rgb.dtype == np.uint8
        assert 0 <= frame.entropy <= 1
        difference = lab_of(frame.rgb)[0] - lab_of(grey(truth.rgb))[0]
        assert float(difference.abs().mean()) < 0.5
        assert float(lab_of(frame.rgb)[1:].abs().mean()) > 3  # it is in colour


def smooth_still() -> np.ndarray:
    """(H, W, 3) uint8 colours without detail finer than a cell, so that a cell can carry them."""
    small = Image.fromarray(still((6, 8), seed=4))
    return np.array(small.resize((128, 96), Image.Resampling.BICUBIC))


def test_a_static_clip_gets_its_own_colors_back(tiny_encoder, tmp_path):
    rgb = smooth_still()
    clip = write_clip(tmp_path / "grey", [grey(rgb)] * 3)
    config = TrackConfig(size=96, color=PropagateConfig(top_k=1))
    tracker = Tracker(tiny_encoder, device="cpu", config=config)
    *_, last = tracker.colorize(clip, references=[(rgb, 0)])
    error = (lab_of(last.rgb)[1:] - lab_of(rgb)[1:]).abs().mean()
    assert float(error) < 2.5 < 0.25 * float(lab_of(rgb)[1:].abs().mean())


def test_a_faded_video_is_judged_by_its_lightness_alone(tiny_encoder, film, tmp_path):
    tracker = Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=72))
    faded = [paint(frame.rgb, 0.3 * lab_of(frame.rgb)[1:]) for frame in film[:2]]
    clips = [
        write_clip(tmp_path / "faded", faded),
        write_clip(tmp_path / "grey", [grey(frame.rgb) for frame in film[:2]]),
    ]
    a, b = ([f.rgb for f in tracker.colorize(c, references=[(film[0].rgb, 0)])] for c in clips)
    shown = [np.array(x, dtype=int) for x in (a, b, faded)]
    assert np.abs(shown[0] - shown[1]).mean() < 4  # the same but for rounding of the input
    assert np.abs(shown[0] - shown[2]).mean() > 12  # and not the faded colours


def test_references_of_later_frames_and_strangers(tracker, film, tmp_path):
    clip = write_clip(tmp_path / "grey", [grey(frame.rgb) for frame in film])
    Image.fromarray(film[4].rgb).save(tmp_path / "R.png")
    Image.fromarray(smooth_still()).save(tmp_path / "other.png")
    references = [f"{tmp_path / 'R.png'}@4", str(tmp_path / "other.png")]
    found = list(tracker.colorize(clip, references=references, start=1, end=3))
    assert [frame.index for frame in found] == [1, 2]
    assert all(frame.rgb.shape == (*SIZE, 3) for frame in found)


def test_a_picture_of_the_first_frame_is_taken_as_it(tracker, film, tmp_path):
    clip = write_clip(tmp_path / "grey", [grey(frame.rgb) for frame in film[:2]])
    named, unnamed = (
        [f.rgb for f in tracker.colorize(clip, references=[(film[0].rgb, index)])]
        for index in (0, None)
    )
    assert np.array_equal(named, unnamed)


def test_colorize_refuses_what_it_cannot_use(tracker, tiny_clip_encoder, film, clip):
    clips = Tracker(tiny_clip_encoder, device="cpu")
    with pytest.raises(InputError, match="expected an encoder of single frames, got one of clips"):
        clips.colorize(clip, references=[(film[0].rgb, 0)])
    with pytest.raises(InputError, match="99"):
        list(tracker.colorize(clip, references=[(film[0].rgb, 99)]))


def test_references_are_named_with_their_frame(tmp_path):
    rgb = still((20, 24))
    for name in ("R.png", "a@home.png", "b@7"):
        Image.fromarray(rgb).save(tmp_path / name, format="png")
    cases = {"R.png": None, "R.png@3": 3, "R.png@012": 12, "a@home.png": None, "b@7": None}
    for text, expected in {**cases, "a@home.png@5": 5, "b@7@0": 0}.items():
        picture, index = read_reference(f"{tmp_path}/{text}")
        assert index == expected and np.array_equal(picture, rgb)
    assert read_reference(tmp_path / "R.png")[1] is None
    assert read_reference((rgb, 4)) == (rgb, 4)


def test_grey_and_transparent_pictures_are_read_as_rgb(tmp_path):
    for mode in ("L", "RGBA", "P"):
        Image.fromarray(still((20, 24))).convert(mode).save(tmp_path / f"{mode}.png")
        picture, _ = read_reference(tmp_path / f"{mode}.png")
        assert picture.shape == (20, 24, 3) and picture.dtype == np.uint8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.png", "no such file"),
        ("none.png@2", "no such file"),
        ("R.png@x", "expected PICTURE or PICTURE@FRAME with FRAME counted from 0"),
        ("R.png@-1", "expected PICTURE or PICTURE@FRAME"),
        ("R.png@", "expected PICTURE or PICTURE@FRAME"),
        ("words.png", "expected a picture"),
    ],
)
def test_references_that_make_no_sense(tmp_path, text, message):
    Image.fromarray(still((20, 24))).save(tmp_path / "R.png")
    (tmp_path / "words.png").write_text("no picture")
    with pytest.raises(InputError, match=message):
        read_reference(tmp_path / text)


def test_whether_a_picture_shows_the_frame(film):
    rgb = film[0].rgb
    assert shows_same(rgb, grey(rgb))
    big = np.array(Image.fromarray(rgb).resize((208, 144)))
    assert shows_same(big, grey(rgb))
    assert not shows_same(still(SIZE, seed=9), rgb)
    assert not shows_same(255 - rgb, rgb)
    flat = np.full_like(rgb, 90)
    assert not shows_same(flat, flat)


def test_pictures_are_cut_to_the_frames_size():
    rgb = still((40, 80))
    assert fit_picture(rgb, (40, 80)) is rgb
    assert fit_picture(rgb, (30, 30)).shape == (30, 30, 3)
    flat = np.full((10, 20, 3), 77, dtype=np.uint8)
    assert np.array_equal(fit_picture(flat, (15, 17)), np.full((15, 17, 3), 77))
