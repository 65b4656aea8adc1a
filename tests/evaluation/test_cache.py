"""Digests: the same for the same content, another for whatever changes a measurement."""

from __future__ import annotations

import importlib
import math
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.evaluation.baselines.identity import IdentityTracker, baseline
from chromatrack.evaluation.cache import code_digest, digest
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.text(max_size=3), inside, max_size=3)
        | st.tuples(inside, inside)
    ),
    max_leaves=5,
)


@dataclass(frozen=True)
class Clip:
    name: str
    boxes: np.ndarray


@settings(max_examples=40)
@given(plain, plain)
def test_digests_are_those_of_the_content(one, two):
    assert digest(one) == digest(pickle.loads(pickle.dumps(one)))
    if repr(one) != repr(two):
        assert digest(one) != digest(two)


def test_arrays_and_tensors_count_by_their_numbers():
    numbers = np.arange(6.0)
    assert digest(numbers) == digest(numbers.copy()[::-1][::-1])
    assert digest(Clip("a", numbers)) == digest(Clip("a", numbers.copy()))
    others = [numbers + 1, numbers.reshape(2, 3), numbers.astype(np.float32), torch.tensor(numbers)]
    assert len({digest(value) for value in [numbers, *others]}) == 5
    assert digest(torch.ones(2, dtype=torch.bfloat16)) == digest(
        torch.ones(2, dtype=torch.bfloat16)
    )
    named = np.array(["a", "b"], dtype=object)
    assert digest(named) == digest(named.copy()) != digest(named[::-1])
    assert digest(Clip("a", numbers)) != digest(Clip("b", numbers))


def test_trackers_count_by_weights_and_settings(tiny_encoder):
    tracker = Tracker(tiny_encoder, device="cpu")
    before = digest(tracker)
    assert before == digest(Tracker(tiny_encoder, device="cpu"))
    assert before != digest(Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=240)))
    assert digest(IdentityTracker()) == digest(IdentityTracker()) != before
    with torch.no_grad():
        next(iter(tiny_encoder.parameters())).view(-1)[0] += 1e-3
    assert digest(tracker) != before


def test_functions_count_by_their_name_and_the_code_of_their_file(tmp_path, monkeypatch):
    assert digest(partial(pow, 2)) == digest(partial(pow, 2)) != digest(partial(pow, 3))
    assert digest(np.argmax) != digest(np.argmin) and digest(len) != digest(max)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "scaling.py"
    file.write_text("class Scale:\n    by = 2\n\n\ndef double(x):\n    return 2 * x\n")
    scaling = importlib.import_module("scaling")
    values = [scaling.double, scaling.Scale, scaling.Scale()]
    before = [digest(value) for value in values]
    assert before == [digest(value) for value in values] and len(set(before)) == 3
    file.write_text(file.read_text().replace("2 * x", "3 * x"))
    assert not {digest(value) for value in values} & set(before)


def test_what_cannot_be_pickled_is_another_thing_every_time():
    def scaled(by):
        @wraps(pow)
        def scale(x):
            return x * by

        return scale

    for value in (lambda x: x + 1, scaled(2), sys.stdout, Unready()):
        assert digest(value) != digest(value)


def test_paths_count_by_their_files(tmp_path, monkeypatch):
    folder = tmp_path / "clip"
    (folder / "deep").mkdir(parents=True)
    file = folder / "deep/0.png"
    file.write_bytes(b"12")
    before = digest(folder)
    monkeypatch.chdir(tmp_path)
    assert digest(Path("clip")) == before
    os.utime(file, ns=(1, 1))
    touched = digest(folder)
    file.write_bytes(b"123")
    file.with_name("1.png").write_bytes(b"")
    assert len({before, touched, digest(folder), digest(file), digest(tmp_path / "none")}) == 5


def test_what_holds_itself_has_a_digest_too():
    ring = [1]
    ring.append(ring)  # pyright: ignore[reportArgumentType]
    assert digest(ring) == digest(ring) != digest([1, [1]])


def test_digests_are_the_same_in_another_process():
    code = (
        "from chromatrack.evaluation.cache import digest, code_digest; "
        "from chromatrack.tracking.config import TrackConfig; "
        "print(digest([{'a', 'b', 'c'}, {'x': 1.5}, TrackConfig()]), code_digest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = [digest([{"a", "b", "c"}, {"x": 1.5}, TrackConfig()]), code_digest()]
    assert run.stdout.split() == expected


class Tied:
    """Holds the same list again and again."""

    def __init__(self, depth: int) -> None:
        shared: list = [math.pi]
        for _ in range(depth):
            shared = [shared, shared]
        self.parts = shared


class Unready:
    def __reduce__(self):
        raise RuntimeError("not yet")


class Made:
    """Holds what has no content, and says what it is made of instead."""

    def __init__(self, size: int) -> None:
        self.size, self.handle = size, object()

    def __reduce__(self):
        return Made, (self.size,)


def test_what_is_there_many_times_is_looked_at_once():
    assert digest(Tied(60)) == digest(Tied(60)) != digest(Tied(61))


def test_objects_may_say_what_they_are_made_of():
    assert digest(Made(3)) == digest(Made(3)) != digest(Made(4))


def test_the_flow_baseline_is_the_same_every_time():
    pytest.importorskip("cv2", reason="the extra chromatrack[flow] is not installed")
    flow, straight = (baseline(name) for name in ("flow", "flow-straight"))
    assert digest(flow) == digest(baseline("flow")) != digest(straight)
