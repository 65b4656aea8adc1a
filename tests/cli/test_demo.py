from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import moving_clip, still, write_clip, write_masks

from chromatrack.cli.demo import run_demo, sheet_frames, to_grey
from chromatrack.errors import InputError
from chromatrack.evaluation.synthetic.materials import Material, fractal_noise, sample_texture
from chromatrack.evaluation.synthetic.render import Camera, SyntheticFrame, render_demo_clip
from chromatrack.formats.masks import read_mask, read_mask_folder

SIZE = (90, 160)


@pytest.fixture(scope="module")
def demo_clip() -> list[SyntheticFrame]:
    return list(render_demo_clip(frames=16, size=SIZE, seed=3))


def test_demo_clip_has_two_objects_and_an_occlusion(demo_clip):
    assert [frame.index for frame in demo_clip] == list(range(16))
    for frame in demo_clip:
        assert frame.rgb.shape == (*SIZE, 3) and frame.rgb.dtype == np.uint8
        assert frame.mask.shape == SIZE and frame.mask.dtype == np.int32
        assert set(np.unique(frame.mask)) == {0, 1, 2}
    areas = np.array([[np.count_nonzero(f.mask == k) for k in (1, 2)] for f in demo_clip])
    assert areas[0].min() > 300
    hidden = areas[:, 0].argmin()
    assert 4 < hidden < 14 and areas[hidden, 0] < 0.8 * np.median(areas[:, 0])
    assert areas[-1, 0] > 0.9 * areas[0, 0]


def test_demo_clip_is_deterministic_and_depends_on_the_seed(demo_clip):
    again = next(iter(render_demo_clip(frames=16, size=SIZE, seed=3)))
    other = next(iter(render_demo_clip(frames=16, size=SIZE, seed=4)))
    np.testing.assert_array_equal(again.rgb, demo_clip[0].rgb)
    assert np.abs(other.rgb.astype(int) - demo_clip[0].rgb).mean() > 3


def test_demo_clip_objects_cross_and_look_unlike_the_ground(demo_clip):
    first, last = demo_clip[0].centres, demo_clip[-1].centres
    assert first[1][0] < first[2][0] and last[1][0] > last[2][0]
    for k in (1, 2):
        inside = demo_clip[0].rgb[demo_clip[0].mask == k].astype(float)
        assert inside.std(axis=0).min() > 20
        y, x = np.argwhere(demo_clip[0].mask == k).mean(axis=0)
        assert np.hypot(x - first[k][0], y - first[k][1]) < 6


@given(
    x=st.floats(-2, 2),
    y=st.floats(-2, 2),
    zoom=st.floats(0.3, 3),
    angle=st.floats(-3, 3),
    point=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_camera_maps_there_and_back(x, y, zoom, angle, point):
    camera = Camera(x, y, zoom, angle)
    pixel = camera.to_pixel(*point, size=(36, 64))
    back = camera.to_world(np.float64(pixel[0]), np.float64(pixel[1]), size=(36, 64))
    np.testing.assert_allclose(back, point, atol=1e-9)


def test_texture_sampling_is_bilinear_and_clamped():
    image = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)
    texture = Material(image, density=2.0)
    x, y = (np.arange(7) - 3) / 2, np.zeros(7)
    np.testing.assert_allclose(sample_texture(texture, x, y), image[2], atol=2e-3)
    middle = sample_texture(texture, np.array([0.25]), np.array([0.25]))
    np.testing.assert_allclose(middle[0], image[2:4, 3:5].mean(axis=(0, 1)), atol=1e-5)
    far = sample_texture(texture, np.array([-99.0, 99.0]), np.array([-99.0, 99.0]))
    np.testing.assert_allclose(far, image[[0, -1], [0, -1]], atol=3e-3)


def test_noise_spans_0_to_1_at_any_size():
    rng = np.random.default_rng(0)
    for size in [(1, 50), (33, 20), (64, 64)]:
        noise = fractal_noise(size, rng, cell=(9.0, 13.0))
        assert noise.shape == size and noise.min() == 0 and noise.max() == 1


def test_moving_clip_moves_as_told():
    clip = moving_clip(frames=4, velocity=(3, 1), camera_velocity=(2, 0), objects=1)
    for before, after in itertools.pairwise(clip):
        step = np.subtract(after.centres[1], before.centres[1])
        np.testing.assert_allclose(step, (1, 1), atol=1e-6)
        np.testing.assert_array_equal(after.mask[1:, 1:], before.mask[:-1, :-1])
        both = (before.mask[:, 2:] == 0) & (after.mask[:, :-2] == 0)
        clear = both & (_grown(before.mask)[:, 2:] == 0) & (_grown(after.mask)[:, :-2] == 0)
        difference = np.abs(after.rgb[:, :-2].astype(int) - before.rgb[:, 2:])
        assert difference[clear].max() <= 2
    y, x = np.argwhere(clip[0].mask == 1).mean(axis=0)
    np.testing.assert_allclose((x, y), clip[0].centres[1], atol=0.5)


def _grown(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    return padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | mask


def test_clips_and_masks_go_to_files(tmp_path):
    clip = moving_clip(frames=3, objects=2)
    write_clip(tmp_path / "png", clip)
    write_masks(tmp_path / "masks", clip)
    names = sorted(file.name for file in (tmp_path / "png").iterdir())
    assert names == ["00000.png", "00001.png", "00002.png"]
    with Image.open(tmp_path / "png" / "00002.png") as image:
        np.testing.assert_array_equal(np.asarray(image), clip[2].rgb)
    masks = read_mask_folder(tmp_path / "masks")
    np.testing.assert_array_equal(masks[2], clip[2].mask)
    assert set(np.unique(masks[0])) == {0, 1, 2}


def test_grey_is_luma_in_three_channels():
    rgb = still((16, 16))
    grey = to_grey(rgb)
    assert (grey == grey[..., :1]).all()
    luma = rgb[..., 0] * 0.299 + rgb[..., 1] * 0.587 + rgb[..., 2] * 0.114
    assert np.abs(grey[..., 0] - luma).max() <= 0.51
    np.testing.assert_array_equal(to_grey(grey), grey)


def test_sheet_shows_first_last_and_the_occlusion(demo_clip):
    shown = sheet_frames(demo_clip)
    hidden = int(np.argmin([np.count_nonzero(frame.mask == 1) for frame in demo_clip]))
    assert len(shown) == 6 and shown == sorted(shown)
    assert shown[0] == 0 and shown[-1] == 15 and hidden in shown
    assert sheet_frames(demo_clip[:2]) == [0, 1]


class StillTracker:
    """Keeps the first mask, and gives the grey frames back with the reference's mean colour."""

    def track(self, video, *, masks):
        from chromatrack.video.reader import read_frames

        first = read_mask(masks)
        for frame in read_frames(video):
            yield SimpleNamespace(index=frame.index, rgb=frame.rgb, mask=first)

    def colorize(self, video, *, references):
        from chromatrack.video.reader import read_frames

        rgb, index = references[0]
        assert index == 0 and references[1][1] == 7
        cast = rgb.mean(axis=(0, 1)) - rgb.mean()
        for frame in read_frames(video):
            colored = np.clip(frame.rgb + cast, 0, 255).astype(np.uint8)
            yield SimpleNamespace(index=frame.index, rgb=colored)


def test_run_demo_scores_and_writes_everything(tmp_path):
    stages = []
    result = run_demo(
        tmp_path / "out",
        frames=8,
        size=SIZE,
        tracker=StillTracker(),
        progress=lambda stage, done, total: stages.append((stage, done, total)),
    )
    steps = [(stage, n, 8) for stage in ("render", "track", "color") for n in range(1, 9)]
    assert stages == steps
    # The fake keeps the first mask, so tracking must score what the identity baseline scores.
    assert result.scores == result.identity
    assert 0 < result.identity.scores["J&F-Mean"] < 0.6
    assert result.psnr_colored > result.psnr_grey > 10
    assert all(path.exists() for path in result.files.values()) and len(result.files) == 10
    saved = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert saved["tracking"]["scores"] == result.scores.scores
    assert set(saved["tracking"]["objects"]) == {"ball", "koi kite"}
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 8
    with Image.open(result.files["contact_sheet"]) as sheet:
        assert sheet.width > 6 * 200 and sheet.height > 5 * 150


def test_run_demo_refuses_two_frames(tmp_path):
    with pytest.raises(InputError, match="frames=2"):
        run_demo(tmp_path, frames=2, tracker=StillTracker())
