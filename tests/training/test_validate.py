"""Watching a network learn: the numbers mean something, and the network is not touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import moving_clip
from torch import Tensor
from torch.nn import functional as F

from chromatrack.errors import InputError, LayoutError, OutputError
from chromatrack.evaluation.datasets.davis import evaluate_davis
from chromatrack.formats.masks import write_mask
from chromatrack.model.encoder import Encoder
from chromatrack.model.weights import load_encoder
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.resample import planes, to_cells
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.training.config import default, vondrick2018
from chromatrack.training.monitor.probes import copy_colors
from chromatrack.training.monitor.validate import SCORES, Validator, embed_pair, tracking_score

COLORS = {"color_error", "color_error_still", "color_ratio"}


def pair(name: str, *, seed: int = 0, size: tuple[int, int] = (96, 160)) -> tuple:
    frames = moving_clip(frames=2, size=size, velocity=(20.0, 4.0), radius=26, seed=seed)
    return name, *(planes(frame.rgb) for frame in frames)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, Tensor, Tensor]]:
    return [pair("a"), pair("b", seed=1, size=(120, 96))]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A labelled folder: one disc, which stands still for 4 frames and then is gone."""
    base = tmp_path_factory.mktemp("davis")
    frames = moving_clip(frames=6, size=(64, 96), velocity=(0.0, 0.0))
    for kind in ("JPEGImages", "Annotations"):
        (base / kind / "480p" / "disc").mkdir(parents=True)
    for frame in frames:
        name = f"480p/disc/{frame.index:05d}"
        Image.fromarray(frame.rgb).save(base / "JPEGImages" / f"{name}.jpg", quality=95)
        gone = frame.index >= 4
        write_mask(base / "Annotations" / f"{name}.png", frame.mask * (not gone))
    (base / "ImageSets" / "480p").mkdir(parents=True)
    (base / "ImageSets" / "480p" / "val.txt").write_text("disc\n")
    return base


class Rolling(Encoder):
    """Wraps an encoder and draws from torch's random state, as dropout would."""

    def __init__(self, inner: Encoder) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config

    @property
    def spec(self):
        return self.inner.spec

    def embed(self, lab):
        torch.rand(3)
        return self.inner.embed(lab)


def snapshot(encoder: Encoder) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in encoder.state_dict().items()}


@pytest.mark.parametrize("is_training", [True, False])
def test_nothing_about_the_network_changes(tiny_encoder, pairs, root, tmp_path, is_training):
    encoder = Rolling(tiny_encoder).train(is_training)
    for p in encoder.parameters():
        p.grad = torch.ones_like(p)
    before, random = snapshot(encoder), torch.get_rng_state()
    values = Validator(pairs, validate=root, size=64, frames=3)(encoder, 7, 60.0, tmp_path)
    assert set(values) == COLORS | set(SCORES)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training == is_training for module in encoder.modules())
    after = encoder.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], x) for name, x in before.items())
    assert all(bool((p.grad == 1).all()) and p.requires_grad for p in encoder.parameters())


def test_the_same_network_looks_the_same_twice(tiny_encoder, pairs, tmp_path):
    watch = Validator(pairs, size=64)
    values = [watch(tiny_encoder, step, 60.0, tmp_path) for step in (5, 6)]
    assert values[0] == values[1]
    shown = [np.asarray(Image.open(tmp_path / f"pictures/step-00000{n}.png")) for n in (5, 6)]
    assert (shown[0] != shown[1]).any(-1).mean() < 0.001, "all but the step in the title"
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == [
        "step-000005.png",
        "step-000006.png",
    ]


def test_statistics_left_over_from_training_do_not_matter(tiny_encoder, pairs, tmp_path):
    """They belong to a mixture of hidden channels; what is shown here is measured anew."""
    watch = Validator(pairs, size=64)
    plain = watch(tiny_encoder, 1, 1.0, tmp_path)
    for name, x in tiny_encoder.state_dict().items():
        if name.endswith("running_mean"):
            x += 3.0
    assert watch(tiny_encoder, 1, 1.0, tmp_path) == plain


def test_a_trained_network_copies_better_than_an_untrained_one_and_than_nothing(
    tiny_encoder, pairs, tmp_path
):
    watch = Validator(pairs, size=96)
    trained = watch(load_encoder("small"), 1, 1.0, tmp_path)
    untrained = watch(tiny_encoder, 2, 1.0, tmp_path)
    assert trained["color_error_still"] == pytest.approx(untrained["color_error_still"])
    assert trained["color_ratio"] < 0.8 and trained["color_ratio"] < untrained["color_ratio"]
    ratio = trained["color_error"] / trained["color_error_still"]
    assert trained["color_ratio"] == pytest.approx(ratio)


def test_a_pair_that_does_not_move_has_no_error_to_beat(tiny_encoder, tmp_path):
    name, frame, _ = pair("still")
    values = Validator([(name, frame, frame)], size=64)(tiny_encoder, 1, 1.0, tmp_path)
    assert values["color_error_still"] == 0 and np.isnan(values["color_ratio"])


def test_all_pairs_count_and_the_first_are_shown(tiny_encoder, pairs, tmp_path):
    both = Validator(pairs, size=64, rows=1)(tiny_encoder, 1, 1.0, tmp_path)
    stills = [
        Validator([one], size=64)(tiny_encoder, 2, 1.0, tmp_path)["color_error_still"]
        for one in pairs
    ]
    assert both["color_error_still"] == pytest.approx(np.mean(stills))
    heights = [Image.open(tmp_path / f"pictures/step-00000{n}.png").height for n in (1, 2)]
    assert heights[0] == heights[1]


def test_the_network_sees_no_color(tiny_encoder):
    lab = torch.rand(2, 3, 40, 48) * 60
    other = lab.clone()
    other[:, 1:] += 20
    found = embed_pair(tiny_encoder, lab)
    assert found.shape == (2, 16, 5, 6)
    assert torch.equal(found, embed_pair(tiny_encoder, other))
    assert not torch.equal(found[0], found[1])


def test_an_encoder_of_clips_is_watched_too(tiny_clip_encoder, pairs, tmp_path):
    before = snapshot(tiny_clip_encoder)
    values = Validator(pairs, size=64)(tiny_clip_encoder, 3, 1.0, tmp_path)
    assert set(values) == COLORS and 0 < values["color_error"] < 1
    after = tiny_clip_encoder.state_dict()
    assert all(torch.equal(after[name], x) for name, x in before.items())


def test_colors_are_copied_from_all_cells_where_all_are_asked_for():
    """Plain inner products at temperature 1, as the definition has them."""
    features, lab = 3 * torch.randn(2, 5, 4, 6), torch.rand(2, 3, 32, 48) * 50
    spec = FeatureSpec(5, 8, 3.5)
    found = copy_colors(features, lab, spec, top_k=None, temperature=1.0)
    reference, target = features.flatten(2)
    pointer = (target.T @ reference).softmax(1)
    colors = to_cells(lab[:1, 1:], spec)[0].flatten(1)
    assert torch.allclose(found.ab.flatten(1), colors @ pointer.T, atol=1e-4)


def test_a_network_of_plain_inner_products_is_looked_at_as_it_is_trained(
    tiny_clip_encoder, pairs, tmp_path
):
    asked = vondrick2018().objective
    plain = Validator(pairs, size=64, objective=asked)
    assert (plain.unit_length, plain.top_k, plain.temperature) == (False, None, 1.0)
    usual = Validator(pairs, size=64)(tiny_clip_encoder, 3, 1.0, tmp_path)
    same = Validator(pairs, size=64, objective=default().objective)(
        tiny_clip_encoder, 3, 1.0, tmp_path
    )
    assert same == usual, "compared by cosine: as in tracking"
    found = plain(tiny_clip_encoder, 3, 1.0, tmp_path)
    assert found["color_error_still"] == usual["color_error_still"]
    assert found["color_error"] != usual["color_error"]
    lab = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 100
    long = embed_pair(tiny_clip_encoder.eval(), lab, unit_length=False)
    short = embed_pair(tiny_clip_encoder, lab)
    assert torch.allclose(F.normalize(long, dim=1), short, atol=1e-6)
    assert not torch.allclose(long, short)


def test_the_tracking_score_is_that_of_the_first_frames(tiny_encoder, root):
    whole = tracking_score(tiny_encoder, root, frames=6, size=64)
    tracker = Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=64))
    assert whole == pytest.approx(
        {name: evaluate_davis(root, tracker=tracker)["scores"][name] for name in SCORES}
    )
    start = tracking_score(tiny_encoder, root, sequences=["disc"], frames=4, size=64)
    assert start["J&F-Mean"] > whole["J&F-Mean"] > 0, "the disc is gone after frame 4"


def test_validation_without_held_out_clips(tiny_encoder, root, tmp_path):
    values = Validator([], validate=root, size=64, frames=3)(tiny_encoder, 1, 1.0, tmp_path)
    assert set(values) == set(SCORES) and not (tmp_path / "pictures").exists()


def test_what_cannot_work_is_said_before_training(pairs, root, tmp_path):
    name, frame, _ = pairs[0]
    with pytest.raises(InputError, match="held-out frames or a folder"):
        Validator([])
    with pytest.raises(InputError, match="frames >= 3"):
        Validator(pairs, frames=2)
    with pytest.raises(InputError, match=r"pair a: expected two frames .* torch.float32"):
        Validator([(name, frame, frame.float())])
    with pytest.raises(InputError, match="of one size"):
        Validator([(name, frame, frame[:, 1:])])
    with pytest.raises(LayoutError, match="published DAVIS layout"):
        Validator(pairs, validate=tmp_path)
    with pytest.raises(InputError, match="cat"):
        Validator(pairs, validate=root, sequences=["cat"])


def test_a_picture_that_cannot_be_written_is_one_line(tiny_encoder, pairs, tmp_path):
    (tmp_path / "pictures").write_text("in the way")
    with pytest.raises(OutputError, match="pictures: cannot be made"):
        Validator(pairs[:1], size=64)(tiny_encoder, 1, 1.0, tmp_path)
