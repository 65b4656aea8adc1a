from __future__ import annotations

import collections
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.errors import LayoutError
from chromatrack.evaluation.datasets import safe_pickle
from chromatrack.evaluation.datasets.safe_pickle import ByteSpan, StoredArray, read_array_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def written(folder: Path, value: object, protocol: int = 4) -> Path:
    path = folder / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def loaded(value):
    """What was read, with every array and byte string brought into memory."""
    if isinstance(value, StoredArray):
        if value.dtype == "|O":
            return [loaded(item) for item in value.items]
        return np.array(value.load())
    if isinstance(value, ByteSpan):
        return value.read()
    if isinstance(value, dict):
        return {key: loaded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(loaded(item) for item in value)
    return value


def same(a: object, b: object) -> bool:
    if isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(b, dict):
        return isinstance(a, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


rng = np.random.default_rng(0)
VALUES = {
    "bytes of pictures": {"a": {"video": rng.integers(0, 256, (3, 20, 24, 3), dtype=np.uint8)}},
    "small": [np.arange(6, dtype=np.float32).reshape(1, 3, 2), np.zeros((1, 3), dtype=bool)],
    "big-endian": np.arange(900, dtype=">f8"),
    "fortran": np.asfortranarray(rng.normal(size=(40, 30))),
    "a slice": rng.normal(size=(60, 60))[::2, 1::2],
    "texts": np.array([b"\xff\xd8ab", b"\xff\xd8longer", bytes(range(1, 200)) * 20]),
    "empty": np.zeros((0, 4, 2)),
    "a number": np.array(3.5),
    "plain": ("x", 1, -70000, 2**40, 1.5, None, True, False, (), [], {}, (1, 2), (1, 2, 3, 4)),
    "bytes": [b"short", b"long" * 1000, bytearray(b"x" * 2000)],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
def test_what_is_read_is_what_was_pickled(tmp_path, name, protocol):
    expected = VALUES[name]
    if name == "bytes":
        expected = [bytes(item) for item in VALUES["bytes"]]  # bytearrays come as bytes
    assert same(loaded(read_array_pickle(written(tmp_path, VALUES[name], protocol))), expected)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_objects_come_as_their_items(tmp_path, protocol):
    objects = np.empty(3, dtype=object)
    objects[:] = [b"one", b"two" * 900, np.arange(3)]
    stored = read_array_pickle(written(tmp_path, objects, protocol))
    assert stored.shape == (3,) and stored.dtype == "|O"
    assert same(loaded(stored), [b"one", b"two" * 900, np.arange(3)])
    with pytest.raises(LayoutError, match="one of objects"):
        stored.load()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_single_numbers_and_shared_arrays(tmp_path, protocol):
    one = np.arange(500.0)
    value = [np.float64(2.5), np.int32(7), np.bytes_(b"q" * 3000), one, one]
    found = read_array_pickle(written(tmp_path, value, protocol))
    assert found[:2] == [2.5, 7] and loaded(found[2]) == b"q" * 3000
    assert found[3] is found[4] and np.array_equal(found[3].load(), one)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_long_arrays_stay_in_the_file_until_they_are_loaded(tmp_path, protocol):
    video = rng.integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
    stored = read_array_pickle(written(tmp_path, {"video": video}, protocol))["video"]
    assert isinstance(stored.content, ByteSpan) and len(pickle.dumps(stored)) < 500
    again = pickle.loads(pickle.dumps(stored)).load()
    assert isinstance(again, np.memmap) and not again.flags.writeable
    assert np.array_equal(again, video)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


class State:
    def __init__(self):
        self.x = 1


class Subclass(np.ndarray):
    pass


HARMFUL = {
    "posix.mkdir|os.mkdir": Harmful(),
    "NEWOBJ|copyreg._reconstructor|copy_reg": State(),
    "collections.OrderedDict": collections.OrderedDict(a=1),
    "another class": np.zeros(3).view(Subclass),
    "array of .V8": np.zeros(3, dtype=[("a", int)]),
    "array of datetime64": np.zeros(3, dtype="M8[s]"),
    "EMPTY_SET|builtins.set|__builtin__.set": {1, 2},
    "array of .U": np.array(["text"]),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("names", HARMFUL)
def test_anything_else_is_refused_and_not_run(tmp_path, monkeypatch, names, protocol):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, HARMFUL[names], protocol)
    with pytest.raises(LayoutError, match=names) as caught:
        read_array_pickle(path)
    assert "nothing in it was run" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


def test_names_are_refused_also_where_they_are_not_called(tmp_path):
    found = read_array_pickle(written(tmp_path, [os.system]))
    assert not callable(found[0]), "a name is only ever a name"


def test_nothing_is_imported(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(b"cantigravity\nfly\n.")
    read_array_pickle(path)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no whole pickle of arrays: pickle exhausted"),
        (b"no pickle", "no whole pickle of arrays"),
        (pickle.dumps(VALUES["bytes of pictures"])[:-200], "no whole pickle of arrays"),
        (b"\x80\x04N", "pickle exhausted"),
        (b"\x80\x04.", "no whole pickle"),
        (b"\x80\x04e.", "no whole pickle"),
        (b"\x80\x04h\x05.", "no whole pickle"),
        (b"T\xff\xff\xff\xff.", "pickle exhausted"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.", "no whole pickle"),
        (b"\x80\x04\x8b\x00\x10\x00\x00" + b"1" * 4096 + b".", "with the operation LONG4"),
    ],
)
def test_damage_is_told_in_one_line(tmp_path, content, message):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(LayoutError, match=message) as caught:
        read_array_pickle(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LayoutError, match="cannot read"):
        read_array_pickle(tmp_path / "none.pkl")
    with pytest.raises(LayoutError, match="cannot read"):
        read_array_pickle(tmp_path)


def test_a_shape_that_its_bytes_do_not_fill(tmp_path):
    stored = StoredArray((3, 4), "<f4", "C", b"x" * 47)
    with pytest.raises(LayoutError, match="another number of bytes"):
        stored.load()


SOUND = pickle.dumps([VALUES["bytes of pictures"], VALUES["small"], VALUES["texts"]], protocol=4)


@settings(max_examples=150)
@given(where=st.integers(0, 600), what=st.binary(min_size=1, max_size=4), cut=st.booleans())
def test_any_damage_gives_an_answer_or_one_line(tmp_path_factory, where, what, cut):
    path = tmp_path_factory.mktemp("any") / "x.pkl"
    end = b"" if cut else SOUND[where + len(what) :]
    path.write_bytes(SOUND[:where] + what + end)
    try:
        loaded(read_array_pickle(path))
    except LayoutError as error:
        assert "\n" not in str(error)


def test_long_is_small_enough_to_leave_videos_where_they_are():
    assert safe_pickle.LONG <= 4096
