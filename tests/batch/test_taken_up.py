"""Jobs that were interrupted: the next worker goes on with what is left, to the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from killing import family
from PIL import Image
from processes import Fork
from synthetic import moving_clip, write_clip

from chromatrack.batch.api import Batch, Rules, run_batch
from chromatrack.batch.job import Commands, Job, run_job
from chromatrack.batch.manifest import read_manifest
from chromatrack.batch.store import LEFT, Store
from chromatrack.batch.stores import open_store
from chromatrack.cli.batch_commands import batch_commands, kept_in_worker
from chromatrack.errors import DamagedVideoError
from chromatrack.runs import resume
from chromatrack.tracking.colorize import ColorizedFrame
from chromatrack.tracking.inference import TrackerRun
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import Frame

FRAMES, KILLED = 12, 7


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A clip with a box to track, its events behind it."""
    home = tmp_path_factory.mktemp("in")
    film = moving_clip(frames=FRAMES, size=(48, 64), objects=1, radius=9, velocity=(1.0, 0.6))
    write_clip(home / "clip.mp4", film)
    row = {"video": "clip.mp4", "box": ["1@0:20,14,18,18"], "size": 64, "command": "track+events"}
    (home / "jobs.jsonl").write_text(json.dumps(row) + "\n")
    read = read_manifest(home / "jobs.jsonl", batch_commands())
    assert not read.faults
    return read.jobs[0]


@pytest.fixture(scope="module")
def calm(job: Job, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    store = begun(tmp_path_factory.mktemp("calm") / "store", "calm")
    run_job(job, batch_commands(), store)
    return contents(Path(store.path) / "jobs/clip")


def begun(path: Path, driver: str) -> Store:
    store = open_store(str(path), driver)
    store.begin()
    return store


def contents(folder: Path) -> dict[str, object]:
    """All files, but for the times that things took."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found: dict[str, object] = {str(p.relative_to(folder)): p.read_bytes() for p in paths}
    for name, times in (
        ("track/result.json", ("timings",)),
        ("job.json", ("seconds", "frames_per_second", "tries")),
    ):
        told = json.loads((folder / name).read_text())
        found[name] = {key: value for key, value in told.items() if key not in times}
    return found


def dies(job: Job, store: Store, after: int, how: Callable[[], None]) -> int:
    """In a process of its own: do a job, and die on a frame or, behind the last, in its events."""
    resume._SECONDS, resume._SHARE = 0.0, 0
    real, seen = TrackerRun.input, []

    def counted(self: TrackerRun, frame: object) -> object:
        if len(seen) == after:
            how()
        seen.append(frame)
        return real(self, frame)  # type: ignore[arg-type]

    TrackerRun.input = counted  # type: ignore[method-assign, assignment]
    commands = dict(batch_commands())
    if after >= FRAMES:
        object.__setattr__(commands["events"], "function", lambda *_, **__: how())
    run_job(job, commands, store)
    return 0


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    real = TrackerRun.input

    def counted(self: TrackerRun, frame: object) -> object:
        seen.append(frame.index)  # type: ignore[attr-defined]
        return real(self, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(TrackerRun, "input", counted)
    return seen


@pytest.mark.parametrize("same_driver", [True, False])
def test_a_worker_killed_in_the_middle_is_gone_on_with(
    job: Job,
    calm: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    same_driver: bool,
) -> None:
    store = begun(tmp_path / "store", "one")
    assert Fork(dies, job, store, KILLED, kill).wait(120) == -signal.SIGKILL
    if not same_driver:
        other = begun(tmp_path / "store", "two")
        other.clear(["one"])
        assert [path.name[:5] for path in (tmp_path / "store/.batch" / LEFT).iterdir()] == ["clip."]
        store = other
    seen = looked_at(monkeypatch)
    run_job(job, batch_commands(), store)
    assert 0 < len(seen) < FRAMES and seen[-1] == FRAMES - 1
    assert contents(tmp_path / "store/jobs/clip") == calm
    store.close()
    assert not list((tmp_path / "store/.batch" / LEFT).iterdir())
    assert not list((tmp_path / "store/.batch/work").iterdir())


def test_finished_steps_are_not_done_again(
    job: Job, calm: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begun(tmp_path / "store", "one")
    assert Fork(dies, job, store, FRAMES, kill).wait(120) == -signal.SIGKILL
    seen = looked_at(monkeypatch)
    run_job(job, batch_commands(), store)
    assert seen == [] and contents(tmp_path / "store/jobs/clip") == calm


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_leaves_what_its_workers_have(
    job: Job,
    calm: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: signal.Signals,
) -> None:
    out = tmp_path / "store"
    driver = Fork(drives, job, out)
    deadline = time.monotonic() + 100
    while not list(out.glob(".batch/work/*/clip.*/.track.*/track/.resume/state")):
        assert driver.poll() is None and time.monotonic() < deadline, driver.err()
        time.sleep(0.02)
    driver.send_signal(how)
    driver.wait(60)
    while list(out.glob(".batch/work/*/clip.*")) and how == signal.SIGINT:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    while [path for path in family(driver.pid) if Path(f"/proc/{path}").exists()]:
        time.sleep(0.02)
    store = begun(out, "two")
    store.clear(name for name in store.works() if name != "two")
    seen = looked_at(monkeypatch)
    run_job(job, batch_commands(), store)
    assert len(seen) < FRAMES and contents(out / "jobs/clip") == calm


def drives(job: Job, out: Path) -> int:
    forkserver._forkserver.__init__()  # type: ignore[attr-defined]  # that of another process
    batch = Batch([job], slow_commands, kept_in_worker, processes=1, rules=Rules(0, False))
    run_batch(batch, str(out), tell=lambda _: None)
    return 0


def slow_commands() -> Commands:
    """The usual ones, in a process that saves often and is slow behind its sixth frame."""
    resume._SECONDS, resume._SHARE = 0.0, 0
    real = TrackerRun.input

    def slowly(self: TrackerRun, frame: Frame) -> object:
        time.sleep(0.05 if frame.index < 6 else 3)
        return real(self, frame)

    TrackerRun.input = slowly  # type: ignore[method-assign, assignment]
    return batch_commands()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A film of three shots to be coloured, a reference in each."""
    home = tmp_path_factory.mktemp("film")
    frames = [f.rgb for seed in range(3) for f in moving_clip(frames=4, size=(48, 64), seed=seed)]
    write_clip(home / "film.mp4", frames)
    rows = ["shot,first_frame,last_frame"]
    for number in range(3):
        Image.fromarray(frames[4 * number]).save(home / f"{number}.png")
        rows.append(f"{number + 1},{4 * number},{4 * number + 3}")
    (home / "shots.csv").write_text("\n".join(rows) + "\n")
    row = {"video": "film.mp4", "command": "colorize", "shots": "shots.csv", "size": 48}
    row |= {"reference": [f"{n}.png@{4 * n}" for n in range(3)], "adapt": 0}
    (home / "jobs.jsonl").write_text(json.dumps(row) + "\n")
    read = read_manifest(home / "jobs.jsonl", batch_commands())
    assert not read.faults
    return read.jobs[0]


def dies_colouring(job: Job, store: Store) -> int:
    """Die in the middle of the second shot."""
    real = Tracker.colorize

    def dying(self: Tracker, *args: object, **options: object) -> Iterator[ColorizedFrame]:
        for frame in real(self, *args, **options):  # type: ignore[arg-type]
            if frame.index == 5:
                kill()
            yield frame

    Tracker.colorize = dying  # type: ignore[method-assign]
    run_job(job, batch_commands(), store)
    return 0


@pytest.mark.parametrize("same_driver", [pytest.param(True, marks=pytest.mark.slow), False])
def test_finished_shots_are_not_coloured_again(
    film: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_driver: bool
) -> None:
    begun_at: list[object] = []
    real = Tracker.colorize

    def seen(self: Tracker, *args: object, **options: object) -> Iterator[ColorizedFrame]:
        begun_at.append(options["start"])
        return real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Tracker, "colorize", seen)
    calm_store = begun(tmp_path / "calm", "calm")
    run_job(film, batch_commands(), calm_store)
    assert begun_at == [0, 4, 8]
    store = begun(tmp_path / "store", "one")
    assert Fork(dies_colouring, film, store).wait(120) == -signal.SIGKILL
    if not same_driver:
        store = begun(tmp_path / "store", "two")
        store.clear(["one"])
    begun_at.clear()
    assert run_job(film, batch_commands(), store)["state"] == "done"
    assert begun_at == [4, 8]
    one, other = (Path(s.path) / "jobs/film" for s in (calm_store, store))
    names = sorted(path.name for path in one.iterdir())
    assert names == ["colorized.mp4", "colorized.mp4.reliability.json", "job.json"]
    assert sorted(path.name for path in other.iterdir()) == names
    for name in names[:2]:
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_shot_that_breaks_off_leaves_nothing_of_what_was_kept(
    film: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Tracker.colorize

    def breaking(self: Tracker, *args: object, **options: object) -> Iterator[ColorizedFrame]:
        for frame in real(self, *args, **options):  # type: ignore[arg-type]
            if frame.index == 6:
                raise DamagedVideoError("film.mp4: breaks off", frame_index=6)
            yield frame

    monkeypatch.setattr(Tracker, "colorize", breaking)
    store = begun(tmp_path / "store", "one")
    assert run_job(film, batch_commands(), store)["state"] == "damaged"
    names = sorted(path.name for path in (tmp_path / "store/jobs/film").iterdir())
    assert names == ["colorized.mp4", "colorized.mp4.reliability.json", "job.json"]


def spoil_state(left: Path) -> None:
    for path in left.rglob(".resume/*"):
        path.write_bytes(b"\0" * 40)


def spoil_masks(left: Path) -> None:
    next(iter(left.rglob(".resume/frames"))).write_bytes(b"")
    (left / ".steps.json").write_text("{")


def spoil_all(left: Path) -> None:
    for path in left.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (left / "track").write_text("is no folder")


@pytest.mark.parametrize("spoil", [spoil_state, spoil_masks, spoil_all])
def test_what_is_broken_is_done_anew(
    job: Job, calm: dict[str, object], tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    store = begun(tmp_path / "store", "one")
    assert Fork(dies, job, store, KILLED, kill).wait(120) == -signal.SIGKILL
    (left,) = store.work.glob("clip.*")
    spoil(left)
    assert run_job(job, batch_commands(), store)["state"] == "done"
    assert contents(tmp_path / "store/jobs/clip") == calm


def test_another_job_of_the_name_begins_anew(tmp_path: Path) -> None:
    store = begun(tmp_path / "store", "one")
    with pytest.raises(SystemExit), store.staged("clip", "a" * 64) as folder:
        (folder / "x").write_text("begun")
        raise SystemExit
    with store.staged("clip", "b" * 64) as folder:
        assert not list(folder.iterdir())
    assert not list((tmp_path / "store/.batch" / LEFT).iterdir())
    with pytest.raises(SystemExit), store.staged("clip", "a" * 64) as folder:
        (folder / "x").write_text("begun")
        raise SystemExit
    with store.staged("clip.a", "a" * 64) as folder:
        assert not list(folder.iterdir())
    with store.staged("clip", "a" * 64) as folder:
        assert (folder / "x").read_text() == "begun"


def test_leftovers_of_nobody_go_and_those_of_others_stay(job: Job, tmp_path: Path) -> None:
    store = begun(tmp_path / "store", "one")
    for name in ("clip", "gone.from.the.manifest"):
        with pytest.raises(SystemExit), store.staged(name, "a" * 64) as folder:
            (folder / "x").write_text("begun")
            raise SystemExit
    left = tmp_path / "store/.batch" / LEFT
    (left / "mine.txt").write_text("of somebody")
    (left / "notes.of-somebody-else1").mkdir()
    store.forget_left({"clip"})
    assert sorted(path.name[:6] for path in left.iterdir()) == ["clip.a", "mine.t", "notes."]
    store.forget_left(set())
    assert sorted(path.name[:6] for path in left.iterdir()) == ["mine.t", "notes."]
