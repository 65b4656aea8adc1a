import numpy as np
import torch

from chromatrack.training.data.frame_table import FrameTable, neighbour


def table(seconds, scene):
    count = len(seconds)
    size = torch.tensor([[2, 3]] * count)
    return FrameTable(
        pixels=torch.zeros(6 * count, 3, dtype=torch.uint8),
        first=torch.arange(count) * 6,
        size=size,
        seconds=torch.tensor(seconds, dtype=torch.float64),
        scene=torch.tensor(scene),
        source=torch.zeros(count, dtype=torch.int64),
        weight=torch.ones(count, dtype=torch.float64),
        videos=count,
    )


def test_a_neighbour_is_the_frame_nearest_in_time_within_the_scene():
    rows = table([0.0, 0.5, 1.0, 9.0, 9.5, 4.0], [0, 0, 0, 1, 1, 2])
    frames = np.array([0, 0, 2, 3, 4, 5])
    gaps = np.array([0.6, 0.9, -0.4, -5.0, 0.1, 1.0])
    assert neighbour(rows, frames, gaps).tolist() == [1, 2, 1, 4, 3, 5]


def test_a_neighbour_is_another_frame_wherever_there_is_one():
    rows = table(np.arange(5.0), [0, 0, 0, 0, 0])
    found = neighbour(rows, np.arange(5), np.full(5, 0.01))
    assert (found != np.arange(5)).all()
