"""Colours of single pictures predicted: the objective by hand, training on a rule, colouring."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, randomize
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import moving_clip
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.single_image import (
    MODEL,
    SingleImageColorer,
    predict_ab,
    predict_cells,
)
from chromatrack.model.color_head import ColorHead, annealed_mean, class_balance
from chromatrack.model.config import PRESETS, EncoderConfig
from chromatrack.model.encoder import build_encoder, color_head, color_scores, normalize_lab
from chromatrack.model.weights import (
    load_encoder,
    model_path,
    read_header,
    save_encoder,
    shipped_models,
)
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.tracking.colorize import paint
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.training.config import change, check, from_json, network, single
from chromatrack.training.data.sampler import Batch
from chromatrack.training.monitor.log import StepReport, read_log
from chromatrack.training.monitor.pictures import watch_picture
from chromatrack.training.monitor.validate import Validator
from chromatrack.training.objective import predict_loss, terms, total
from chromatrack.training.state import begin, new_encoder
from chromatrack.training.train import train

HEAD = replace(TINY, colors=8)
CODES = torch.tensor([[x, y] for x in (-0.6, -0.2, 0.2, 0.6) for y in (-0.5, 0.5)])


@pytest.fixture
def colorer():
    """An untrained tiny network with a head of eight lively colours."""
    torch.manual_seed(0)
    encoder = build_encoder(HEAD)
    randomize(encoder)
    head = color_head(encoder)
    assert head is not None
    head.codebook.copy_(CODES)
    return encoder.eval()


def picture(size: tuple[int, int] = (50, 70), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


# -- the objective -------------------------------------------------------------------------


def test_prediction_loss_by_hand():
    scores = torch.tensor(
        [[[0.0, math.log(3)], [0.0, 0.0]]]
    )  # 2 classes, 2 cells: 1/2; 3/4 and 1/4
    truth = torch.tensor([[0, 1]])
    even = predict_loss(scores, truth, torch.ones(2))
    assert float(even) == pytest.approx((math.log(2) + math.log(4)) / 2)
    uneven = predict_loss(scores, truth, torch.tensor([0.5, 3.0]))
    assert float(uneven) == pytest.approx((0.5 * math.log(2) + 3 * math.log(4)) / 2)


def test_balance_by_hand():
    """Shares 3/4 and 1/4, half of each replaced by 1/2: 5/8 and 3/8, then brought to mean 1."""
    found = class_balance(torch.tensor([3, 1]))
    raw = torch.tensor([8 / 5, 8 / 3])
    torch.testing.assert_close(found, raw / (0.75 * raw[0] + 0.25 * raw[1]))
    assert class_balance(torch.tensor([9, 1]), uniform_share=1.0).tolist() == [1, 1]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40), st.floats(0.05, 1))
def test_balance_prefers_rare_classes_within_its_bound_and_keeps_the_mean(counts, share):
    counts[0] += 1
    found = class_balance(torch.tensor(counts), uniform_share=share)
    there = torch.tensor(counts) / sum(counts)
    assert float((found * there).sum()) == pytest.approx(1, rel=1e-4)
    bound = len(counts) * (1 - share) / share + 1
    assert float(found.max() / found.min()) <= bound * (1 + 1e-4)
    order = there.argsort()
    assert bool((found[order].diff() <= 1e-5 * found.max()).all())


@pytest.mark.parametrize(("counts", "share"), [([0, 0], 0.5), ([1, 2], 0.0), ([1, 2], 1.5)])
def test_balances_that_cannot_be(counts, share):
    with pytest.raises(InputError, match="class_balance: expected counted pixels and a share"):
        class_balance(torch.tensor(counts), uniform_share=share)


def test_annealed_mean_by_hand():
    codebook = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    scores = torch.tensor([math.log(3), 0.0]).reshape(2, 1, 1)
    mean = annealed_mean(scores, codebook, temperature=1.0).flatten()
    torch.testing.assert_close(mean, torch.tensor([0.25, 0.75]))
    half = annealed_mean(scores, codebook, temperature=0.5).flatten()  # odds 9 to 1
    torch.testing.assert_close(half, torch.tensor([0.1, 0.9]))
    mode = annealed_mean(scores, codebook, temperature=0.01).flatten()
    torch.testing.assert_close(mode, torch.tensor([0.0, 1.0]))
    with pytest.raises(InputError, match="temperature: expected more than 0, got 0"):
        annealed_mean(scores, codebook, temperature=0)


def batch_of(lab: Tensor) -> Batch:
    """Single pictures `(B, 1, 3, S, S)` of which a and b are hidden."""
    B = len(lab)
    return Batch(
        lab=lab,
        seen=lab,
        hidden=torch.tensor([[False, True, True]] * B),
        correspondence=torch.zeros(B, 2, 2, 2),
        gap_seconds=torch.zeros(B),
        source=torch.arange(B),
    )


def test_the_recipe_asks_for_the_class_of_each_cell_and_nothing_else(colorer):
    """Two pictures, each of one codebook colour: scores for it lower the loss, for others raise."""
    lab = torch.zeros(2, 1, 3, 16, 16)
    lab[0, 0, 1:], lab[1, 0, 1:] = CODES[2].reshape(2, 1, 1), CODES[5].reshape(2, 1, 1)
    objective, spec = single().objective, colorer.spec
    balance = torch.linspace(0.5, 1.5, 8)

    def loss(classes: list[int]) -> float:
        scores = torch.zeros(2, 1, 8, 2, 2)
        scores[0, :, classes[0]], scores[1, :, classes[1]] = 4.0, 4.0
        found = terms(scores, batch_of(lab), objective, spec, CODES, balance)
        assert list(found) == ["predict"]
        assert float(total(found, objective)) == float(found["predict"])
        return float(found["predict"])

    off, on = math.log(math.exp(4) + 7), math.log(math.exp(4) + 7) - 4
    weights = balance[2] + balance[5]
    assert loss([2, 5]) == pytest.approx(float(weights) * on / 2, rel=1e-5)
    assert loss([5, 2]) == pytest.approx(float(weights) * off / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": 2}, "views: expected 1, as colours are predicted from single pictures, got 2"),
        ({"copy": 1.0}, "copy: expected 0 where colours are predicted without a reference"),
        ({"correspondence": 0.1}, "correspondence: expected 0 where colours are predicted"),
        ({"compare": "regress"}, "compare: expected classify where colours are predicted"),
        ({"predict": 0.0}, "views: expected 2 or more"),
        ({"model": "vondrick2018"}, "views: expected 4, the clip that vondrick2018 embeds"),
        ({"model": "vondrick2018", "views": 4}, "views: expected 1, as colours are predicted"),
    ],
)
def test_what_does_not_go_with_single_pictures_is_refused(changes, message):
    check(single())
    with pytest.raises(InputError, match=message):
        check(change(single(), **changes))


def test_the_network_is_the_small_one_and_a_head():
    built = build_encoder(network(single()))
    assert built.spec.channels == 64, "no raw patches"
    plain = build_encoder(EncoderConfig())
    more = {n: x for n, x in built.state_dict().items() if n not in plain.state_dict()}
    assert set(more) == {f"colors.{n}" for n in ("classes.weight", "classes.bias")} | {
        "colors.codebook",
        "colors.balance",
    }
    assert sum(p.numel() for p in built.parameters()) - 64 * 65 == sum(
        p.numel() for p in plain.parameters()
    )


# -- training ------------------------------------------------------------------------------

DARK, BRIGHT = (90, 10, 20), (150, 170, 255)
"""The rule: what is dark is red, what is bright is blue."""

FORTY = change(
    single(),
    steps=40,
    batch=4,
    log_every=1,
    crop=32,
    short_side=40,
    classes=4,
    jitter=0.0,
    learning_rate=3e-3,
)


def ruled(seed: int) -> np.ndarray:
    """`(48, 64, 3)` uint8: blocks of 16 pixels, dark red or bright blue, no two alike."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(0, 2, (3, 4)), np.ones((16, 16), int))
    noise = rng.integers(-6, 7, (48, 64, 1))
    colors = np.array([DARK, BRIGHT])[blocks] + noise
    return colors.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, list[StepReport]]:
    """A run on eight pictures that keep to the rule."""
    folder = tmp_path_factory.mktemp("single")
    (folder / "data").mkdir()
    for seed in range(8):
        Image.fromarray(ruled(seed)).save(folder / "data" / f"{seed}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "small", replace(TINY, raw_share=0.5))
        patch.setattr("chromatrack.training.state.CALIBRATION_BATCHES", 2)
        run = train([folder / "data"], output=folder / "run", config=FORTY)
        return folder / "run", list(run)


def test_the_loss_falls_on_a_rule_that_can_be_learned(trained):
    folder, reports = trained
    losses = [r.loss for r in reports]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert all(list(r.terms) == ["predict"] for r in reports)
    assert reports[-1].frames_seen == reports[-1].examples_seen == 160
    assert read_log(folder / "log.jsonl") == reports


def test_a_new_picture_is_colored_by_the_rule(trained):
    colorer = SingleImageColorer.from_pretrained(trained[0] / "model.safetensors")
    truth = ruled(99)
    true_ab = rgb_to_lab(planes(truth).float() / 255)[1:]
    grey = paint(truth, torch.zeros(2, 48, 64))
    assert int((grey.max(2).astype(int) - grey.min(2)).max()) <= 2, "no colour is left to be seen"
    ab = predict_ab(colorer.encoder, grey, short_side=40)
    is_dark = torch.from_numpy(truth[..., 2] < 100)
    red, blue = (true_ab[:, where].mean(1)[:, None, None] for where in (is_dark, ~is_dark))
    is_red = (ab - red).norm(dim=0) < (ab - blue).norm(dim=0)
    assert float((is_red == is_dark).float().mean()) > 0.95
    assert float((ab - true_ab).abs().mean()) < 0.3 * float(true_ab.abs().mean()), "as against grey"


def test_the_file_holds_the_head_and_its_colors(trained):
    path = trained[0] / "model.safetensors"
    encoder = load_encoder(path)
    head = color_head(encoder)
    assert head is not None and encoder.config == replace(TINY, colors=4)
    apart = (head.codebook[:, None] - head.codebook[None]).norm(dim=-1) + torch.eye(4)
    assert float(apart.min()) > 0.005, "four colours were found"
    assert float(head.balance.min()) > 0 and '"predict": 1.0' in read_header(path)["recipe"]


def test_a_run_begins_with_the_colors_of_the_weights_it_is_given(trained, monkeypatch):
    monkeypatch.setitem(PRESETS, "small", TINY)
    weights = trained[0] / "model.safetensors"
    head = color_head(load_encoder(weights))
    run = begin(replace(FORTY, init=str(weights)), torch.device("cpu"))
    assert head is not None and run.codebook is not None
    assert torch.equal(run.codebook, head.codebook)
    assert begin(FORTY, torch.device("cpu")).codebook is None


def test_a_copying_network_can_be_given_a_head():
    found, small = new_encoder(replace(FORTY, init="small")), load_encoder("small")
    a, b = found.state_dict(), small.state_dict()
    assert all(torch.allclose(a[n], b[n], atol=1e-6) for n, _ in small.named_parameters())
    assert color_head(found) is not None


# -- the network and its pictures ----------------------------------------------------------


@torch.no_grad()
def test_a_saved_head_loads_as_it_was(colorer, tmp_path):
    save_encoder(tmp_path / "m.safetensors", colorer)
    loaded = load_encoder(tmp_path / "m.safetensors")
    lab = normalize_lab(rgb_to_lab(torch.rand(2, 3, 40, 48)))
    torch.testing.assert_close(
        color_scores(loaded, lab), color_scores(colorer, lab), atol=0.2, rtol=0
    )
    save_encoder(tmp_path / "n.safetensors", loaded)
    again = load_encoder(tmp_path / "n.safetensors").state_dict()
    assert all(torch.equal(x, again[n]) for n, x in loaded.state_dict().items())
    head, same = color_head(colorer), color_head(loaded)
    assert head is not None and same is not None
    torch.testing.assert_close(same.codebook, head.codebook, atol=1e-3, rtol=0)


@torch.no_grad()
def test_it_reads_lightness_alone(colorer):
    lab = normalize_lab(rgb_to_lab(torch.rand(1, 3, 40, 48)))
    other = lab.clone()
    other[:, 1:] = torch.randn(other[:, 1:].shape)
    assert torch.equal(colorer.embed(lab), colorer.embed(other))
    assert torch.equal(color_scores(colorer, lab), color_scores(colorer, other))
    other[:, 0] += 0.5 * torch.randn(other[:, 0].shape)
    assert not torch.allclose(colorer.embed(lab), colorer.embed(other), atol=1e-3)


@pytest.mark.parametrize("size", [(50, 70), (16, 90), (33, 47)])
def test_predictions_have_the_pictures_shape_and_the_codebooks_range(colorer, size):
    ab = predict_ab(colorer, picture(size), short_side=48)
    assert ab.shape == (2, *size) and ab.dtype == torch.float32
    low, high = CODES.amin(0) * 50 - 1e-3, CODES.amax(0) * 50 + 1e-3
    for channel in (0, 1):
        assert low[channel] <= ab[channel].min() and ab[channel].max() <= high[channel]
    lab = torch.rand(2, 3, 40, 56) * 50
    cells = predict_cells(colorer, lab)
    assert cells.shape == (2, 2, 5, 7)
    torch.testing.assert_close(cells[1], predict_cells(colorer, lab[1:])[0], atol=1e-2, rtol=0)


def test_a_colored_picture_keeps_its_luminance_and_does_not_ask_for_colors(colorer):
    rgb = picture()
    grey = np.repeat(np.full((50, 70, 1), 128) + picture()[..., :1] // 16, 3, 2).astype(np.uint8)
    call = SingleImageColorer(colorer)
    found = call(grey)
    assert found.shape == grey.shape and found.dtype == np.uint8
    assert np.array_equal(found, paint(grey, predict_ab(colorer, grey)))
    lightness = [rgb_to_lab(planes(x).float() / 255)[0] for x in (grey, found)]
    assert float((lightness[0] - lightness[1]).abs().max()) < 1
    assert float((found.max(2).astype(int) - found.min(2)).mean()) > 5, "it is coloured"
    light = rgb_to_lab(planes(rgb).float() / 255)
    light[1:] = 0
    torch.testing.assert_close(
        predict_cells(colorer, rgb_to_lab(planes(rgb).float() / 255)[None]),
        predict_cells(colorer, light[None]),
    )


def test_a_network_without_a_head_says_what_is_missing(tiny_encoder):
    with pytest.raises(InputError, match=r"--recipe single\), got a ResNetEncoder without a"):
        predict_ab(tiny_encoder, picture())
    assert color_head(tiny_encoder) is None


def test_the_head_sees_directions_not_lengths():
    head, features = ColorHead(4, 3), torch.randn(1, 4, 2, 2)
    torch.testing.assert_close(head(features), head(5 * features))


def test_a_run_is_watched_by_its_predicted_colors(colorer, tmp_path, monkeypatch):
    frames = [planes(f.rgb) for f in moving_clip(frames=2, size=(64, 96), velocity=(8.0, 0.0))]
    seen = []
    monkeypatch.setattr(
        "chromatrack.training.monitor.validate.watch_picture",
        lambda views, title: seen.extend(views) or watch_picture(views, title=title),
    )
    watch = Validator([("clip", frames[0], frames[1])], size=64)
    before = {n: x.clone() for n, x in colorer.state_dict().items()}
    values = watch(colorer, 3, 1.0, tmp_path)
    assert all(torch.equal(x, before[n]) for n, x in colorer.state_dict().items())
    assert [view.is_predicted for view in seen] == [True]
    assert (tmp_path / "pictures" / "step-000003.png").is_file()
    lab = rgb_to_lab(frames[1].float() / 255)
    colors = torch.from_numpy(seen[0].copied).permute(2, 0, 1).float() / 255
    assert float((rgb_to_lab(colors)[1:] - lab[1:]).abs().mean()) > 1, "not its own colours"
    assert values["color_error"] > 0 and values["color_error_still"] > 0
    reference = 255 - frames[0]  # another reference changes nothing about what is predicted
    other = Validator([("clip", reference, frames[1])], size=64)
    adapted = {n: x for n, x in before.items() if "running" not in n}
    assert adapted and other(colorer, 4, 1.0, tmp_path)["color_error"] == pytest.approx(
        values["color_error"], rel=0.2
    )


# -- the shipped baseline ------------------------------------------------------------------


def test_the_shipped_baseline_is_the_small_network_with_a_head():
    encoder = load_encoder(MODEL)
    assert encoder.config == replace(PRESETS["small"], raw_share=0.0, colors=64)
    assert encoder.spec.channels == load_encoder("small").config.embedding
    assert model_path(MODEL).stat().st_size < 16e6 and MODEL in shipped_models()
    header = read_header(model_path(MODEL))
    recipe = from_json(header["recipe"])
    assert recipe.objective == single().objective and recipe.sampler.views == 1
    assert header["complete"] == "yes" and int(header["frames_seen"]) == 22_400
    assert (recipe.steps, recipe.sampler.crop) == (1400, 160)  # as `small` before it was distilled


def test_its_model_card_says_what_it_is():
    card = model_path(MODEL).with_suffix(".md").read_text(encoding="utf-8")
    for part in (f"# Model card: {MODEL}", "## Scores", "## Limits", "--recipe single", "baseline"):
        assert part in card
    assert read_header(model_path(MODEL))["frames_seen"] in card.replace(",", "")


def test_it_colors_and_its_features_track():
    frames = moving_clip(frames=3, size=(64, 96), velocity=(8.0, 0.0))
    colored = SingleImageColorer.from_pretrained()(frames[0].rgb)
    assert colored.shape == frames[0].rgb.shape and colored.dtype == np.uint8
    assert float((colored.max(2).astype(int) - colored.min(2)).mean()) > 3
    tracker = Tracker.from_pretrained(MODEL, device="cpu", config=TrackConfig(size=64))
    images = [planes(frame.rgb).float() / 255 for frame in frames]
    with torch.no_grad():
        features = [tracker.encoder(image[None])[0] for image in images]
    assert features[0].shape == (64, 8, 12)
    grey = rgb_to_lab(images[0])
    grey[1:] = 0
    with torch.no_grad():
        same = tracker.encoder.embed(normalize_lab(grey)[None])[0]
    torch.testing.assert_close(same, features[0], atol=1e-4, rtol=0)
