"""JSON that is written can be read by every program: no NaN, no infinity."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path

import numpy as np
import pytest

import chromatrack
from chromatrack.json_text import json_text, strict, tagged, untagged

FILES = sorted(Path(chromatrack.__file__).parent.rglob("*.py"))

MAKES = {"json.dump", "json.dumps"}

READ_BY_NOBODY = {"shown"}
"""Functions whose JSON is shown, not written."""


def test_numbers_that_json_has_not_are_null() -> None:
    found = strict({"a": [math.inf, -math.inf, 1.5], "b": (math.nan, "NaN", None), "c": 3})
    assert found == {"a": [None, None, 1.5], "b": [None, "NaN", None], "c": 3}
    assert json.loads(json_text({"x": [np.float32("nan"), np.int64(3), Path("p")]})) == {
        "x": [None, 3, "p"]
    }


@pytest.mark.parametrize("value", [[1.5, "nan", None], {"a": {"b": [math.inf, -math.inf]}}, {}])
def test_what_is_tagged_comes_back_as_it_was(value: object) -> None:
    assert untagged(json.loads(json.dumps(tagged(value), allow_nan=False))) == value
    (nan,) = untagged(json.loads(json.dumps(tagged([math.nan]), allow_nan=False)))
    assert math.isnan(nan)


def unguarded(path: Path) -> list[str]:
    """Where a file makes JSON that may hold NaN and is not only hashed, compared or shown."""
    found = []
    tree = ast.parse(path.read_text("utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not (
            isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dump", "json.dumps")
        ):
            continue
        if any(keyword.arg == "allow_nan" for keyword in node.keywords):
            continue
        is_read_back = ast.unparse(parents[node]).startswith("json.loads(")
        outer: ast.AST = node
        while outer in parents and not isinstance(outer, ast.FunctionDef):
            outer = parents[outer]
        is_hashed = ".sha256(" in ast.unparse(outer)
        if not (is_read_back or is_hashed) and getattr(outer, "name", "") not in READ_BY_NOBODY:
            found.append(f"{path.name}:{node.lineno}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_json_with_nan_is_written(path: Path) -> None:
    assert not unguarded(path)
