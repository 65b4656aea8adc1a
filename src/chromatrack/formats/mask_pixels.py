"""What the pixels of a mask file mean: ids, flat colours, or one soft object; page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.soft_edges import (
    Joined,
    distinct_values,
    is_photograph,
    join_shades,
    lossy_object,
    mapped,
    packed_values,
)
from chromatrack.structures import Color
from chromatrack.video.picture_files import full_pages, opened_picture


def _davis_palette() -> np.ndarray:
    """The PASCAL VOC / DAVIS colour table, (256, 3) uint8 RGB; entry 0 is black.

    Bit k of red, green and blue (from the top) is bit 3k, 3k + 1 and 3k + 2 of the index.
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for k in range(8):
        for channel in range(3):
            bit = (index >> (3 * k + channel)) & 1
            palette[:, channel] |= (bit << (7 - k)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


DAVIS_PALETTE = _davis_palette()
"""(256, 3) uint8 RGB: the colour in which object id `i` is stored and drawn."""

PALETTE_IDS: dict[int, int] = {
    (int(r) << 16) | (int(g) << 8) | int(b): i for i, (r, g, b) in enumerate(DAVIS_PALETTE)
}
"""{packed colour: id} of them."""

MAX_COLORS = 256
"""An RGB mask with more distinct colours than this is taken for a photograph and refused."""

LOSSY_FORMATS = frozenset({"JPEG", "MPO", "AVIF"})
"""Formats that smear ids at the borders; one object on black can be read from them, ids cannot."""

IDS_KEY = "ObjectIds"
"""Text in a PNG of ours whose palette has colours that a user chose: its indices are the ids."""

_ASTRAY = 16  # levels by which a mixture of two colours may be off in a palette
_MIXED = 0.9  # of a palette's shades that must be mixtures

SizeCheck = Callable[[tuple[int, int]], None]
"""Raises InputError for the (height, width) of a mask that does not fit."""


@dataclass(frozen=True)
class MaskPage:
    """One picture of a mask file.

    values: `(H, W)` int32 ids, or packed 0xRRGGBB colours. is_color: which of the two. shades: how
    many values were joined to others because edges are smooth. palette: the colours of ids, of a
    picture whose palette says them.
    """

    values: np.ndarray
    is_color: bool
    shades: int = 0
    palette: Mapping[int, Color] = field(default_factory=dict)


def read_pages(path: Path, *, fits: SizeCheck | None = None) -> list[MaskPage]:
    """All pictures of a mask file: one, or those of a TIFF, an animated PNG, WebP or GIF.

    Args:
        fits: refuses a size; asked for every picture before its pixels are decoded.

    Raises:
        InputError: no such file, not an image, values that are neither ids nor one object.
    """
    if path.is_dir():
        raise InputError(f"expected a mask image, got the folder '{path}'")
    if not path.exists():
        raise InputError(f"no mask file '{path}'; check the path")
    with opened_picture(path, name=f"mask '{path}'") as image:
        return [_page(picture, path) for picture in _pictures(image, path, fits)]


@dataclass(frozen=True)
class _Picture:
    """One decoded picture. is_lossy: its format smears. bits: per grey sample."""

    image: Image.Image
    is_lossy: bool
    bits: int


def _pictures(image: Image.Image, path: Path, fits: SizeCheck | None) -> Iterator[_Picture]:
    """The pictures of an open file, each valid until the next; smaller copies are passed over.

    Palettes count as ids, but for those of a GIF of several pictures, which may have a palette
    each and whose writers sort them: it is read as colours.
    """
    is_lossy = image.format in LOSSY_FORMATS or (image.format == "WEBP" and _smears(path))
    if image.format != "TIFF":  # whose first picture may be a smaller copy
        _ask(fits, image)
    pages = full_pages(image)
    if len(pages) == 1:
        image.seek(pages[0])
        _ask(fits, image)
        image.load()
        is_grey = image.format == "PNG" and image.mode in {"L", "LA"}
        yield _Picture(image, is_lossy, _grey_bits(path) if is_grey else 8)
        return
    bits = _grey_bits(path) if image.format == "PNG" and image.mode == "L" else 8
    for number in pages:
        image.seek(number)
        _ask(fits, image)
        image.load()
        is_drawn = image.mode == "P" and image.format not in {"TIFF", "PNG"}
        yield _Picture(image.convert("RGBA") if is_drawn else image, is_lossy, bits)


def _ask(fits: SizeCheck | None, image: Image.Image) -> None:
    if fits is not None:
        fits((image.height, image.width))


def _page(picture: _Picture, path: Path) -> MaskPage:
    image = picture.image
    if image.mode == "P":
        return _palette_page(picture, path)
    pixels = np.asarray(image)
    if image.mode == "1":
        return MaskPage(pixels.astype(np.int32), False)
    if image.mode == "L" or image.mode.startswith("I"):
        return _grey_page(pixels, picture, path)
    if image.mode == "LA":
        seen, shades = _opaque(pixels)
        page = _grey_page(seen[..., 0], picture, path)
        return replace(page, shades=page.shades + shades)
    if image.mode in {"RGB", "RGBA"}:
        seen, shades = _opaque(pixels)
        page = _color_page(seen, picture, path)
        return replace(page, shades=page.shades + shades)
    raise InputError(
        f"'{path}': a mask is a palette, grey, RGB or RGBA image, got mode {image.mode}; "
        "save it as PNG"
    )


def _palette_page(picture: _Picture, path: Path) -> MaskPage:
    """Indices are ids; where edges are smooth, of flat colours alone, if the first is the ground.

    So they are where a file of ours says so. Else a program chose the palette, and colours are what
    counts.
    """
    image = picture.image
    if len(distinct_values(np.asarray(image))) < 4 or IDS_KEY in image.info:
        return _indexed_page(image)
    seen, _ = _opaque(np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB")))
    smooth = join_shades(seen, full_scale=255)
    indices = np.asarray(image)
    if smooth is None or not _are_mixtures(seen, smooth.pixels):
        return _indexed_page(image)
    places = {i: int((indices == i).argmax()) for i in reversed(distinct_values(indices).tolist())}
    ids = {tuple(seen.reshape(-1, 3)[place].tolist()): i for i, place in places.items()}
    if ids.get((0, 0, 0)) != 0:
        del smooth, indices
        return _color_page(seen, picture, path)
    shades = smooth.shades
    packed, _ = packed_values(smooth.pixels)
    del seen, smooth, indices  # large ones, before more are made
    kept = distinct_values(packed)
    numbers = [ids[(c >> 16, c >> 8 & 255, c & 255)] for c in kept.tolist()]
    return MaskPage(mapped(packed, kept, np.array(numbers, np.int32)), False, shades)


def _indexed_page(image: Image.Image) -> MaskPage:
    """Indices as ids, and the colours that the palette gives them."""
    indices = np.asarray(image).astype(np.int32)
    palette = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3).tolist()
    ids = [number for number in distinct_values(indices).tolist() if number < len(palette)]
    return MaskPage(indices, False, palette={n: tuple(palette[n]) for n in ids})


def _are_mixtures(seen: np.ndarray, flat: np.ndarray) -> bool:
    """Whether nearly all colours that were joined, which are many, lie between two flat ones.

    Args:
        seen: `(H, W, 3)` as given. flat: as joined.
    """
    after = distinct_values(packed_values(flat)[0])
    before = np.setdiff1d(distinct_values(packed_values(seen)[0]), after)
    shades, ends = (
        (packed[:, None] >> np.array([16, 8, 0]) & 255).astype(np.float64)
        for packed in (before, after)
    )
    if len(ends) > len(shades):
        return False  # nearly any colour lies between two of so many
    nearest = np.full(len(shades), np.inf)
    for one, other in combinations(ends, 2):
        along = other - one
        share = ((shades - one) @ along / (along @ along)).clip(0, 1)
        apart = np.abs(shades - (one + share[:, None] * along)).max(axis=1)
        nearest = np.minimum(nearest, apart)
    return bool((nearest <= _ASTRAY).mean() >= _MIXED)


def _grey_page(grey: np.ndarray, picture: _Picture, path: Path) -> MaskPage:
    """Ids of a grey image: the decoder's stretch of 2 and 4 bits undone; 0/255 means 0/1."""
    ids = grey.astype(np.int32)
    if picture.bits < 8:
        return MaskPage(ids // (255 // (2**picture.bits - 1)), False)
    if grey.dtype == np.uint8:
        found = _one_object(grey[..., None], picture, path)
        if isinstance(found, MaskPage):
            return found
        if found is None and is_photograph(grey):
            raise InputError(
                f"'{path}' has {len(np.unique(grey))} grey values that change little by little, "
                "so it is no mask (one flat value per object, 0 for background); paint without "
                "smooth edges and save as PNG"
            )
        if found is not None:
            return MaskPage(found.pixels[..., 0].astype(np.int32), False, found.shades)
    elif grey.max(initial=0) == 65535 and grey.min() >= 0:
        found = join_shades(grey[..., None].astype(np.uint16), full_scale=65536)
        if found is not None and found.objects == 1:
            return MaskPage((found.pixels[..., 0] > 0).astype(np.int32), False, found.shades)
    return MaskPage(ids // 255 if ((grey == 0) | (grey == 255)).all() else ids, False)


def _color_page(rgb: np.ndarray, picture: _Picture, path: Path) -> MaskPage:
    """Packed colours of an `(H, W, 3)` image; the id of the one object where it was smeared."""
    found = _one_object(rgb, picture, path)
    if isinstance(found, MaskPage):
        return found
    packed, _ = packed_values(rgb if found is None else found.pixels)
    distinct = len(distinct_values(packed))
    if distinct > MAX_COLORS:
        raise InputError(
            f"'{path}' has {distinct} colours, so it is no mask (one flat colour per object, black "
            "background); paint without smooth edges and save as PNG"
        )
    return MaskPage(packed, True, 0 if found is None else found.shades)


def _one_object(pixels: np.ndarray, picture: _Picture, path: Path) -> MaskPage | Joined | None:
    """The page of one soft or smeared object; shades joined to several; or None: flat values."""
    joined = None
    if not picture.is_lossy:
        joined = join_shades(pixels, full_scale=255)
        if joined is not None and _are_ids(pixels) and not _are_mixtures(pixels, joined.pixels):
            return None
        if joined is not None and joined.objects == 1:
            return _one_color(joined)
    if (distinct := _distinct(pixels)) < 4:
        return joined
    smeared = lossy_object(pixels, was_lossy=picture.is_lossy)
    if smeared is not None:
        return MaskPage(smeared.astype(np.int32), False, distinct - 2)
    if picture.is_lossy:
        raise InputError(
            f"'{path}' has {distinct} values, smeared by its format ({picture.image.format or ''}"
            "), so ids cannot be read from it (one object on black can); save the mask as PNG"
        )
    return joined


def _are_ids(pixels: np.ndarray) -> bool:
    """Whether all colours `(H, W, 3)` are DAVIS's, of an id each; edges seldom have only these."""
    packed, _ = packed_values(pixels)
    return pixels.shape[2] == 3 and PALETTE_IDS.keys() >= set(distinct_values(packed).tolist())


def _one_color(joined: Joined) -> Joined | MaskPage:
    """One soft object: a grey one that is bright has id 1, as where only 0 and 255 are used."""
    if joined.pixels.shape[2] == 1 and joined.pixels.max() >= 128:
        return MaskPage((joined.pixels[..., 0] > 0).astype(np.int32), False, joined.shades)
    return joined


def _opaque(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Colours or grey without alpha, black where it is transparent, and how many alphas were soft.

    Soft alpha is cut at half; where it is not soft whatever is not quite transparent counts.
    """
    if pixels.shape[2] in (1, 3):
        return pixels, 0
    alpha = pixels[..., -1:]
    soft = join_shades(alpha, full_scale=255)
    is_seen = alpha > 0 if soft is None else soft.pixels > int(soft.pixels.max()) // 2
    return np.where(is_seen, pixels[..., :-1], 0), 0 if soft is None else soft.shades


def _distinct(pixels: np.ndarray) -> int:
    return len(distinct_values(packed_values(pixels)[0]))


def _grey_bits(path: Path) -> int:
    """Bits per sample in a PNG header (byte 24 of the file)."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _smears(path: Path) -> bool:
    """Whether a WebP file holds lossy pictures: chunks `VP8 ` and no `VP8L` near its start."""
    with path.open("rb") as file:
        return b"VP8L" not in file.read(1 << 16)
