"""Loops read from disk give what the compiler's own give, and never run what is not theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chromatrack.ops import kept_loops
from chromatrack.ops.compiled import has_compiler
from chromatrack.ops.kept_loops import KeptLoop, can_keep
from chromatrack.ops.object_code import Code, ObjectCodeError, kind_of

pytestmark = pytest.mark.skipif(
    not (has_compiler() and can_keep()), reason="loops are not kept on this machine"
)


def scaled(x: np.ndarray, times: float, more: int, is_shifted: bool, out: np.ndarray) -> None:
    """With memory of its own, numbers of each kind and functions of the C library."""
    own = np.empty(x.shape[1], np.float32)
    for row in range(x.shape[0]):
        for i in range(x.shape[1]):
            own[i] = np.exp(x[row, i]) * np.float32(times) + np.float32(more)
        for i in range(x.shape[1]):
            out[row, i] = own[x.shape[1] - 1 - i] + np.float32(1 if is_shifted else 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where it was compiled once, and kept."""
    path = tmp_path_factory.mktemp("loops")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_loops, "_folder", lambda source: path)
        KeptLoop(scaled)(*arguments())
    return path


@pytest.fixture
def kept(folder, monkeypatch):
    """The loop as a later process has it: without a compiler."""
    monkeypatch.setattr(kept_loops, "_folder", lambda source: folder)
    for name in ("_compiled", "_dispatcher"):
        monkeypatch.setattr(kept_loops, name, lambda *given: pytest.fail("compiled again"))
    return KeptLoop(scaled)


def arguments(rows: int = 3, columns: int = 5, *, times: float = 0.5, shifted: bool = True):
    x = np.random.default_rng(0).random((rows, columns), np.float32)
    return x, times, 7, shifted, np.zeros_like(x)


@pytest.mark.parametrize("size", [(3, 5), (1, 1), (0, 4), (40, 33)])
@pytest.mark.parametrize("shifted", [False, True])
def test_a_kept_loop_gives_what_the_plain_one_gives(kept, size, shifted):
    given = arguments(*size, times=-1.25, shifted=shifted)
    kept(*given)
    expected = np.exp(given[0])[:, ::-1] * -1.25 + 7 + shifted
    np.testing.assert_allclose(given[-1], expected, rtol=1e-5)


def test_other_kinds_of_arguments_are_not_taken_for_these(kept):
    x, *numbers, out = arguments(6, 10)
    with pytest.raises(pytest.fail.Exception, match="compiled again"):
        kept(x[:, ::2], *numbers, out[:, ::2])
    assert kind_of(x) != kind_of(x.astype(np.float64)) != kind_of(x[:, ::2])
    assert kind_of(x[::2].T) != kind_of(x[::2].T.copy()) and kind_of(None) is None
    assert kind_of(True) != kind_of(1) != kind_of(1.0) != kind_of(np.float32(1))


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[:-9] + bytes(9), lambda c: b"x"])
def test_a_damaged_file_is_compiled_anew(folder, kept, damage):
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    try:
        path.write_bytes(damage(whole))
        with pytest.raises(pytest.fail.Exception, match="compiled again"):
            kept(*arguments())
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("cut", [0, 3, 63, 64, 200, 1000])
def test_half_an_object_file_is_refused(folder, cut):
    (path,) = folder.iterdir()
    code = path.read_bytes().split(b"\n", 3)[3]
    with pytest.raises(ObjectCodeError):
        Code(code[:cut])
    with pytest.raises(ObjectCodeError):
        Code(b"\x7fELF\x01" + code[5:])


def test_another_source_or_machine_has_another_file(folder, kept, monkeypatch):
    kinds = tuple(kind for kind in map(kind_of, arguments()) if kind is not None)
    names = {kept_loops._place(scaled, kinds)}
    monkeypatch.setattr(kept_loops, "_machine", lambda: "another")
    names.add(kept_loops._place(scaled, kinds))
    monkeypatch.setattr(kept_loops, "_source_digest", lambda source: "another")
    names.add(kept_loops._place(scaled, kinds))
    assert len(names) == 3


def test_a_later_process_imports_no_compiler(tmp_path):
    code = (
        "import sys, torch; from chromatrack.ops.compiled import thumbnail;"
        "print(float(thumbnail(torch.ones(1, 4, 4), (2, 2)).sum()), 'numba' in sys.modules)"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout.split()
        for _ in range(2)
    ]
    assert told[0][0] == told[1][0] == "4.0" and told[1][1] == "False"


def test_the_process_that_compiles_runs_what_later_ones_do(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_loops, "_folder", lambda source: tmp_path)
    monkeypatch.setattr(kept_loops, "_dispatcher", lambda plain: pytest.fail("compiled twice"))
    first, later = arguments(), arguments()
    KeptLoop(scaled)(*first)
    KeptLoop(scaled)(*later)
    assert np.array_equal(first[-1], later[-1]) and first[-1].any()
    assert [path.suffix for path in tmp_path.iterdir()] == [".loop"]


def test_what_cannot_be_kept_is_left_to_the_compiler(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_loops, "_folder", lambda source: tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    tried = []

    def cannot(plain, given):
        tried.append(plain)
        raise ObjectCodeError("cannot be kept")

    monkeypatch.setattr(kept_loops, "_compiled", cannot)
    for _ in range(2):  # a later process does not try again
        given = arguments()
        KeptLoop(scaled)(*given)
        np.testing.assert_allclose(given[-1], np.exp(given[0])[:, ::-1] * 0.5 + 7 + 1, rtol=1e-5)
    assert tried == [scaled]


def test_loops_of_a_numba_that_was_not_tried_are_left_to_it(monkeypatch):
    monkeypatch.setattr(kept_loops, "version", lambda name: "0.99.0")
    can_keep.cache_clear()
    try:
        assert not can_keep()
    finally:
        monkeypatch.undo()
        can_keep.cache_clear()
    assert can_keep()


def test_the_numba_of_the_constraints_was_tried():
    pins = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    (pinned,) = (line.removeprefix("numba==") for line in pins if line.startswith("numba=="))
    assert pinned.rpartition(".")[0] in kept_loops.TESTED
