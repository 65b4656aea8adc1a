"""Several processes that train one network, started by `torchrun`; with one process, nothing.

torchrun sets RANK, WORLD_SIZE, LOCAL_RANK and the meeting point; gloo connects CPUs, NCCL GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from chromatrack.errors import TrainingError


@dataclass(frozen=True)
class World:
    """This process among those that train together; `rank` 0 writes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and the words."""
        return self.rank == 0


def here() -> World:
    """The world as torchrun describes it in the environment; one process otherwise."""
    numbers = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    if numbers["RANK"] is None or numbers["WORLD_SIZE"] is None:
        return World()
    return World(int(numbers["RANK"]), int(numbers["WORLD_SIZE"]), int(numbers["LOCAL_RANK"] or 0))


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
