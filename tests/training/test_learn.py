"""Training a mask decoder on tiny clips: what is written, going on bit for bit, stopping early."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import TINY, randomize
from PIL import Image
from synthetic import moving_clip, still, write_clip
from training_runs import same_run

from chromatrack.cli.main import main
from chromatrack.errors import InputError, TrainingError, WeightsError
from chromatrack.model.encoder import build_encoder
from chromatrack.model.mask_decoder import INPUTS, MaskDecoder, load_decoder
from chromatrack.model.tensor_files import read_safetensors
from chromatrack.model.weights import load_encoder, save_encoder
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.training.data.index import build_index
from chromatrack.training.masks import learn as learning
from chromatrack.training.masks.config import DecoderConfig
from chromatrack.training.masks.learn import learn
from chromatrack.training.masks.learner import DecoderRun
from chromatrack.training.masks.material import Material, pick_frames, set_apart
from chromatrack.training.masks.pasted_clips import PastedClip
from chromatrack.training.masks.samples import (
    SIDE,
    ClipTracker,
    SamplePool,
    Samples,
    around,
    coarse_truth,
    iou,
    read_samples,
)
from chromatrack.training.monitor.log import read_validations

pytestmark = pytest.mark.filterwarnings("ignore:held-out. nothing set aside")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two photos and a short video."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(2):
        Image.fromarray(still((72, 100), seed=number)).save(folder / f"{number}.png")
    write_clip(folder / "film.mp4", moving_clip(frames=16, size=(64, 96), radius=8))
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> DecoderConfig:
    """Ten steps in three rounds, five clips, a small encoder."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    torch.manual_seed(0)
    encoder = build_encoder(TINY)
    randomize(encoder)
    save_encoder(path, encoder.eval())
    return DecoderConfig(
        model=str(path),
        steps=10,
        round_steps=4,
        clips=5,
        size=(64, 96),
        frames=4,
        batch=2,
        held_out=2,
        memory_gigabytes=0.05,
    )


@pytest.fixture(scope="module")
def finished(data, tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ten"
    found = list(learn([data], output=folder, config=tiny, device="cpu"))
    assert [one.step for one in found] == [4, 8, 10, 10]
    return folder


def moved_disc() -> PastedClip:
    """A disc that moves, as a pasted clip."""
    frames = moving_clip(frames=4, size=(64, 96), radius=14, velocity=(4, 0))
    return PastedClip(
        np.stack([frame.rgb for frame in frames]),
        np.stack([frame.mask for frame in frames]).astype(np.uint8),
        (1,),
    )


@pytest.fixture(scope="module")
def tracker() -> ClipTracker:
    use = TrackConfig(size=64, upsample="guided")
    return ClipTracker(FrameEmbedder(load_encoder("small"), device="cpu", config=use))


def test_a_run_writes_weights_that_track(finished, tiny, tmp_path):
    names = {path.name for path in finished.iterdir()}
    assert names >= {"config.json", "log.jsonl", "decoder.safetensors"} and "samples" not in names
    decoder = load_decoder(finished / "decoder.safetensors")
    assert bool(decoder.last.weight.any())
    _, notes = read_safetensors(finished / "decoder.safetensors")
    assert notes["complete"] == "yes" and notes["steps"] == "10" and notes["clips"] == "5"
    rows = read_validations(finished / "log.jsonl")
    assert [row.values["clips"] for row in rows[:3]] == [2, 4, 5]
    assert len({row.values["held_guided_iou"] for row in rows[:3]}) == 1
    assert all(0 <= row.values["held_decoder_iou"] <= 1 for row in rows[:3])
    assert set(rows[-1].values) == {"tracked_guided_iou", "tracked_decoder_iou"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_decoder_and_another_another(finished, data, tiny, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        folder = tmp_path / name
        list(learn([data], output=folder, config=replace(tiny, seed=seed), device="cpu"))
        assert same_run(folder, finished) == (name == "same")


@pytest.mark.parametrize("last", [4, 6])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    finished, data, tiny, tmp_path, monkeypatch, last
):
    """By Ctrl-C within a round or at its end."""
    step = DecoderRun.learn

    def and_stop(run: DecoderRun, *given) -> float:
        value = step(run, *given)
        if run.step == last:
            os.kill(os.getpid(), signal.SIGINT)
        return value

    monkeypatch.setattr(DecoderRun, "learn", and_stop)
    with pytest.raises(KeyboardInterrupt):
        list(learn([data], output=tmp_path / "run", config=tiny, device="cpu"))
    _, notes = read_safetensors(tmp_path / "run/decoder.safetensors")
    assert notes["complete"] == "no" and notes["steps"] == str(last)
    monkeypatch.undo()
    list(learn([data], output=tmp_path / "run", config=tiny, resume=True, device="cpu"))
    assert same_run(tmp_path / "run", finished)
    steps = [row.step for row in read_validations(tmp_path / "run/log.jsonl")]
    assert steps == [4, 8, 10, 10]


def test_a_finished_run_is_not_begun_again(finished, data, tiny):
    before = (finished / "decoder.safetensors").read_bytes()
    assert list(learn([data], output=finished, config=tiny, resume=True, device="cpu")) == []
    assert (finished / "decoder.safetensors").read_bytes() == before


def test_minutes_end_a_run_in_order_and_too_few_are_refused(data, tiny, tmp_path, monkeypatch):
    """By a clock on which every look is a second after the last."""
    monkeypatch.setattr(learning, "time", SimpleNamespace(monotonic=count().__next__))
    config = replace(tiny, minutes=2 / 60, clips=50)
    with pytest.raises(TrainingError, match="the first clips alone took more than 0"):
        list(learn([data], output=tmp_path / "short", config=config, device="cpu"))
    assert not (tmp_path / "short/decoder.safetensors").exists()
    config = replace(tiny, minutes=0.2)
    found = list(learn([data], output=tmp_path / "run", config=config, device="cpu"))
    assert [set(one.values) >= {"loss"} for one in found][-2:] == [True, False]
    _, notes = read_safetensors(tmp_path / "run/decoder.safetensors")
    assert notes["complete"] == "yes" and notes["steps"] == str(found[-1].step)
    assert 0 < found[-1].step < 12


def test_other_folders_are_left_alone(finished, data, tiny, tmp_path):
    with pytest.raises(InputError, match="holds a run already; resume it"):
        learn([data], output=finished, config=tiny, device="cpu")
    with pytest.raises(InputError, match="expected a checkpoint to resume"):
        learn([data], output=tmp_path / "new", config=tiny, resume=True, device="cpu")
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(InputError, match=r"holds config\.json already"):
        learn([data], output=tmp_path, config=tiny, device="cpu")
    assert (tmp_path / "config.json").read_text() == "mine"


def test_what_is_seen_while_tracking_is_what_the_decoder_gets(tracker):
    """Around the object on each frame but the first, with the truth of that frame."""
    clip, decode = moved_disc(), MaskDecoder().eval().decode
    rng = np.random.default_rng(0)
    found = tracker.samples(clip, decode, feedback=0.0, rng=rng)
    assert found is not None and found.inputs.shape == (3, INPUTS, SIDE, SIDE)
    assert found.inputs.dtype == found.truth.dtype == torch.float16
    truth = coarse_truth(clip, 3, 1)
    assert float(found.truth[2].sum()) == pytest.approx(float(truth.sum()))
    assert torch.equal(found.truth[2], around(truth, (8, 12)).half())
    assert float(found.truth.sum(-1).sum(-1).min()) > 30  # 4 x 4 pixels each: a disc of radius 14
    scores = tracker.scores(clip, decode, feedback=0.0)
    assert len(scores) == 3 and scores == pytest.approx(
        iou(found.inputs[:, 1:2].float(), found.truth.float()).tolist(), abs=0.1
    )


def test_a_clip_tracked_there_and_back_is_learned_from_at_its_first_mask(tracker):
    clip, decode = moved_disc(), MaskDecoder().eval().decode
    unknown = replace(clip, truth=clip.truth * (np.arange(4) == 0)[:, None, None].astype(np.uint8))
    found = tracker.cycled(unknown, decode, feedback=0.0)
    assert found is not None and len(found) == 1
    truth = coarse_truth(clip, 0, 1)
    assert float(found.truth.sum()) == pytest.approx(float(truth.sum()))
    assert float(iou(found.inputs[:, 1:2].float(), found.truth.float())) > 0.8
    nothing = MaskDecoder().eval()
    torch.nn.init.constant_(nothing.last.bias, -100)
    assert tracker.cycled(unknown, nothing.decode, feedback=0.0) is None


def test_real_clips_have_a_region_on_their_first_frame_alone(data, tiny):
    index, seen = build_index([data], cache=None), []
    for _ in range(2):
        material = Material.of(index, tiny, memory_gigabytes=0.2)
        seen.append([material.real_clip(number) for number in range(4)])
        material.close()
    some = [clip for clip in seen[0] if clip is not None]
    assert some
    for clip in some:
        assert len(clip.frames) == tiny.cycle_frames and clip.ids == (1,)
        assert clip.first_mask.any() and not clip.truth[1:].any()
    for a, b in zip(*seen, strict=True):
        assert (a is None) == (b is None) and (a is None or np.array_equal(a.truth, b.truth))


def test_a_run_begins_with_a_decoder_and_learns_from_real_clips_too(finished, data, tiny, tmp_path):
    config = replace(tiny, steps=2, init=str(finished / "decoder.safetensors"), cycles=2.0)
    list(learn([data], output=tmp_path, config=config, device="cpu"))
    begun = load_decoder(finished / "decoder.safetensors").state_dict()
    after = load_decoder(tmp_path / "decoder.safetensors").state_dict()
    near = [torch.dist(begun[k].float(), after[k].float()) < 0.5 for k in begun if "weight" in k]
    assert all(near) and begun.keys() == after.keys()
    with pytest.raises(WeightsError, match="No such file"):
        config = replace(config, init=str(tmp_path / "none.safetensors"))
        list(learn([data], output=tmp_path / "b", config=config, device="cpu"))


def test_feedback_changes_what_is_copied_later(tracker):
    clip, everything = moved_disc(), MaskDecoder().eval()
    torch.nn.init.constant_(everything.last.bias, 20)
    parts = [
        tracker.samples(clip, everything.decode, feedback=share, rng=np.random.default_rng(0))
        for share in (0.0, 1.0)
    ]
    assert parts[0] is not None and parts[1] is not None
    assert torch.equal(parts[0].inputs[0], parts[1].inputs[0])  # nothing was decoded before it
    assert float(parts[1].inputs[-1, 0].sum()) > 1.1 * float(parts[0].inputs[-1, 0].sum())
    assert max(tracker.scores(clip, everything.decode, feedback=0.0)) < 0.5
    torch.nn.init.constant_(everything.last.bias, -20)
    assert max(tracker.scores(clip, everything.decode, feedback=0.0)) == 0


def test_overlap_is_counted_where_there_is_something():
    truth = torch.zeros(3, 1, 4, 4)
    truth[0, 0, :2], truth[1, 0, :2] = 1, 1
    masks = truth.clone()
    masks[1, 0, 1] = 0
    assert iou(masks, truth).tolist() == [1.0, 0.5, 1.0]


def test_a_pool_keeps_the_newest_rounds_and_comes_back(tmp_path):
    pool = SamplePool(tmp_path / "samples", most=5)
    for number in range(4):
        inputs = torch.full((2, INPUTS, 4, 4), number, dtype=torch.float16)
        pool.add(number, Samples(inputs, inputs[:, :1]))
    assert sorted(pool.rounds) == [2, 3] and len(pool) == 4
    again = SamplePool(tmp_path / "samples", most=5)
    again.load(last=2)
    assert sorted(again.rounds) == [2]
    again.load(last=9)
    one, other = (p.draw(50, np.random.default_rng(0)) for p in (pool, again))
    assert torch.equal(one.inputs, other.inputs)
    assert set(one.truth[:, 0, 0, 0].tolist()) == {2.0, 3.0}
    (tmp_path / "samples/round-000003.safetensors").write_bytes(b"half")
    assert read_samples(tmp_path / "samples/round-000003.safetensors") is None


def test_clips_depend_on_their_number_alone(data, tiny):
    index = build_index([data], cache=None)
    clips = []
    for order in ((0, 1, 2), (2,)):
        material = Material.of(index, tiny, memory_gigabytes=0.05)
        clips.append({number: material.clip(number) for number in order}[2])
        material.close()
    assert np.array_equal(clips[0].frames, clips[1].frames)
    assert np.array_equal(clips[0].truth, clips[1].truth) and clips[0].frames.shape[0] == 4


@pytest.mark.parametrize("kind", ["videos", "photos"])
def test_videos_or_photos_alone_are_enough(data, tiny, kind):
    index = build_index([data], cache=None)
    alone = replace(index, **{"photos" if kind == "videos" else "videos": ()})
    material = Material.of(alone, tiny, memory_gigabytes=0.05)
    clip = material.clip(0)
    material.close()
    assert clip.frames.shape == (4, 64, 96, 3) and set(clip.ids) <= {1, 2, 3}


def test_frames_are_picked_evenly_within_a_scene():
    scene = np.repeat([0, 1], [3, 12])
    for seed in range(20):
        picked = pick_frames(scene, 4, np.random.default_rng(seed))
        if picked is not None:
            assert (scene[picked] == 1).all() and len(picked) == 4
            assert len(set(np.diff(picked))) == 1 and 1 <= picked[1] - picked[0] <= 3
    assert pick_frames(np.zeros(3, int), 4, np.random.default_rng(0)) is None


def test_a_tenth_is_set_aside_by_seed(data):
    index = build_index([data], cache=None)
    many = replace(index, photos=tuple(replace(index.photos[0], name=str(i)) for i in range(30)))
    kept, held = set_apart(many, seed=0)
    assert len(kept.photos) == 27 and len(held.photos) == 3
    assert not set(kept.photos) & set(held.photos) and held.videos == kept.videos
    assert set_apart(many, seed=0) == (kept, held) != set_apart(many, seed=1)


def test_the_command_refuses_what_would_be_ignored(capsys, tmp_path, finished):
    words = ["train-decoder", str(tmp_path), "-o", str(tmp_path / "new")]
    for options, expected in (
        (["--steps", "1", "--minutes", "1"], "expected one of them"),
        (["--resume", "--steps", "5"], "goes on with the recipe of its run; leave --steps out"),
        (["--resume"], "expected a run to resume, with its config.json"),
        (["--batch", "0"], "batch: expected 1 or more, got 0"),
    ):
        assert main([*words, *options]) == 2
        said = capsys.readouterr()
        assert expected in said.err and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("last", "expected"), [(0, "before the first step"), (3, "is saved")])
def test_the_command_says_what_an_interrupted_run_leaves(
    capsys, data, tiny, tmp_path, monkeypatch, last, expected
):
    step, words = DecoderRun.learn, f"--model {tiny.model} --steps 9 --clips 1 --held-out 1"

    def or_stop(run: DecoderRun, *given) -> float:
        if run.step == last:
            raise KeyboardInterrupt  # as by a second Ctrl-C
        return step(run, *given)

    monkeypatch.setattr(DecoderRun, "learn", or_stop)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = ["train-decoder", str(data), "-o", str(tmp_path / "run"), *words.split()]
    assert main([*given, "--device", "cpu", "--frames", "4", "--size", "64", "96"]) == 130
    said = capsys.readouterr()
    assert said.err.endswith("\n") and expected in said.err.splitlines()[-1]
    assert (tmp_path / "run/decoder.safetensors").exists() == bool(last)


def test_the_command_trains_and_says_what_came_out(capsys, data, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = f"--model {tiny.model} --steps 2 --clips 1 --frames 4 --size 64 96 --held-out 1"
    output = tmp_path / "run"
    given = ["train-decoder", str(data), "-o", str(output), "--device", "cpu", *words.split()]
    assert main(given) == 0
    said = capsys.readouterr()
    assert said.out.startswith("2 steps, held-out IoU ")
    assert str(output / "decoder.safetensors") in said.out
    assert "step 2, 1 clips, loss" in said.err and "guided filter" in said.err
    assert main(["train-decoder", str(data), "-o", str(output), "--resume"]) == 0
    assert "nothing left to do" in capsys.readouterr().out
