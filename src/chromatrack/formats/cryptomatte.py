"""Cryptomatte: object mattes in OpenEXR files, one for each frame.

Source: the Cryptomatte specification 1.2 (Friedman, Jones 2015). An object's id is the
MurmurHash3-32 of its name, taken for a float; where that would be no ordinary number one bit of its
exponent is turned. Ids and coverage lie in pairs in the channels R, G and B, A of layers
`CryptoObject00`, `01` ..., at each pixel the object of most coverage first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chromatrack.formats.exchange import need

LAYER = "CryptoObject"
MOST_LAYERS = 3
"""Of two objects each: as many as renderers usually write. More at one pixel are left out."""


def write_frame(path: Path, coverage: np.ndarray, names: Sequence[str]) -> None:
    """Write one frame.

    Args:
        coverage: (L, H, W) float32 in [0, 1], how much of every pixel is which object.
        names: of the L objects, no two alike.

    Raises:
        InputError: OpenEXR is not installed.
    """
    exr = need("OpenEXR", "film", "cryptomatte")
    ids = np.array([float_id(name) for name in names], dtype=np.float32)
    key = f"{murmur3(LAYER.encode()):08x}"[:7]
    manifest = {name: f"{int(ids[n].view(np.uint32)):08x}" for n, name in enumerate(names)}
    header = {
        "compression": exr.ZIPS_COMPRESSION,
        "type": exr.scanlineimage,
        f"cryptomatte/{key}/name": LAYER,
        f"cryptomatte/{key}/hash": "MurmurHash3_32",
        f"cryptomatte/{key}/conversion": "uint32_to_float32",
        f"cryptomatte/{key}/manifest": json.dumps(manifest, ensure_ascii=True, allow_nan=False),
    }
    with exr.File(header, _channels(coverage, ids)) as file:
        file.write(str(path))


def _channels(coverage: np.ndarray, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Pairs of ids and coverage, most coverage first."""
    layers = min(MOST_LAYERS, -(-len(ids) // 2))
    shown = -np.sort(-coverage, axis=0)[: 2 * layers]
    order = np.argsort(-coverage, axis=0, kind="stable")[: 2 * layers]
    which = np.where(shown > 0, ids[order], np.float32(0))
    empty = np.zeros(coverage.shape[1:], dtype=np.float32)
    channels: dict[str, np.ndarray] = {}
    for rank in range(2 * layers):
        place, amount = "RG" if rank % 2 == 0 else "BA"
        is_there = rank < len(shown)
        layer = f"{LAYER}{rank // 2:02d}"
        channels[f"{layer}.{place}"] = which[rank].astype(np.float32) if is_there else empty
        channels[f"{layer}.{amount}"] = shown[rank].astype(np.float32) if is_there else empty
    return channels


def float_id(name: str) -> np.float32:
    """The id of a name: its hash as the bits of a float that is an ordinary number."""
    bits = murmur3(name.encode())
    if bits >> 23 & 255 in (0, 255):
        bits ^= 1 << 23
    return np.uint32(bits).view(np.float32)


def murmur3(data: bytes, seed: int = 0) -> int:
    """MurmurHash3_x86_32 (Appleby, public domain) of bytes, in [0, 2**32)."""
    value, whole = seed, len(data) // 4 * 4
    for start in range(0, whole, 4):
        value ^= _mixed(int.from_bytes(data[start : start + 4], "little"))
        value = (_turned(value, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    if data[whole:]:
        value ^= _mixed(int.from_bytes(data[whole:], "little"))
    value ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        value = ((value ^ value >> shift) * factor) & 0xFFFFFFFF
    return value


def _mixed(word: int) -> int:
    return _turned(word * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF


def _turned(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & 0xFFFFFFFF
