"""The house rules that can be checked: import order, cheap imports, the public list, file sizes."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import chromatrack

ROOT = Path(chromatrack.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

ROOMS = [
    *("", "ops", "video", "formats", "model", "propagation", "tracking"),
    *("viz", "runs", "uses", "batch", "evaluation", "training", "studio", "cli"),
]
"""A room imports only rooms before it in this list; "" are the modules at the root."""

NEVER = {
    *(("ops", "video"), ("ops", "formats"), ("video", "ops"), ("propagation", "model")),
    *(("evaluation", "uses"), ("training", "uses"), ("studio", "training")),
    *(("evaluation", "batch"), ("training", "batch")),
}
"""(room, room it must not import), besides."""

AT_ROOT = {"", "__main__", "atomic", "caches", "distinct", "errors", "json_text", "structures"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_of(path: Path, *, lazy: bool, types: bool = False) -> set[str]:
    """Full names a file imports when it runs; `lazy`: also in functions; `types`: for types too."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree_of(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute here"
            base = node.module or ""
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy
        if not inside and (types or not _is_for_types_only(node)):
            waiting += ast.iter_child_nodes(node)
    return found


MODULES = {module_name(path): path for path in FILES}


@functools.cache
def uses(name: str, *, lazy: bool, types: bool = False) -> set[str]:
    """Modules of this package that a module imports."""
    prefix = "chromatrack."
    found = imports_of(MODULES[name], lazy=lazy, types=types)
    full = {n.removeprefix(prefix) for n in found}
    return {n for n in full if n in MODULES and n not in ("", name)}


@functools.cache
def reached(name: str, *, lazy: bool, types: bool = False) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in uses(waiting.pop(), lazy=lazy, types=types) - found:
            found.add(other)
            waiting.append(other)
    return found


def room(name: str) -> str:
    return name.split(".")[0] if name not in AT_ROOT else ""


def test_every_room_is_known_and_few_modules_stand_beside_them():
    assert {room(name) for name in MODULES} == set(ROOMS)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"", "__main__"}))
def test_rooms_import_only_rooms_before_them(name):
    here = room(name)
    for other in uses(name, lazy=True, types=True):
        there = room(other)
        assert ROOMS.index(there) <= ROOMS.index(here), f"{name} imports {other}"
        assert (here, there) not in NEVER, f"{name} imports {other}"


@pytest.mark.parametrize("name", sorted(set(MODULES) - {""}))
def test_no_module_reaches_itself(name):
    assert name not in reached(name, lazy=True, types=True)


def test_each_room_says_what_it_is():
    for name in ROOMS[1:]:
        said = ast.get_docstring(tree_of(MODULES[name])) or ""
        assert "Enters:" in said and "Leaves:" in said and "Read `" in said, name
        file = said.split("Read `")[1].split("`")[0]
        assert (ROOT / name / file).is_file(), f"{name} names {file}"


def test_tests_stand_in_the_same_rooms():
    folders = {p.name for p in Path(__file__).parent.iterdir() if any(p.glob("test_*.py"))}
    assert folders == {*ROOMS[1:], "benchmarks", "fuzz"}


NO_TORCH = [
    "evaluation.metrics.color",
    "evaluation.metrics.masks",
    "evaluation.metrics.calibration",
    "tracking.reliability",
    "viz.overlays",
    "viz.track_overlays",
    "errors",
    "model.config",
    "propagation.config",
    "propagation.layout",
    "structures",
    "training.config",
    "uses.events",
    "runs.reader",
    "uses.trajectories",
    *sorted(name for name in MODULES if name.startswith("formats.")),
]


@pytest.mark.parametrize("name", NO_TORCH)
def test_these_need_no_torch(name):
    for module in {name} | reached(name, lazy=True):
        heads = {n.split(".")[0] for n in imports_of(MODULES[module], lazy=True)}
        assert not heads & {"torch", "safetensors", "av"}, f"{module} imports {sorted(heads)}"


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.split(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize(
    "statement", ["import chromatrack", "import chromatrack.cli.main", "import chromatrack.errors"]
)
def test_imports_are_cheap(statement):
    heavy = {"torch", "av", "numpy", "PIL", "matplotlib", "safetensors"}
    assert not loaded_after(statement) & heavy


def test_metrics_load_without_torch():
    assert not loaded_after("import chromatrack.evaluation.metrics.masks") & {"torch", "av"}


def test_the_public_list_is_one_list():
    assert chromatrack.__all__ == sorted(chromatrack._PUBLIC)
    assert set(chromatrack.__all__) <= set(dir(chromatrack))
    typed = next(node for node in tree_of(ROOT / "__init__.py").body if _is_for_types_only(node))
    named = {
        alias.name: node.module
        for node in ast.walk(typed)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert named == chromatrack._PUBLIC


@pytest.mark.parametrize("name", chromatrack.__all__)
def test_public_names_exist_and_are_documented(name):
    thing = getattr(chromatrack, name)
    assert thing.__name__ == name and thing.__doc__
    assert not thing.__doc__.startswith(f"{name}("), "a dataclass without a docstring"


def test_names_that_do_not_exist_say_so():
    with pytest.raises(AttributeError, match="module 'chromatrack' has no attribute 'nothing'"):
        _ = chromatrack.nothing


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_file_keeps_the_rules(path):
    text, name = path.read_text(encoding="utf-8"), module_name(path)
    assert len(text.splitlines()) <= 450, "a file per subject, at most 450 lines"
    tree = tree_of(path)
    assert ast.get_docstring(tree), "every module says what it is"
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and not name.startswith("cli.")
        ):
            assert node.func.id != "print", f"line {node.lineno}: print outside cli.py"
        if isinstance(node, ast.ExceptHandler):
            kind = ast.unparse(node.type) if node.type else ""
            assert kind not in ("", "Exception"), f"line {node.lineno}: except {kind}"
    assert path.name not in ("utils.py", "helpers.py", "common.py")


def test_public_functions_and_classes_have_docstrings():
    missing = [
        f"{name}.{node.name}"
        for name, path in MODULES.items()
        for node in tree_of(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not missing


def test_the_file_map_names_every_room():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    file_map = readme[readme.index("## File map") :]
    assert not [name for name in ROOMS[1:] if f"| `{name}/` |" not in file_map]
