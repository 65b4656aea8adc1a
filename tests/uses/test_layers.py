"""Pictures laid on frames: reading them, their surfaces, shading and blending."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import still, write_clip

from chromatrack.errors import InputError
from chromatrack.ops.resample import planes
from chromatrack.uses.layers import (
    ImageLayer,
    add_changes,
    change_layer,
    keyframe_shares,
    lay_texture,
    luma_of,
    parse_painted,
    parse_texture,
    shading,
    shown_share,
    texture_layer,
)
from chromatrack.uses.surface import SurfaceView

SIZE = (64, 96)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "logo.png"
    Image.new("RGBA", (7, 5), (200, 10, 30, 128)).save(path)
    return path


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip", [still(SIZE)] * 3)


def square(side: int = 12, color: tuple[int, int, int, int] = (200, 40, 60, 255)) -> np.ndarray:
    return np.full((side, side, 4), color, dtype=np.uint8)


def image_of(rgb: np.ndarray) -> torch.Tensor:
    return planes(rgb).float() / 255


@given(
    frame=st.integers(0, 99999),
    x=st.decimals(-999, 9999, places=2),
    y=st.integers(-999, 9999),
)
def test_a_texture_is_read_with_its_place(tmp_path_factory, frame, x, y):
    path = tmp_path_factory.mktemp("t") / "a@b.png"
    Image.new("RGBA", (7, 5), (200, 10, 30, 128)).save(path)
    texture = parse_texture(f"{path}@{frame}:{x},{y}")
    assert (texture.frame, texture.x, texture.y) == (frame, float(x), float(y))
    assert texture.rgba.shape == (5, 7, 4) and texture.rgba[0, 0].tolist() == [200, 10, 30, 128]


def test_a_texture_without_a_place_lies_on_the_first_frames_corner(picture):
    texture = parse_texture(str(picture))
    assert (texture.frame, texture.x, texture.y) == (0, 0, 0)
    assert parse_texture(f"{picture}@4").frame == 4


@pytest.mark.parametrize("tail", ["@x", "@3:4", "@3:4,", "@-1:0,0", "@3:a,b", "@", "@1:1,2,3"])
def test_a_texture_that_is_not_of_the_form_says_what_is(picture, tail):
    with pytest.raises(InputError, match=r"expected PICTURE@FRAME:x,y .*logo.png@0:120,80"):
        parse_texture(f"{picture}{tail}")


def test_pictures_that_are_not_there_or_none_are_told(tmp_path):
    with pytest.raises(InputError, match=r"no\.png@0:1,1': no such file"):
        parse_texture(f"{tmp_path / 'no.png'}@0:1,1")
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(InputError, match="expected a picture"):
        parse_painted(f"{text}@2")


def test_a_painted_frame_is_read_with_its_number(picture):
    rgb, frame = parse_painted(f"{picture}@17")
    assert frame == 17 and rgb.shape == (5, 7, 3)
    assert parse_painted(str(picture))[1] == 0
    with pytest.raises(InputError, match="expected PICTURE@FRAME with FRAME counted from 0"):
        parse_painted(f"{picture}@1:2,3")


@pytest.mark.parametrize(
    ("texture", "message"),
    [
        (ImageLayer(square(color=(9, 9, 9, 0)), 0, 9, 9), "all transparent"),
        (ImageLayer(square(), 0, 96, 9), "inside the 96x64 frame, got x 96, y 9"),
        (ImageLayer(square(), 0, -12.5, 9), "inside the 96x64 frame"),
        (ImageLayer(square(), 2, 9, 9), "expected a frame from 0 to 1, got 2"),
        (ImageLayer(square()[..., :3], 0, 9, 9), r"expected \(h, w, 4\) uint8 RGBA"),
    ],
)
def test_textures_that_cannot_be_laid_say_why(clip, texture, message):
    with pytest.raises(InputError, match=message):
        texture_layer(texture, clip, 0, 2)


def test_painted_frames_that_do_not_fit_say_why(clip):
    with pytest.raises(InputError, match="expected the video's 96x64 pixels"):
        change_layer(np.zeros((64, 95, 3), dtype=np.uint8), 1, clip, 0, None)
    with pytest.raises(InputError, match="got one equal to the video's frame"):
        change_layer(still(SIZE), 1, clip, 0, None)
    with pytest.raises(InputError, match="expected a frame from 1 to the end, got 0"):
        change_layer(still(SIZE), 0, clip, 1, None)


def test_a_textures_surface_is_where_it_shows(clip):
    rgba = square()
    rgba[:, :6, 3] = 0
    surface = texture_layer(ImageLayer(rgba, 1, 20, 30), clip, 0, None).surface
    assert surface.frame == 1 and not surface.is_whole
    assert surface.region[30:42, 26:32].all()
    assert not surface.region[:, :20].any() and not surface.region[:, 38:].any()


def test_only_what_was_repainted_is_followed_unless_it_is_most(clip):
    painted = still(SIZE)
    painted[20:40, 30:60] = (250, 20, 20)
    part = change_layer(painted, 0, clip, 0, None).surface
    assert part.region[20:40, 30:60].all() and not part.region[:, :20].any() and not part.is_whole
    assert change_layer(255 - still(SIZE), 0, clip, 0, None).surface.is_whole


def test_a_texture_covers_its_pixels_and_no_others(clip):
    layer = texture_layer(ImageLayer(square(), 0, 20, 30), clip, 0, None)
    rgb = still(SIZE)
    image = image_of(rgb)
    lay_texture(image, layer, layer.surface.here(), luma_of(rgb))
    laid = (image * 255).round()
    assert torch.equal(
        laid[:, 30:42, 20:32], torch.tensor([200.0, 40, 60])[:, None, None].expand(3, 12, 12)
    )
    laid[:, 30:42, 20:32] = planes(rgb)[:, 30:42, 20:32].float()
    assert torch.equal(laid, planes(rgb).float())


def test_a_half_transparent_texture_is_mixed_with_the_frame(clip):
    layer = texture_layer(ImageLayer(square(color=(200, 40, 60, 51)), 0, 20, 30), clip, 0, None)
    rgb = still(SIZE)
    image = image_of(rgb)
    lay_texture(image, layer, layer.surface.here(), luma_of(rgb))
    expected = 0.2 * np.array([200, 40, 60]) + 0.8 * rgb[35, 25]
    assert (image[:, 35, 25] * 255).tolist() == pytest.approx(expected.tolist(), abs=0.01)


@pytest.mark.parametrize(
    ("light", "least", "most"), [(0.5, 0.49, 0.51), (0.1, 0.4, 0.4), (1, 1, 1)]
)
def test_a_texture_takes_the_light_of_the_frame(clip, light, least, most):
    layer = texture_layer(ImageLayer(square(), 0, 40, 30), clip, 0, None)
    shade = shading(layer, layer.surface.here(), light * luma_of(still(SIZE)))
    assert least - 1e-3 <= float(shade[0, 30:42, 40:52].min())
    assert float(shade[0, 30:42, 40:52].max()) <= most + 1e-3


def test_half_a_surface_hidden_is_half_shown(clip):
    layer = texture_layer(ImageLayer(square(), 0, 40, 30), clip, 0, None)
    here = layer.surface.here()
    assert shown_share(layer, here) == pytest.approx(1, abs=0.01)
    seen = here.seen.clone()
    seen[:, :46] = 0
    half = SurfaceView(here.part, here.places, seen)
    assert shown_share(layer, half) == pytest.approx(0.5, abs=0.05)
    assert shown_share(layer, None) == 0


def test_on_its_keyframe_a_change_gives_the_painted_frame(clip):
    painted = still(SIZE)
    painted[20:40, 30:60] = (250, 20, 20)
    layer = change_layer(painted, 0, clip, 0, None)
    image = add_changes(image_of(still(SIZE)), 0, [(layer, layer.surface.here(), None)])
    assert float((image * 255 - planes(painted).float()).abs().max()) < 0.6


def test_a_change_leaves_what_it_does_not_reach(clip):
    painted = still(SIZE)
    painted[20:40, 30:60] = (250, 20, 20)
    layer = change_layer(painted, 0, clip, 0, None)
    before = image_of(still(SIZE))
    after = add_changes(before, 1, [(layer, layer.surface.here(), None)])
    assert float((after - before)[:, :, :20].abs().max()) < 1e-3
    assert float((after - before)[:, 20:40, 30:60].abs().mean()) > 0.1


def test_a_wash_stands_in_where_the_surface_is_not_seen(clip):
    layer = change_layer(255 - still(SIZE), 0, clip, 0, None)
    before = image_of(np.full((*SIZE, 3), 100, dtype=np.uint8))
    wash = torch.zeros(3, *SIZE)
    wash[0] = 20
    after = add_changes(before, 1, [(layer, None, wash)])
    assert float((after - before).min()) > 0.1
    assert float((after.amax(0) - after.amin(0)).max()) < 0.01


def test_between_two_keyframes_changes_count_by_distance():
    assert keyframe_shares(5, [0, 20]) == [0.75, 0.25]
    assert keyframe_shares(0, [0, 20]) == [1, 0]
    assert keyframe_shares(30, [20, 0]) == [1, 0]
    assert keyframe_shares(3, [10, 20]) == [1, 0]


@given(st.integers(0, 50), st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_shares_of_keyframes_sum_to_one(index, keyframes):
    shares = keyframe_shares(index, keyframes)
    assert sum(shares) == pytest.approx(1) and min(shares) >= 0
