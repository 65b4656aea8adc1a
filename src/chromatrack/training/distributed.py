"""Several processes that train one network, started by `torchrun`; with one process, nothing.

torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE and the meeting point; gloo connects
CPUs, NCCL GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from chromatrack.errors import ChromatrackError, TrainingError

Result = TypeVar("Result")

PATIENCE = timedelta(days=1)
"""How long processes wait for the one of them that fetches and looks at the data."""


@dataclass(frozen=True)
class World:
    """This process among those that train together; `rank` 0 writes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def machine(self) -> range:
        """The ranks on this machine, which torchrun numbers one after the other."""
        if self.local_rank >= self.local_size:  # whoever started us told us too little
            return range(self.rank, self.rank + 1)
        first = self.rank - self.local_rank
        return range(first, first + self.local_size)

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and the words."""
        return self.rank == 0


def here() -> World:
    """The world as torchrun describes it in the environment; one process otherwise."""
    rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None or size is None:
        return World()
    local_rank = os.environ.get("LOCAL_RANK") or "0"
    local_size = os.environ.get("LOCAL_WORLD_SIZE") or "1"
    return World(int(rank), int(size), int(local_rank), int(local_size))


def own_device(device: torch.device, world: World) -> torch.device:
    """The device of this process: with CUDA, one GPU for each process of a machine."""
    if device.type == "cuda" and device.index is None and world.size > 1:
        return torch.device("cuda", world.local_rank % torch.cuda.device_count())
    return device


@contextmanager
def together(world: World, device: torch.device) -> Iterator[None]:
    """Connect the processes for as long as the block runs.

    Raises:
        TrainingError: the others do not answer.
    """
    if world.size == 1:
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, rank=world.rank, world_size=world.size)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"training in {world.size} processes: process {world.rank} cannot reach the others "
            f"({error}); check torchrun's --rdzv-endpoint"
        ) from error
    try:
        yield
    finally:
        dist.destroy_process_group()


def once_per_machine(work: Callable[[], Result], world: World) -> Result:
    """What `work` returns, called by the first process of each machine while the others wait.

    Every process of a machine gets the same; nobody goes on before all machines are done.

    Raises:
        ChromatrackError: from `work` in this process.
        TrainingError: `work` failed in another process, which is named with its words, or a
            process has ended.
    """
    if world.size == 1:
        return work()
    first = world.machine[0]
    found: Result | None = None
    failure: ChromatrackError | None = None
    with _all_there(world):  # over CPUs, whatever trains, and patient
        everyone = dist.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(everyone, dist.ProcessGroup), "this process is one of them"
    if world.rank == first:
        try:
            found = work()
        except ChromatrackError as error:
            failure = error
    answers: list[Any] = [None] * world.size
    with _all_there(world):
        dist.all_gather_object(answers, (found, failure and str(failure)), group=everyone)
    if failure is not None:
        raise failure
    for rank, (_, words) in enumerate(answers):
        if words is not None:
            raise TrainingError(f"process {rank} has stopped, and {world.rank} with it: {words}")
    dist.destroy_process_group(everyone)
    return answers[first][0]


@contextmanager
def _all_there(world: World) -> Iterator[None]:
    """Say in one line that others have left.

    Raises:
        TrainingError: the connection to another process is lost.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(
            f"training in {world.size} processes: another process has ended while the data was "
            f"looked at ({reason}); see what it said"
        ) from error


def shared(module: nn.Module, world: World, device: torch.device) -> nn.Module:
    """The module with its gradients averaged over all processes."""
    if world.size == 1:
        return module
    ids = [device.index] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(module, device_ids=ids)


@contextmanager
def without_sharing(module: nn.Module) -> Iterator[None]:
    """Keep gradients to this process for now: more parts of the batch are to come."""
    no_sync = getattr(module, "no_sync", None)
    if no_sync is None:
        yield
        return
    with no_sync():
        yield


def greatest(values: Tensor, world: World) -> Tensor:
    """The element-wise maximum over all processes."""
    if world.size > 1:
        values = values.clone()
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
    return values


def mean(values: Tensor, world: World) -> Tensor:
    """The element-wise mean over all processes."""
    if world.size > 1:
        values = values.clone()
        dist.all_reduce(values)
        values = values / world.size
    return values


def wait(world: World) -> None:
    """Until all processes are here."""
    if world.size > 1:
        dist.barrier()
