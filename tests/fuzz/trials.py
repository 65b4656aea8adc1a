"""One damaged input after the other, each answered well or not; the same for a seed anywhere."""

from __future__ import annotations

import random
import shutil
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import doors
from fuzz_kinds import KINDS


@dataclass(frozen=True)
class Trial:
    """A damaged input: kind of file, and what decides how it is damaged."""

    kind: str
    seed: int


def draw(count: int, *, seed: int, kinds: Sequence[str] = ()) -> Iterator[Trial]:
    """`count` trials; kinds: only these, else all by their shares."""
    rng = random.Random(seed)
    names = list(kinds or KINDS)
    weights = [KINDS[name].share for name in names]
    for _ in range(count):
        yield Trial(rng.choices(names, weights)[0], rng.randrange(2**32))


@cache
def whole(kind: str, folder: Path) -> Path:
    """The undamaged input of a kind, made once in a process."""
    home = folder / kind.replace("/", "-")
    home.mkdir(parents=True)
    return KINDS[kind].make(home)


def prepare(trial: Trial, folder: Path, target: Path) -> Path:
    """Write the damaged input of a trial into `target`; whole ones are kept in `folder`."""
    kind, rng = KINDS[trial.kind], random.Random(trial.seed)
    place = copied(trial.kind, folder, target)
    damaged = place if kind.inside is None else place / kind.inside
    damaged.write_bytes(kind.damage(damaged.read_bytes(), rng))
    return place


def copied(kind: str, folder: Path, target: Path) -> Path:
    """Copy the undamaged input of a kind into `target`."""
    made = whole(kind, folder)
    copy = shutil.copytree if made.is_dir() else shutil.copy
    return Path(copy(made, target / made.name))


def answer(trial: Trial, folder: Path) -> str | None:
    """None where the tool answers a trial well, else what is wrong: the end of a traceback."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        home = Path(made)
        (home / "in").mkdir()
        (home / "out").mkdir()
        path = prepare(trial, folder, home / "in")
        try:
            return doors.try_door(KINDS[trial.kind].door, path, home / "out")
        except Exception as error:  # noqa: BLE001  (any other exception is what is looked for)
            frames = [
                f for f in traceback.extract_tb(error.__traceback__) if "fuzz" not in f.filename
            ]
            where = " < ".join(f"{Path(f.filename).name}:{f.name}" for f in frames[:-4:-1])
            return f"{type(error).__name__}: {error} [{where}]"[:400]
