"""A model fitted to a run's video is kept with the run, and used by whatever comes after."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict

import pytest
import torch
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError, Interrupted, WeightsError
from chromatrack.model.weights import encoder_bytes, load_encoder
from chromatrack.runs import writer
from chromatrack.runs.colorized import colorize_to_file
from chromatrack.runs.correct import correct, tracker_of
from chromatrack.runs.fitted_model import HEADER_KEY, FitFacts, FittedModel, is_fitted
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import PointMark
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.inference import follow
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

FRAMES = 5
FACTS = FitFacts("small", None, 40, 20, 3.0, 2.5, 0)


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=(48, 64), radius=9)


@pytest.fixture
def clip(film, tmp_path):
    return write_clip(tmp_path / "clip.mp4", film)


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    return Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=48), model="tiny")


@pytest.fixture
def fitted(tiny_encoder) -> FittedModel:
    """Another model than the tracker's."""
    with torch.no_grad():
        tiny_encoder.head.weight.mul_(torch.linspace(-1, 1, 16)[:, None, None, None])
    notes = {HEADER_KEY: json.dumps(asdict(FACTS))}
    return FittedModel(encoder_bytes(tiny_encoder, notes=notes), FACTS)


class Once:
    """A fit that must not be asked for twice."""

    def __init__(self, fitted: FittedModel) -> None:
        self.fitted, self.asked = fitted, 0

    def __call__(self, *, progress) -> FittedModel:
        self.asked += 1
        assert self.asked == 1
        progress("fit", 100, 100)
        return self.fitted


def marks_of(film) -> Marks:
    return Marks.of(masks={0: film[0].mask})


def model_in(folder) -> dict:
    return json.loads((folder / "result.json").read_text())["model"]


def masks(folder) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "masks").iterdir())]


def test_it_is_tracked_with_kept_and_corrected_with(tracker, fitted, film, clip, tmp_path):
    done = track_to_folder(tracker, clip, marks_of(film), output=tmp_path / "run", fit=Once(fitted))
    assert done.fit == FACTS
    assert (tmp_path / "run/model.safetensors").read_bytes() == fitted.content
    assert model_in(tmp_path / "run") == fitted.record()
    own = Tracker.from_pretrained(
        tmp_path / "run/model.safetensors", device="cpu", config=tracker.config
    )
    track_to_folder(own, clip, marks_of(film), output=tmp_path / "own")
    assert masks(tmp_path / "own") == masks(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    again = tracker_of(tmp_path / "moved", device="cpu")
    state = again.encoder.state_dict()
    assert all(torch.equal(state[n], x) for n, x in own.encoder.state_dict().items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is the run's own model
        correct(again, tmp_path / "moved", Marks.of(points=[PointMark(1, 2, 20.0, 20.0)]))
    assert model_in(tmp_path / "moved") == fitted.record()


def test_a_run_without_it_removes_that_of_an_earlier_one(tracker, fitted, film, clip, tmp_path):
    run = tmp_path / "run"
    track_to_folder(tracker, clip, marks_of(film), output=run, fit=Once(fitted))
    done = track_to_folder(tracker, clip, marks_of(film), output=run)
    assert not (run / "model.safetensors").exists()
    assert done.fit is None and model_in(run) == {"name": "tiny", "sha256": None}


def test_a_weights_file_of_others_is_not_written_over(tracker, fitted, film, clip, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model.safetensors").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"holds model\.safetensors already"):
        track_to_folder(tracker, clip, marks_of(film), output=tmp_path / "run", fit=Once(fitted))
    track_to_folder(tracker, clip, marks_of(film), output=tmp_path / "run")
    assert (tmp_path / "run/model.safetensors").read_bytes() == b"mine"


def test_a_run_that_ended_early_goes_on_with_it(tracker, fitted, film, clip, tmp_path, monkeypatch):
    run, fit = tmp_path / "run", Once(fitted)
    with monkeypatch.context() as patched:

        def broken(*arguments, **options):
            for number, frame in enumerate(follow(*arguments, **options)):
                if number == 2:
                    raise KeyboardInterrupt
                yield frame

        patched.setattr(writer, "follow", broken)
        with pytest.raises(KeyboardInterrupt):
            track_to_folder(tracker, clip, marks_of(film), output=run, fit=fit)
    done = track_to_folder(tracker, clip, marks_of(film), output=run, fit=fit, resume=True)
    assert done.frames == FRAMES and done.fit == FACTS and fit.asked == 1
    track_to_folder(tracker, clip, marks_of(film), output=tmp_path / "whole", fit=Once(fitted))
    assert masks(run) == masks(tmp_path / "whole")
    with pytest.raises(InputError, match="to go on with, found none"):
        track_to_folder(tracker, clip, marks_of(film), output=run, fit=fit, resume=True)


def test_a_run_without_a_fitted_model_does_not_go_on_with_one(
    tracker, fitted, film, clip, tmp_path, monkeypatch
):
    def broken(*arguments, **options):
        yield next(iter(follow(*arguments, **options)))
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "follow", broken)
    with pytest.raises(KeyboardInterrupt):
        track_to_folder(tracker, clip, marks_of(film), output=tmp_path / "run")
    with pytest.raises(InputError, match="had no fitted model"):
        track_to_folder(
            tracker, clip, marks_of(film), output=tmp_path / "run", fit=Once(fitted), resume=True
        )


def test_interrupted_while_fitting_nothing_is_changed(tracker, film, clip, tmp_path):
    def fit(*, progress):
        raise Interrupted("stopped by SIGTERM", exit_code=143)

    with pytest.raises(Interrupted, match=r"while fitting the model; .*run is as it was"):
        track_to_folder(tracker, clip, marks_of(film), output=tmp_path / "run", fit=fit)
    with pytest.raises(Interrupted, match=r"while fitting the model; .*out.mp4 is as it was"):
        colorize_to_file(
            tracker, clip, references=[(film[0].rgb, 0)], output=tmp_path / "out.mp4", fit=fit
        )
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("name", ["out.mkv", "pictures"])
def test_of_a_coloured_video_it_lies_beside(tracker, fitted, film, clip, tmp_path, name):
    given = {"references": [(film[0].rgb, 0)], "output": tmp_path / name}
    done = colorize_to_file(tracker, clip, fit=Once(fitted), **given)
    kept = tmp_path / f"{name}.model.safetensors"
    assert done.fit == FACTS and kept.read_bytes() == fitted.content
    about = json.loads((tmp_path / f"{name}.reliability.json").read_text())
    assert about["model"] == "model.safetensors"
    colorize_to_file(tracker, clip, **given)
    assert not kept.exists()


def test_weights_that_were_not_fitted_are_told_apart(tiny_encoder, tmp_path):
    path = tmp_path / "model.safetensors"
    assert not is_fitted(path)
    path.write_bytes(encoder_bytes(tiny_encoder))
    assert not is_fitted(path)
    with pytest.raises(WeightsError, match="expected weights that were fitted to a video"):
        FittedModel.read(path)
    assert load_encoder(path).spec == tiny_encoder.spec
