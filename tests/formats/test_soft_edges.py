"""Masks with smooth edges, and masks of ids that only look so."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from chromatrack.errors import InputError
from chromatrack.formats.masks import DAVIS_PALETTE, read_mask, read_mask_folder

SIDE = 120
RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 200, 0)


def disc(
    *, fine: int = 1, radius: float = 30, xy: tuple[float, float] = (57.3, 61.8), color=255
) -> Image.Image:
    """A disc on black; averages of fine x fine pixels make its edge smooth."""
    mode = "L" if isinstance(color, int) else "RGB"
    image = Image.new(mode, (SIDE * fine, SIDE * fine))
    box = [fine * (c + s * radius) for s in (-1, 1) for c in xy]
    ImageDraw.Draw(image).ellipse(box, fill=color)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def shapes(colors, *, fine: int = 4, mode: str = "RGB") -> Image.Image:
    """Three things that meet, on black, with smooth edges (fine > 1) or flat ones."""
    side = SIDE * fine
    image = Image.new(mode, (side, side))
    draw = ImageDraw.Draw(image)
    for color, corners in zip(
        colors,
        [
            [(0.1, 0.1), (0.75, 0.15), (0.5, 0.77)],
            [(0.55, 0.5), (0.95, 0.45), (0.75, 0.95)],
            [(0.08, 0.62), (0.37, 0.62), (0.37, 0.92), (0.08, 0.92)],
        ],
        strict=True,
    ):
        draw.polygon([(x * side, y * side) for x, y in corners], fill=color)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def stored(image: Image.Image, name: str, **options) -> Image.Image:
    """As it comes back from another format."""
    file = io.BytesIO()
    image.save(file, name, **options)
    return Image.open(file)


def rgba(*, premultiplied: bool, hidden: int = 0) -> Image.Image:
    """A red disc whose alpha is smooth."""
    alpha = np.asarray(disc(fine=4))
    rgb = np.full((SIDE, SIDE, 3), RED, dtype=np.uint8)
    if premultiplied:
        rgb = (rgb * (alpha[..., None] / 255)).astype(np.uint8)
    rgb[alpha == 0] = hidden
    return Image.fromarray(np.dstack([rgb, alpha]))


def white_with_alpha() -> Image.Image:
    return Image.merge("LA", [Image.new("L", (SIDE, SIDE), 255), disc(fine=4)])


def half_covered_box() -> Image.Image:
    image = Image.new("L", (2 * SIDE, 2 * SIDE))
    ImageDraw.Draw(image).rectangle([61, 61, 140, 140], fill=255)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


SOFT = {
    "twice as fine": lambda: disc(fine=2),
    "four times as fine": lambda: disc(fine=4),
    "eight times as fine": lambda: disc(fine=8),
    "blurred a little": lambda: disc().filter(ImageFilter.GaussianBlur(1)),
    "blurred": lambda: disc().filter(ImageFilter.GaussianBlur(3)),
    "blurred a lot": lambda: disc(radius=40).filter(ImageFilter.GaussianBlur(8)),
    "grey 200": lambda: disc(fine=4, color=200),
    "red": lambda: disc(fine=4, color=RED),
    "blurred red": lambda: disc(color=RED).filter(ImageFilter.GaussianBlur(3)),
    "dark red": lambda: disc(fine=4, color=(130, 20, 20)),
    "a few pixels": lambda: disc(fine=4, radius=2.7),
    "a box between pixels": half_covered_box,
    "soft alpha": lambda: rgba(premultiplied=False),
    "soft alpha over white": lambda: rgba(premultiplied=False, hidden=255),
    "premultiplied": lambda: rgba(premultiplied=True),
    "grey and alpha": white_with_alpha,
    "saved as jpeg first": lambda: stored(disc(), "JPEG", quality=95).convert("L"),
    "saved as a bad jpeg first": lambda: stored(disc(), "JPEG", quality=40).convert("L"),
    "saved as rgb jpeg first": lambda: stored(disc(color=RED), "JPEG", quality=90).convert("RGB"),
    "enlarged, ringing": lambda: disc(radius=20).resize((2 * SIDE + 33,) * 2, 3),
    "ringing of lanczos": lambda: disc(radius=20).resize((2 * SIDE + 33,) * 2, 1),
}


def area(image: Image.Image) -> int:
    """Pixels that are half there at least."""
    pixels = np.asarray(image.convert("RGBA")).astype(float)
    level = pixels[..., :3].max(axis=2) * pixels[..., 3] / 255
    return int((level >= level.max() / 2).sum())


@pytest.mark.parametrize("make", SOFT.values(), ids=SOFT.keys())
def test_one_thing_with_smooth_edges_is_one_object_cut_at_half(tmp_path, make):
    image = make()
    image.save(tmp_path / "m.png")
    with pytest.warns(UserWarning, match="smooth edges"):
        mask = read_mask(tmp_path / "m.png")
    assert set(np.unique(mask)) == {0, 1}
    expected = area(image)
    if image.mode == "RGBA" and np.asarray(image)[..., :3].min() == 0:
        expected = area(disc(fine=4))  # premultiplied: the alpha says what is there
    assert abs(int((mask > 0).sum()) - expected) <= max(3, 0.03 * expected)


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("color", [255, RED], ids=["white", "red"])
def test_one_object_is_read_from_lossy_files(tmp_path, name, quality, color):
    disc(color=color).save(tmp_path / "m", name, quality=quality)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mask = read_mask(tmp_path / "m")
    assert set(np.unique(mask)) == {0, 1}
    assert abs(int((mask > 0).sum()) - area(disc())) < 60


IDS = np.kron(np.arange(16).reshape(4, 4), np.ones((30, 30))).astype(np.uint8)


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(IDS),
        Image.fromarray(15 * IDS),
        shapes([RED, GREEN, BLUE], fine=1),
        shapes([255, 200, 140], fine=1, mode="L"),
    ],
    ids=["ids", "greys", "colours", "three greys"],
)
def test_ids_are_not_read_from_lossy_files(tmp_path, name, image):
    image.save(tmp_path / "m", name, quality=90)
    with pytest.raises(InputError, match=r"smeared by its format.*save the mask as PNG"):
        read_mask(tmp_path / "m")


@pytest.mark.parametrize("fine", [2, 4, 8])
@pytest.mark.parametrize(
    ("colors", "mode"),
    [
        ([RED, BLUE, GREEN], "RGB"),
        ([(128, 0, 0), (0, 128, 0), (128, 128, 0)], "RGB"),
        ([85, 255, 170], "L"),
    ],
    ids=["colours", "palette colours", "greys"],
)
def test_shades_are_joined_to_the_object_they_border_on(tmp_path, colors, mode, fine):
    shapes(colors, fine=1, mode=mode).save(tmp_path / "hard.png")
    shapes(colors, fine=fine, mode=mode).save(tmp_path / "soft.png")
    hard = read_mask(tmp_path / "hard.png")
    with pytest.warns(UserWarning, match="smooth edges"):
        soft = read_mask(tmp_path / "soft.png")
    assert set(np.unique(soft)) == set(np.unique(hard))
    for number in np.unique(hard):
        both = ((soft == number) & (hard == number)).sum()
        assert both / ((soft == number) | (hard == number)).sum() > 0.9


def instances(count: int, *, largest: int, step: int = 1) -> np.ndarray:
    """Boxes of 1 to `largest` pixels with ids of their own, wherever they fall."""
    rng = np.random.default_rng(count + largest)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint16)
    for number in range(1, count + 1):
        (x, y), (w, h) = rng.integers(0, SIDE - largest, 2), rng.integers(1, largest + 1, 2)
        mask[y : y + h, x : x + w] = step * number
    return mask


def cells(count: int) -> np.ndarray:
    """The whole picture in regions that touch."""
    at = np.random.default_rng(count).random((2, count)) * SIDE
    near = ((np.mgrid[:SIDE, :SIDE][:, None] - at[:, :, None, None]) ** 2).sum(0)
    return near.argmin(0).astype(np.uint16)


@pytest.mark.parametrize(
    "ids",
    [
        instances(20, largest=25),
        instances(100, largest=6),
        instances(200, largest=4),
        instances(250, largest=12),
        instances(300, largest=12),
        instances(300, largest=5, step=200),
        instances(4000, largest=3, step=16),
        cells(30),
        cells(250),
        IDS.astype(np.uint16),
        np.arange(SIDE)[:, None] // 10 * np.ones((1, SIDE), dtype=np.uint16),
    ],
    ids=lambda ids: f"{len(np.unique(ids))} values to {ids.max()}",
)
def test_ids_stay_ids(tmp_path, ids):
    small = ids.max() < 256
    Image.fromarray(ids.astype(np.uint8 if small else np.uint16)).save(tmp_path / "m.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), ids)


def test_palettes_are_ids_however_many(tmp_path):
    image = Image.fromarray(np.asarray(disc(fine=8)), mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), np.asarray(image))


def chosen(image: Image.Image, *, colors: int) -> Image.Image:
    """With a palette that a program chose, as a reduction of colours does."""
    return image.quantize(colors)


def extended(image: Image.Image) -> Image.Image:
    """With the palette of black, red, blue, green, and the shades behind them."""
    pixels = np.asarray(chosen(image, colors=60).convert("RGB"))
    found = map(tuple, np.unique(pixels.reshape(-1, 3), axis=0).tolist())
    palette = list(dict.fromkeys([(0, 0, 0), RED, BLUE, GREEN, *found]))
    indices = np.zeros(pixels.shape[:2], dtype=np.uint8)
    for number, color in enumerate(palette):
        indices[(pixels == color).all(axis=2)] = number
    result = Image.fromarray(indices, mode="P")
    result.putpalette([level for color in palette for level in color])
    return result


@pytest.mark.parametrize("colors", [8, 16, 64])
def test_a_smooth_edge_in_a_palette_is_no_object(tmp_path, colors):
    chosen(disc(fine=8, color=RED), colors=colors).save(tmp_path / "m.png")
    with pytest.warns(UserWarning, match="smooth edges"):
        mask = read_mask(tmp_path / "m.png")
    truth = np.asarray(disc(fine=8)) > 127
    assert set(np.unique(mask)) == {0, 1} and ((mask > 0) != truth).mean() < 0.002


def test_flat_colors_of_a_smooth_palette_keep_their_indices(tmp_path):
    image = shapes([RED, BLUE, GREEN])
    extended(image).save(tmp_path / "m.png")
    with pytest.warns(UserWarning, match="smooth edges"):
        mask = read_mask(tmp_path / "m.png")
    assert set(np.unique(mask)) == {0, 1, 2, 3}
    for number, color in enumerate([(0, 0, 0), RED, BLUE, GREEN]):
        inside = (np.asarray(image) == color).all(axis=2)
        assert (mask[inside] == number).mean() > 0.99


def ramp(levels: np.ndarray) -> bytes:
    return np.repeat(levels.astype(np.uint8)[:, None], 3, axis=1).tobytes()


@pytest.mark.parametrize("palette", [DAVIS_PALETTE.tobytes(), ramp(np.arange(256))])
@given(cells=st.integers(0, 2**32 - 1), size=st.integers(1, 12), most=st.integers(1, 200))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_ids_of_a_palette_stay_as_they_are(tmp_path, palette, cells, size, most):
    """Whatever palette they have: rectangles of any size, beside one another."""
    ids = np.random.default_rng(cells).integers(0, most + 1, (96 // size, 96 // size))
    ids = np.kron(ids, np.ones((size, size), int)).astype(np.uint8)
    image = Image.fromarray(ids, mode="P")
    image.putpalette(palette)
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), ids)


def photograph() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (15, 15), dtype=np.uint8)
    return Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    "image",
    [
        photograph(),
        Image.merge("RGB", [photograph(), photograph().rotate(90), photograph().rotate(180)]),
        Image.fromarray(np.add(*np.mgrid[:SIDE, :SIDE]).astype(np.uint8)),
    ],
    ids=["grey", "colours", "ramp"],
)
def test_photographs_are_refused_with_the_count_of_values(tmp_path, image):
    image.save(tmp_path / "m.png")
    count = len(np.unique(np.asarray(image).reshape(SIDE * SIDE, -1), axis=0))
    with pytest.raises(InputError, match=rf"has {count} .*so it is no mask .*save as PNG"):
        read_mask(tmp_path / "m.png")


def test_a_folder_of_soft_masks_warns_once_and_keeps_ids(tmp_path):
    for index in range(3):
        image = shapes([RED, BLUE, GREEN], fine=2 + index)
        image.save(tmp_path / f"{index:05d}.png")
    with pytest.warns(UserWarning, match="smooth edges") as told:
        masks = read_mask_folder(tmp_path)
    assert len(told) == 1
    assert {tuple(np.unique(mask)) for mask in masks.values()} == {(0, 1, 2, 3)}
