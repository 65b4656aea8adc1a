"""A batch on a Ray cluster of two machines, of which workers, machines and drivers are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import family
from quick_commands import contents, drive
from test_batch import table, write_jobs

from chromatrack.batch.api import run_batch
from chromatrack.errors import InputError

HERE = Path(__file__).parent
DRIVER = """
import sys, json, pathlib
from quick_commands import drive
drive(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), cluster=sys.argv[3], retries=9)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    """Two nodes of a core each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        paths = [HERE, HERE.parent, HERE.parents[1] / "src", os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        room = {"num_cpus": 1, "object_store_memory": 80_000_000}
        made = Cluster(
            initialize_head=True,
            head_node_args={**room, "include_dashboard": False},
        )
        made.room = room
        made.add_node(**room)
        made.wait_for_nodes()
        yield made
        made.shutdown()


def driver(jobs: Path, out: Path, address: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(jobs), str(out), address])


def workers() -> list[int]:
    """Actors that do jobs, of this test's cluster."""
    found = []
    for process in family(os.getpid()):
        try:
            name = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::_Worker"):
            found.append(process)
    return found


@pytest.mark.slow
def test_a_cluster_that_loses_workers_machines_and_drivers_ends_as_one_undisturbed(
    cluster, tmp_path
):
    jobs = write_jobs(tmp_path / "in", 40, command="track+count", seconds=0.5)
    (tmp_path / "in/v3.txt").write_text("broken")
    out, chance, killed = tmp_path / "out", random.Random(1), []
    process = driver(jobs, out, cluster.address)
    extra = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    deadline = time.monotonic() + 300
    while process.poll() != 0 or len(killed) < 6:
        assert time.monotonic() < deadline
        if process.poll() is not None:
            assert process.returncode in (0, -signal.SIGKILL)
            process = driver(jobs, out, cluster.address)
        if len(killed) >= 6:
            process.wait(120)
            continue
        time.sleep(chance.uniform(1.0, 4.0))
        what = ("worker", "driver", "machine")[len(killed) % 3]
        if what == "worker" and (alive := workers()):
            os.kill(chance.choice(alive), signal.SIGKILL)
        elif what == "machine" and process.poll() is None:
            cluster.remove_node(extra, allow_graceful=False)
            extra = cluster.add_node(**cluster.room)
        elif what == "driver" and process.poll() is None:
            process.kill()
            process.wait(10)
        else:
            continue
        killed.append(what)
    drive(jobs, tmp_path / "calm")
    assert contents(out) == contents(tmp_path / "calm")
    states = [row["state"] for row in table(out).values()]
    assert states.count("done") == 39 and states.count("failed") == 1
    for name in ("claims", "drivers", "work"):
        assert not list((out / ".batch" / name).iterdir())


@pytest.mark.slow
def test_errors_keep_their_kind_on_a_cluster(cluster, tmp_path):
    how = ("", f"once:{tmp_path / 'a'}", "bug", "damage")
    own = {f"v{number}": {"how": text} for number, text in enumerate(how)}
    jobs = write_jobs(tmp_path / "in", 4, **own)
    (tmp_path / "in/v0.txt").write_text("broken")
    assert driver(jobs, tmp_path / "out", cluster.address).wait(120) == 0
    rows = table(tmp_path / "out")
    assert [row["state"] for row in rows.values()] == ["failed", "done", "failed", "damaged"]
    assert rows["v0"]["tries"] == "1" and rows["v1"]["tries"] == "2"
    assert rows["v2"]["message"].startswith("ValueError: unforeseen")
    failed = json.loads((tmp_path / "out/.batch/failed/v2.json").read_text())
    assert failed["lasts"] is False and failed["tries"] == 10


def test_without_a_cluster_there_is_one_line(tmp_path):
    pytest.importorskip("ray")
    from quick_commands import batch_of

    jobs = write_jobs(tmp_path / "in", 1)
    with pytest.raises(InputError, match=r"ray 127.0.0.1:1: there is no cluster to join"):
        run_batch(batch_of(jobs, cluster="127.0.0.1:1"), str(tmp_path / "out"), tell=lambda _: None)
    assert not list((tmp_path / "out/.batch/work").iterdir())


def test_without_ray_there_is_one_line(tmp_path, monkeypatch):
    from quick_commands import batch_of

    monkeypatch.setitem(sys.modules, "ray", None)
    jobs = write_jobs(tmp_path / "in", 1)
    with pytest.raises(InputError, match=r"pip install 'chromatrack\[cluster\]'"):
        run_batch(batch_of(jobs, cluster="auto"), str(tmp_path / "out"), tell=lambda _: None)
