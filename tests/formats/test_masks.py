from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from chromatrack.errors import InputError, OutputError
from chromatrack.formats.masks import (
    DAVIS_PALETTE,
    check_mask,
    read_mask,
    read_mask_folder,
    write_mask,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
FREE = [(1, 2, 3), (200, 100, 50), (255, 255, 255), (255, 0, 0)]
"""Colours outside the DAVIS palette, ascending."""


def test_palette_is_the_voc_table():
    assert DAVIS_PALETTE.shape == (256, 3) and DAVIS_PALETTE.dtype == np.uint8
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128)}
    known |= {5: (128, 0, 128), 8: (64, 0, 0), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: tuple(DAVIS_PALETTE[index].tolist()) for index in known} == known
    assert len(np.unique(DAVIS_PALETTE, axis=0)) == 256
    with pytest.raises(ValueError, match="read-only"):
        DAVIS_PALETTE[0] = 1


@settings(max_examples=40, deadline=None)
@given(mask=hnp.arrays(np.int32, SHAPES, elements=st.integers(0, 70000)), limit=st.booleans())
def test_written_ids_come_back(tmp_path_factory, mask, limit):
    mask = mask % (256 if limit else 65536)
    path = tmp_path_factory.mktemp("masks") / "m.png"
    write_mask(path, mask)
    back = read_mask(path)
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, mask)
    assert [file.name for file in path.parent.iterdir()] == ["m.png"]


@settings(max_examples=40, deadline=None)
@given(mask=hnp.arrays(np.uint8, SHAPES), alpha=st.booleans())
def test_rgb_in_davis_colors_gives_the_palette_index(tmp_path_factory, mask, alpha):
    path = tmp_path_factory.mktemp("rgb") / "m.png"
    image = Image.fromarray(DAVIS_PALETTE[mask])
    (image.convert("RGBA") if alpha else image).save(path)
    np.testing.assert_array_equal(read_mask(path), mask)


@settings(max_examples=40, deadline=None)
@given(mask=hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 254)))
def test_grey_values_are_ids(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("grey") / "m.png"
    Image.fromarray(mask).save(path)
    np.testing.assert_array_equal(read_mask(path), mask)


def test_davis_colors_that_look_like_smooth_edges_are_ids(tmp_path):
    few = "0 0 21 0 52 9 7 70 70 18 70 70 70 36 0 70 70 0 19 70 70 44"
    mask = np.array(few.split(), dtype=np.uint8).reshape(11, 2)
    Image.fromarray(DAVIS_PALETTE[mask]).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), mask)


def test_smooth_edges_of_davis_colors_that_are_all_davis_colors_are_joined(tmp_path):
    y, x = np.mgrid[:128, :128]
    disc = (x - 60.5) ** 2 + (y - 66.5) ** 2 < 45**2  # at twice the size: a fifth of each shade
    share = disc.reshape(64, 2, 64, 2).mean((1, 3))[..., None]
    rgb = (share * DAVIS_PALETTE[1]).astype(np.uint8)
    assert len(np.unique(rgb[..., 0])) == 5
    Image.fromarray(rgb).save(tmp_path / "m.png")
    with pytest.warns(UserWarning, match="smooth edges"):
        found = read_mask(tmp_path / "m.png")
    np.testing.assert_array_equal(np.unique(found), [0, 1])
    assert ((found > 0) != (share[..., 0] > 0.5)).mean() < 0.01


def test_written_file_is_palette_with_davis_colors(tmp_path):
    mask = np.array([[0, 1], [2, 255]])
    write_mask(tmp_path / "new" / "m.png", mask)
    with Image.open(tmp_path / "new" / "m.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), DAVIS_PALETTE[mask])


def test_palette_of_only_0_and_255_keeps_255(tmp_path):
    write_mask(tmp_path / "m.png", np.array([[0, 255]]))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), [[0, 255]])


def test_binary_grey_and_one_bit_become_id_1(tmp_path):
    binary = np.array([[0, 255, 0], [255, 255, 0]], dtype=np.uint8)
    for name, image in {
        "grey.png": Image.fromarray(binary),
        "bit.png": Image.fromarray(binary).convert("1"),
        "rgb.png": Image.fromarray(binary).convert("RGB"),
        "grey.bmp": Image.fromarray(binary),
        "full.png": Image.fromarray(np.full((2, 3), 255, np.uint8)),
    }.items():
        image.save(tmp_path / name)
        expected = np.ones((2, 3)) if name == "full.png" else binary // 255
        np.testing.assert_array_equal(read_mask(tmp_path / name), expected, err_msg=name)
    with_third = np.array([[0, 255, 7]], dtype=np.uint8)
    Image.fromarray(with_third).save(tmp_path / "three.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "three.png"), with_third)


def test_sixteen_bit_grey(tmp_path):
    mask = np.array([[0, 300], [65535, 1]], dtype=np.uint16)
    Image.fromarray(mask).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), mask)


@pytest.mark.parametrize("bits", [2, 4])
def test_two_and_four_bit_grey_are_not_stretched(tmp_path, bits):
    ids = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    (tmp_path / "m.png").write_bytes(_grey_png(ids, bits=bits))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), ids)


def _grey_png(ids: np.ndarray, *, bits: int) -> bytes:
    """A grey PNG of few bits per sample, written by hand; rows fill whole bytes."""
    packed = [
        bytes([0])
        + int("".join(f"{value:0{bits}b}" for value in row), 2).to_bytes(len(row) * bits // 8)
        for row in ids
    ]

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(packed))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_other_colors_are_numbered_in_order_around_the_palette(tmp_path):
    green = tuple(DAVIS_PALETTE[2].tolist())
    row = [FREE[3], (0, 0, 0), FREE[0], green, FREE[1]]
    Image.fromarray(np.array([row], dtype=np.uint8)).save(tmp_path / "m.png")
    # Ascending (1,2,3), (200,100,50), (255,0,0) take 1, 3, 4: 2 is the palette's green.
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), [[4, 0, 1, 2, 3]])


def test_transparent_pixels_are_background(tmp_path):
    rgba = np.array([[[255, 0, 0, 0], [255, 0, 0, 255], [9, 9, 9, 0]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), [[0, 1, 0]])
    grey = np.array([[[5, 0], [7, 255]]], dtype=np.uint8)
    Image.fromarray(grey, mode="LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "la.png"), [[0, 7]])


def test_unreadable_masks_say_why(tmp_path):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    (tmp_path / "text.png").write_text("hello")
    whole = io.BytesIO()
    Image.fromarray(photo).save(whole, format="PNG")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:300])
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "print.tiff")
    for name, pattern in {
        "photo.png": "colours, so it is no mask",
        "photo.jpg": "JPEG",
        "text.png": "cannot be read as an image",
        "cut.png": "cannot be read as an image",
        "print.tiff": "CMYK",
        "none.png": "no mask file",
        ".": "folder",
    }.items():
        with pytest.raises(InputError, match=pattern) as caught:
            read_mask(tmp_path / name)
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_folder_is_keyed_by_frame_number(tmp_path):
    for name, value in {"00012.png": 3, "2.png": 1, "100000.png": 2}.items():
        write_mask(tmp_path / name, np.full((2, 3), value))
    (tmp_path / ".hidden.png").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    masks = read_mask_folder(tmp_path)
    assert list(masks) == [2, 12, 100000]
    assert [int(mask[0, 0]) for mask in masks.values()] == [1, 3, 2]


def test_folder_gives_a_color_one_id_in_all_files(tmp_path):
    for index, row in enumerate([[FREE[0], FREE[2]], [FREE[2], FREE[2]], [FREE[1], FREE[0]]]):
        Image.fromarray(np.array([row], dtype=np.uint8)).save(tmp_path / f"{index:05d}.png")
    masks = read_mask_folder(tmp_path)
    assert [mask.tolist() for mask in masks.values()] == [[[1, 3]], [[3, 3]], [[2, 1]]]


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        ({}, "no PNG masks"),
        ({"a1.png": (2, 2)}, "a1.png"),
        ({"1.png": (2, 2), "00001.png": (2, 2)}, "both name frame 1"),
        ({"0.png": (2, 2), "4.png": (2, 3)}, "frame 0 is 2x2 and frame 4 is 3x2"),
    ],
)
def test_folder_errors(tmp_path, files, pattern):
    for name, shape in files.items():
        write_mask(tmp_path / name, np.ones(shape, dtype=int))
    with pytest.raises(InputError, match=pattern):
        read_mask_folder(tmp_path)
    with pytest.raises(InputError, match="no mask folder"):
        read_mask_folder(tmp_path / "missing")


def test_write_refuses_what_is_no_mask(tmp_path):
    for mask, pattern in [
        (np.zeros((2, 2, 3), int), "shape"),
        (np.zeros((0, 2), int), "non-empty"),
        (np.zeros((2, 2)), "float64"),
        (np.array([[-1]]), "-1"),
        (np.array([[65536]]), "65536"),
    ]:
        with pytest.raises(InputError, match=pattern):
            write_mask(tmp_path / "m.png", mask)
    with pytest.raises(InputError, match="suffix"):
        write_mask(tmp_path / "m.jpg", np.zeros((2, 2), int))
    assert not list(tmp_path.iterdir())


def test_write_error_leaves_no_file_behind(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_mask(tmp_path / "file" / "m.png", np.ones((2, 2), int))
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError, match=r"taken\.png"):
        write_mask(tmp_path / "taken.png", np.ones((2, 2), int))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "taken.png"]


def test_bool_masks_are_ids_0_and_1(tmp_path):
    mask = np.array([[True, False]])
    assert check_mask(mask).tolist() == [[1, 0]]
    write_mask(tmp_path / "m.png", mask)
    assert read_mask(tmp_path / "m.png").tolist() == [[1, 0]]
