"""Dense flow and what is followed along it: places, agreement, DIS, and RAFT of torchvision."""

from __future__ import annotations

import pickle
import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import still
from torch import nn

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.flow import (
    RAFT_LEAST,
    agreement,
    chain,
    come_from,
    dis_flow,
    identity_places,
    raft_flow,
)


def slide(size: tuple[int, int], dx: float, dy: float = 0.0) -> np.ndarray:
    return np.broadcast_to(np.array([dx, dy], np.float32), (*size, 2)).copy()


# -- places --------------------------------------------------------------------------------


def test_every_pixel_is_at_its_own_place():
    places = identity_places((2, 3))
    assert places.shape == (2, 3, 2) and places[1, 2].tolist() == [2, 1]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 12), st.lists(st.integers(-3, 3), min_size=1, max_size=5))
def test_places_are_known_where_no_step_left_the_frame(height, width, steps):
    """Worked by hand: a pixel is known while each step's source lies in the frame."""
    places, known = identity_places((height, width)), torch.ones(height, width, dtype=torch.bool)
    got = np.arange(width)
    inside = np.ones(width, dtype=bool)
    for dx in steps:
        flow = slide((height, width), dx)
        places, known = chain(places, flow), come_from(known, flow)
        at = np.arange(width) + dx
        fits = (at >= 0) & (at < width)
        at = at.clip(0, width - 1)
        got, inside = got[at], fits & inside[at]
    assert known.numpy().tolist() == np.broadcast_to(inside, (height, width)).tolist()
    np.testing.assert_allclose(places[0, inside, 0].numpy(), got[inside], atol=1e-4)


def test_half_a_pixel_outside_is_still_the_border_pixel():
    known = torch.ones(1, 4, dtype=torch.bool)
    assert come_from(known, slide((1, 4), 0.5)).tolist() == [[True] * 4]
    assert come_from(known, slide((1, 4), 0.6)).tolist() == [[True, True, True, False]]


def test_agreement_is_one_half_at_the_limit_of_sundaram():
    there = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [10.0, 0.0]])
    back = torch.tensor([[-3.0, -4.0], [0.5**0.5, 0.0], [0.72, 0.0], [10.0, 0.0]])
    found = agreement(there, back)
    assert found[0] == 1 and found[1] == pytest.approx(0.5, abs=0.005)
    assert found[2] < 0.5 and found[3] < 1e-6
    far = torch.tensor([[100.0, 0.0]])
    assert agreement(far, torch.tensor([[-90.0, 0.0]])) > 0.5 > agreement(far, -0.8 * far)


# -- DIS -----------------------------------------------------------------------------------


def test_dis_finds_a_slide_in_color_and_in_grey():
    pytest.importorskip("cv2", reason="OpenCV is not installed (the extra `flow`)")
    wide = still((48, 90), seed=3)
    first, second = (np.ascontiguousarray(wide[:, x : x + 80]) for x in (0, 3))
    flow = dis_flow()
    for a, b in ((first, second), (first[..., 1].copy(), second[..., 1].copy())):
        found = flow(a, b)
        assert found.shape == (48, 80, 2) and found.dtype == np.float32
        np.testing.assert_allclose(np.median(found[8:-8, 12:-12], axis=(0, 1)), (-3, 0), atol=0.2)
    again = pickle.loads(pickle.dumps(flow))
    np.testing.assert_array_equal(again(first, second), flow(first, second))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 5), (17, 16)])
def test_dis_takes_pictures_of_any_size(size):
    pytest.importorskip("cv2", reason="OpenCV is not installed (the extra `flow`)")
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    found = dis_flow()(picture, picture)
    assert found.shape == (*size, 2) and float(np.abs(found).max()) < 0.1


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"pip install chromatrack\[flow\]"):
        dis_flow()


# -- RAFT ----------------------------------------------------------------------------------


class MeanShift(nn.Module):
    """Stands in for RAFT: keeps what it was shown, and answers with one learned displacement."""

    def __init__(self, weights: None) -> None:
        super().__init__()
        self.move = nn.Parameter(torch.zeros(2))
        self.shown: list[torch.Tensor] = []

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        self.shown += [a, b]
        full = self.move[None, :, None, None].expand(1, 2, *a.shape[-2:])
        return [torch.zeros_like(full), full]


@pytest.fixture
def torchvision(monkeypatch, tmp_path):
    """A torchvision whose networks are `MeanShift`, with an empty cache."""
    module = types.ModuleType("torchvision.models.optical_flow")
    for size in ("small", "large"):
        url = f"https://example.org/models/raft_{size}-1.pth"
        weights = types.SimpleNamespace(DEFAULT=types.SimpleNamespace(url=url))
        setattr(module, f"raft_{size}", MeanShift)
        setattr(module, f"Raft_{size.title()}_Weights", weights)
    models = types.ModuleType("torchvision.models")
    models.optical_flow = module  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub/checkpoints"


def test_raft_is_shown_padded_pictures_from_minus_one_to_one(torchvision, tmp_path):
    torch.save({"move": torch.tensor([1.5, -2.0])}, tmp_path / "w.pth")
    flow = raft_flow(tmp_path / "w.pth", size="small")
    rgb = np.full((130, 20, 3), 255, np.uint8)
    rgb[:, -1] = 0
    found = flow(rgb, rgb)
    assert found.shape == (130, 20, 2) and found.dtype == np.float32
    assert (found == (1.5, -2.0)).all()
    flow(rgb[..., 0].copy(), rgb[..., 0].copy())
    for shown in flow.network.shown:  # pyright: ignore[reportFunctionMemberAccess]
        assert shown.shape == (1, 3, 136, RAFT_LEAST)
        assert shown[0, :, 0, 0].tolist() == [1, 1, 1], "white; grey is repeated"
        assert (shown[0, :, :, 19:] == -1).all(), "the border is repeated"


def test_raft_takes_cached_weights_and_downloads_none(torchvision, tmp_path):
    with pytest.raises(InputError, match=r"raft_large-1\.pth.* none are downloaded.*raft:PATH"):
        raft_flow()
    torchvision.mkdir(parents=True)
    torch.save({"move": torch.tensor([3.0, 0.0])}, torchvision / "raft_large-1.pth")
    assert (raft_flow()(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8))[..., 0] == 3).all()
    with pytest.raises(InputError, match=r"raft_small-1\.pth.*raft-small:PATH"):
        raft_flow(size="small")


@pytest.mark.parametrize("content", [b"", b"no weights at all", pickle.dumps(print, protocol=2)])
def test_raft_refuses_other_files(torchvision, tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"expected a state dict of torchvision's raft_large"):
        raft_flow(tmp_path / "w.pth")
    torch.save({"other": torch.zeros(2)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"expected a state dict.*got another thing"):
        raft_flow(tmp_path / "w.pth")


def test_without_torchvision_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(InputError, match=r"pip install torchvision.*--model flow"):
        raft_flow()


def test_the_real_raft_takes_its_own_weights(tmp_path):
    models = pytest.importorskip(
        "torchvision.models", reason="torchvision is not installed", exc_type=ImportError
    )
    torch.manual_seed(0)
    torch.save(models.optical_flow.raft_small(weights=None).state_dict(), tmp_path / "random.pth")
    wide = still((40, 70), seed=3)
    found = raft_flow(tmp_path / "random.pth", size="small")(wide[:, :60], wide[:, 2:62])
    assert found.shape == (40, 60, 2) and np.isfinite(found).all()
