"""Cryptomatte files: the hash by its published values, the file by other readers."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.formats.cryptomatte import float_id, murmur3, write_frame


@pytest.mark.parametrize(
    ("text", "seed", "value"),
    [
        *(("", 0, 0), ("", 1, 0x514E28B7), ("", 0xFFFFFFFF, 0x81F16F39)),
        *(("test", 0, 0xBA6BD213), ("test", 0x9747B28C, 0x704B81DC)),
        *(("Hello, world!", 0, 0xC0363E43), ("Hello, world!", 0x9747B28C, 0x24884CBA)),
        ("The quick brown fox jumps over the lazy dog", 0, 0x2E4FF723),
        ("The quick brown fox jumps over the lazy dog", 0x9747B28C, 0x2FA826CD),
    ],
)
def test_the_hash_has_its_published_values(text, seed, value):
    assert murmur3(text.encode(), seed) == value


@given(st.text())
def test_ids_are_ordinary_numbers(name):
    number = float_id(name)
    assert np.isfinite(number)
    exponent = struct.unpack("<I", struct.pack("<f", float(number)))[0] >> 23 & 255
    assert exponent not in (0, 255)


def coverage():
    """Three objects on 6 x 8 pixels, of which two share a column."""
    found = np.zeros((3, 6, 8), dtype=np.float32)
    found[0, :, :3], found[1, :, 4:] = 1, 1
    found[0, :, 3], found[1, :, 3] = 0.25, 0.75
    found[2, 0, 0], found[0, 0, 0] = 0.125, 0.875
    return found


NAMES = ['a "cow"', "bœuf", "c"]


def test_the_file_is_as_the_specification_says(tmp_path):
    exr = pytest.importorskip("OpenEXR")
    write_frame(tmp_path / "m.exr", coverage(), NAMES)
    with exr.File(str(tmp_path / "m.exr"), separate_channels=True) as file:
        header = dict(file.header())
        pixels = {name: channel.pixels.copy() for name, channel in file.channels().items()}
    (key,) = {name.split("/")[1] for name in header if name.startswith("cryptomatte/")}
    assert key == "3ae39a5"  # as renderers write for this layer
    said = {name.split("/")[2]: header[name] for name in header if name.startswith("cryptom")}
    assert said["name"] == "CryptoObject" and said["hash"] == "MurmurHash3_32"
    assert said["conversion"] == "uint32_to_float32"
    manifest = json.loads(said["manifest"])
    ids = {
        name: struct.unpack("<f", struct.pack("<I", int(value, 16)))[0]
        for name, value in manifest.items()
    }
    assert list(manifest) == NAMES
    assert {f"CryptoObject{n:02d}.{c}" for n in (0, 1) for c in "RGBA"} == set(pixels)
    for n, name in enumerate(NAMES):
        total = np.zeros((6, 8))
        for layer in ("CryptoObject00", "CryptoObject01"):
            for which, amount in ("RG", "BA"):
                same = pixels[f"{layer}.{which}"] == np.float32(ids[name])
                total += np.where(same, pixels[f"{layer}.{amount}"], 0)
        np.testing.assert_array_equal(total, coverage()[n])
    assert (pixels["CryptoObject00.G"] >= pixels["CryptoObject00.A"]).all()
    assert pixels["CryptoObject00.R"].dtype == np.float32


def test_another_reader_finds_the_objects(tmp_path):
    exr = pytest.importorskip("OpenEXR")
    kripto = pytest.importorskip("kriptomatte")
    names = ["cow", "ox", "c"]
    write_frame(tmp_path / "m.exr", coverage(), names)
    file = exr.InputFile(str(tmp_path / "m.exr"))
    header = file.header()
    found = kripto.Get_Cryptomattes_From_Header(header)
    ((key, layer),) = found.items()
    layer["channels"], layer["naming_scheme"] = kripto.identify_channels(header, layer["name"])
    read = kripto.parse_manifest(found, key, str(tmp_path / "m.exr"))
    layer["manifest"], layer["name2ID"], layer["ID2name"] = read
    masks = dict(
        kripto.get_masks_for_all_objs(
            var_exr=file,
            var_cryptomattes=found,
            var_header=header,
            var_crypto_matte_id=key,
            var_window_shape=(6, 8),
        )
    )
    assert set(masks) == set(names)
    for n, name in enumerate(names):
        assert layer["name2ID"][name] == kripto.name_to_ID(name) == float(float_id(name))
        np.testing.assert_allclose(masks[name] / 255, coverage()[n], atol=0.005)
