"""Several processes under torchrun: the same gradients, the same data, another world on resume."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import Fork, command, load_training
from synthetic import moving_clip, still, write_clip
from training_runs import newest

from chromatrack.cli import main as cli
from chromatrack.errors import ChromatrackError, InputError
from chromatrack.training.distributed import (
    World,
    greatest,
    here,
    mean,
    once_per_machine,
    own_device,
    shared,
    together,
    wait,
    without_sharing,
)
from chromatrack.training.monitor.log import read_log

SOURCES = Path(__file__).parents[2] / "src"


def agree(found: Path) -> None:
    """The gradients that all processes have in the end, saved by the first."""
    world = here()
    with together(world, torch.device("cpu")):
        network = torch.nn.Linear(3, 1)
        torch.nn.init.constant_(network.weight, 1.0)
        torch.nn.init.constant_(network.bias, 0.0)
        data = torch.arange(24.0).reshape(8, 3)[world.rank :: world.size]
        averaged = shared(network, world, torch.device("cpu"))
        parts = data.chunk(2)
        with without_sharing(averaged):
            (averaged(parts[0]).square().mean() / 2).backward()
        (averaged(parts[1]).square().mean() / 2).backward()
        largest = greatest(torch.tensor([float(world.rank), -float(world.rank)]), world)
        middle = mean(torch.tensor([float(world.rank)]), world)
        wait(world)
        if world.leads:
            torch.save([network.weight.grad, network.bias.grad, largest, middle], found)
        del averaged  # before the group it belongs to is gone


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def torchrun(processes: int, *arguments: object, timeout: float = 240) -> None:
    """Run a module or script in several processes of this machine."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)),
        *("--master-addr", "127.0.0.1", "--master-port", str(free_port())),
        *map(str, arguments),
    ]
    run = subprocess.run(
        command, env=_environment(), capture_output=True, text=True, timeout=timeout
    )
    assert run.returncode == 0, run.stderr[-3000:]


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


@pytest.mark.parametrize("processes", [2, 4])
def test_gradients_are_those_of_the_whole_batch(processes, tmp_path):
    assert ended(1, processes, agree, tmp_path / "found.pt") == [(0, "")] * processes
    weight, bias, largest, middle = torch.load(tmp_path / "found.pt", weights_only=True)
    network = torch.nn.Linear(3, 1)
    torch.nn.init.constant_(network.weight, 1.0)
    torch.nn.init.constant_(network.bias, 0.0)
    network(torch.arange(24.0).reshape(8, 3)).square().mean().backward()
    torch.testing.assert_close(weight, network.weight.grad)
    torch.testing.assert_close(bias, network.bias.grad)
    assert largest.tolist() == [processes - 1, 0] and middle.item() == (processes - 1) / 2


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_clip(folder / "film.mp4", moving_clip(frames=10, size=(48, 64), radius=8), fps=5.0)
    write_clip(folder / "photos", [still((48, 60), seed=n) for n in range(2)])
    return folder


OPTIONS = ("--batch", 4, "--crop", 32, "--log-every", 1, "--device", "cpu")


@pytest.mark.slow
def test_two_processes_train_one_network_and_one_or_four_go_on(data, tmp_path):
    folder = tmp_path / "run"
    torchrun(2, "-m", "chromatrack", "train", data, "-o", folder, "--steps", 2, *OPTIONS)
    assert newest(folder).step == 2
    assert [r.examples_seen for r in read_log(folder / "log.jsonl")] == [4, 8]
    resume = ("train", data, "-o", folder, "--resume", "--steps")
    for code, complaint in ended(1, 4, cli.main, [*map(str, resume), "3"]):
        assert code == 0, complaint
    assert command(*resume, 4).ended()[0] == 0
    reports = read_log(folder / "log.jsonl")
    assert [r.step for r in reports] == [1, 2, 3, 4]
    assert [r.examples_seen for r in reports] == [4, 8, 12, 16]
    assert newest(folder).step == 4 and (folder / "model.safetensors").is_file()


def _may_make_namespaces() -> bool:
    if shutil.which("ip") is None or os.name != "posix" or os.geteuid() != 0:
        return False
    name = f"ct{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return made.returncode == 0


@pytest.fixture
def two_machines():
    """Two network namespaces joined by a cable: names and addresses."""
    if not _may_make_namespaces():
        pytest.skip("needs `ip netns` and the right to make network namespaces")
    tag = f"ct{os.getpid()}"
    names, cables = [f"{tag}a", f"{tag}b"], [f"{tag}0"[-15:], f"{tag}1"[-15:]]
    addresses = ["10.213.7.1", "10.213.7.2"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for name, cable, address in zip(names, cables, addresses, strict=True):
            ip("link", "set", cable, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield list(zip(names, cables, addresses, strict=True))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no cable between network namespaces here: {error.stderr.decode().strip()}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.mark.slow
def test_two_machines_train_one_network(two_machines, data, tmp_path):
    """Each namespace is a machine with its own network; they meet at the first one's address."""
    folder = tmp_path / "run"
    meeting = two_machines[0][2]
    running = []
    for rank, (name, cable, _) in enumerate(two_machines):
        command = [
            *("ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"),
            *("--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"),
            *("--master-addr", meeting, "--master-port", "29512"),
            *("-m", "chromatrack", "train", str(data), "-o", str(folder), "--steps", "2"),
            *map(str, OPTIONS),
        ]
        environment = {**_environment(), "GLOO_SOCKET_IFNAME": cable}
        running.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    for process in running:
        _, complaint = process.communicate(timeout=240)
        assert process.returncode == 0, complaint[-3000:]
    assert newest(folder).step == 2
    assert [r.examples_seen for r in read_log(folder / "log.jsonl")] == [4, 8]


def test_alone_nothing_is_shared(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    world = here()
    assert world == World() and world.leads
    values = torch.tensor([1.0, 2.0])
    assert greatest(values, world) is values and mean(values, world) is values
    assert own_device(torch.device("cpu"), World(1, 2, 1)) == torch.device("cpu")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert here() == World(3, 4, 0) and not here().leads
    assert here().machine == range(3, 4)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert here().machine == range(3, 4), "how many are on a machine was not told"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert here() == World(3, 4, 1, 2) and here().machine == range(2, 4)


# -- the data is looked at once per machine ------------------------------------------------


def ended(
    machines: int, of_each: int, call: Callable[..., int | None], *arguments: object, **more: str
) -> list[tuple[int, str]]:
    """Exit code and stderr of processes as torchrun starts them, but left alone afterwards."""
    load_training()
    size, port, running = machines * of_each, free_port(), []
    for rank in range(size):
        place = {
            **{"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            **{"LOCAL_RANK": rank % of_each, "LOCAL_WORLD_SIZE": of_each},
        }
        environment = _environment() | {k: str(v) for k, v in place.items()} | more
        running.append(Fork(call, *arguments, environment=environment))
    try:
        complaints = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.wait(0), said) for process, said in zip(running, complaints, strict=True)]


def look(folder: Path, failing: int, how: str) -> None:
    """Look once per machine, in a process that may fail, and write down what is found."""
    world = here()

    def work() -> list[int]:
        (folder / f"looked-{world.rank}").touch()
        if world.rank == failing and how == "dies":
            os._exit(1)
        if world.rank == failing:
            raise InputError("nothing here")
        return [world.rank] * 3

    try:
        with together(world, torch.device("cpu")):
            text = str(once_per_machine(work, world))
            wait(world)
    except ChromatrackError as error:
        text = f"{type(error).__name__}: {error}"
    (folder / f"found-{world.rank}").write_text(text)


def found_by(folder: Path, machines: int, of_each: int, *, failing: int, how: str) -> list[str]:
    """What each process found, in order of rank; nothing for one that died."""
    ended(machines, of_each, look, folder, failing, how)
    files = [folder / f"found-{rank}" for rank in range(machines * of_each)]
    return [file.read_text() if file.exists() else "" for file in files]


def test_one_process_of_each_machine_works_and_the_others_get_what_it_found(tmp_path):
    found = found_by(tmp_path, 2, 2, failing=-1, how="")
    assert found == ["[0, 0, 0]", "[0, 0, 0]", "[2, 2, 2]", "[2, 2, 2]"]
    assert sorted(p.name for p in tmp_path.glob("looked-*")) == ["looked-0", "looked-2"]


def test_where_one_fails_all_stop_with_its_words(tmp_path):
    found = found_by(tmp_path, 2, 2, failing=2, how="raises")
    assert found[2] == "InputError: nothing here"
    for rank in (0, 1, 3):
        told = f"process 2 has stopped, and {rank} with it: nothing here"
        assert found[rank] == f"TrainingError: {told}"


def test_where_one_dies_all_stop(tmp_path):
    found = found_by(tmp_path, 1, 3, failing=0, how="dies")
    assert found[0] == ""
    for text in found[1:]:
        assert text.startswith("TrainingError: training in 3 processes: another process has ended")
        assert len(text.splitlines()) == 1


def test_remote_shards_are_fetched_by_one_process(data, tmp_path):
    pytest.importorskip("webdataset", reason="the extra chromatrack[shards] is not installed")
    with tarfile.open(tmp_path / "s.tar", "w") as shard:
        shard.add(data / "film.mp4", "film.mp4")
    url = f"pipe:echo fetched >> {tmp_path}/count; sleep 1; cat {tmp_path}/s.tar"
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    given = ("train", url, "-o", tmp_path / "run", "--steps", 1, *OPTIONS)
    for code, complaint in ended(1, 2, cli.main, [*map(str, given)], **cache):
        assert code == 0, complaint
    assert (tmp_path / "count").read_text().splitlines() == ["fetched"]
    assert newest(tmp_path / "run").step == 1


def test_data_that_is_not_there_ends_all_processes_with_a_line_each(tmp_path):
    began = time.monotonic()
    given = ["train", str(tmp_path / "nowhere"), "-o", str(tmp_path / "run")]
    all_ended = ended(1, 2, cli.main, given)
    assert time.monotonic() - began < 60, "nobody waited for those who had left"
    for code, complaint in all_ended:
        assert code == 2
        assert len(complaint.strip().splitlines()) == 1, complaint
        assert "does not exist; name files or folders" in complaint
    assert not (tmp_path / "run").exists()
