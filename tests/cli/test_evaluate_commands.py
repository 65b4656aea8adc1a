"""`chromatrack evaluate ...` of poses and boxes, run as a user does, with a tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import moving_clip, write_clip, write_masks

from chromatrack.cli import main as cli
from chromatrack.model.weights import save_encoder

savemat = pytest.importorskip("scipy.io").savemat

SIZE, FRAMES = (48, 64), 3


def run(*arguments: object) -> int:
    """Exit code of a command in this process."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture
def model(tiny_encoder, tmp_path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_encoder(path, tiny_encoder)
    return path


@pytest.fixture
def truth():
    return moving_clip(frames=FRAMES, size=SIZE, radius=9)


def joints(count: int) -> np.ndarray:
    """(frames, count, 2), counted from 1; nothing moves."""
    number = np.arange(float(count))
    return np.repeat(np.stack([5 + 3 * number, 5 + 2 * number], axis=-1)[None], FRAMES, axis=0)


def write_jhmdb(root: Path, truth) -> Path:
    place = root / "joint_positions/catch/one"
    place.mkdir(parents=True)
    savemat(place / "joint_positions.mat", {"pos_img": joints(15).transpose(2, 1, 0)})
    write_clip(root / "Rename_Images/catch/one", truth)
    (root / "splits").mkdir()
    (root / "splits/catch_test_split1.txt").write_text("one.avi 2\n")
    return root


def write_penn(root: Path, truth) -> Path:
    write_clip(root / "frames/0001", truth)
    (root / "labels").mkdir()
    places = joints(13)
    content = {"x": places[..., 0], "y": places[..., 1], "visibility": np.ones((FRAMES, 13))}
    box = np.repeat([[5.0, 5, 45, 35]], FRAMES, axis=0)
    savemat(root / "labels/0001.mat", {**content, "train": -1, "bbox": box, "nframes": FRAMES})
    return root


def write_boxes(root: Path, truth) -> Path:
    write_clip(root / "Disc/img", truth)
    (root / "Disc/groundtruth_rect.txt").write_text("20,20,10,10\n" * FRAMES)
    return root


def write_badja(root: Path, truth) -> Path:
    write_clip(root / "davis/JPEGImages/480p/bear", truth)
    write_masks(root / "davis/Annotations/480p/bear", truth)
    entries = [
        {
            "image_path": f"DAVIS/JPEGImages/Full-Resolution/bear/{frame:05d}.jpg",
            "joints": [[400, 500]] * 37,
            "visibility": [True] * 37,
        }
        for frame in (0, 2)
    ]
    (root / "bear.json").write_text(json.dumps(entries))
    return root


POSES = {f"PCK@0.{tenth}" for tenth in range(1, 6)}


@pytest.mark.parametrize(
    ("name", "write", "more", "scores", "shown"),
    [
        ("jhmdb", write_jhmdb, (), POSES, ("JHMDB", "left ankle", "one")),
        ("jhmdb", write_jhmdb, ("--compat", "crw", "--size", 320), POSES, ("compat crw",)),
        ("penn", write_penn, (), POSES | {"PCK@0.2 box"}, ("Penn Action", "head", "0001")),
        ("boxes", write_boxes, (), None, ("boxes", "success AUC", "Disc")),
    ],
)
def test_scores_are_printed_and_written(
    tmp_path, truth, model, capsys, name, write, more, scores, shown
):
    root, out = write(tmp_path / "root", truth), tmp_path / "out"
    assert run("evaluate", name, root, "--model", model, "-o", out, "--size", 48, *more) == 0
    said = capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())
    assert all(word in " ".join(said.split()) for word in shown)
    assert str(out / "result.json") in said
    assert result["benchmark"] == name and result["frames"] == FRAMES
    assert result["model"] == str(model) and result["config"]["size"] in (48, 320)
    assert scores is None or set(result["scores"]) == scores
    assert all(0 <= score <= 1 for score in result["scores"].values())


def test_badja_takes_a_davis_folder(tmp_path, truth, model, capsys):
    root, out = write_badja(tmp_path, truth), tmp_path / "out"
    davis = ("--davis", tmp_path / "davis")
    assert run("evaluate", "badja", root, *davis, "--model", model, "-o", out, "--size", 48) == 0
    result = json.loads((out / "result.json").read_text())
    assert list(result["scores"]) == ["PCK@0.2"] and list(result["sequences"]) == ["bear"]
    assert "BADJA" in capsys.readouterr().out
    assert run("evaluate", "badja", root, "--model", model) == 2, "--davis is needed"


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("jhmdb", (), "is no JHMDB folder; expected joint_positions"),
        ("penn", (), "is no Penn Action folder; expected labels/0001.mat"),
        ("badja", ("--davis", "nowhere"), "holds no annotation; expected BADJA's bear.json"),
        ("boxes", (), "holds no sequence; expected folders with groundtruth_rect.txt"),
    ],
)
def test_another_layout_is_refused_in_one_line_before_a_model_is_loaded(
    tmp_path, capsys, name, more, expected
):
    assert run("evaluate", name, tmp_path, *more, "--model", tmp_path / "no-model") == 2
    said = capsys.readouterr()
    assert expected in said.err and said.err.count("\n") == 1 and said.out == ""


# -- what would be ignored, and what tells nothing --------------------------------------------


@pytest.fixture
def davis(tmp_path, truth) -> Path:
    root = tmp_path / "davis"
    write_clip(root / "JPEGImages/480p/one", truth)
    write_masks(root / "Annotations/480p/one", truth)
    (root / "ImageSets/2016").mkdir(parents=True)
    (root / "ImageSets/2016/val.txt").write_text("one\n")
    return root


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--model identity --top-k 3", "no use for --top-k"),
        ("--model identity --protocol crw", "no use for --protocol crw"),
        ("--model identity --no-redetect", "no use for --redetect"),
        ("--model identity --quality best", "no use for --quality best"),
        ("--predictions {root} --model base", "leave one of them out"),
        ("--predictions {root} --size 100", "leave one of them out"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(davis, capsys, words, expected):
    given = words.format(root=davis / "Annotations/480p").split()
    assert run("evaluate", "davis", davis, "--sequences", "one", *given) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and expected in said.err


def test_switches_are_left_out_said_or_denied(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "davis", "--help"])
    text = capsys.readouterr().out
    assert "--redetect, --no-redetect" in text and "{None" not in text


def constant(image):
    """Features that are the same everywhere."""
    import torch

    return torch.ones(len(image), 4, image.shape[-2] // 8, image.shape[-1] // 8)


def different(image):
    """Features that are not."""
    import torch

    return torch.nn.functional.avg_pool2d(image, 8)


def broken(image):
    """Features that are no numbers."""
    return constant(image) * float("nan")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("constant", "same at every place"), ("broken", "hold NaN"), ("different", None)],
)
def test_features_that_tell_nothing_are_said(name, expected, recwarn):
    from chromatrack.evaluation.features.registry import load_measured, warn_of_constant
    from chromatrack.tracking.config import TrackConfig

    tracker = load_measured(globals()[name], config=TrackConfig())
    warn_of_constant(tracker)  # type: ignore[arg-type]
    said = [str(warning.message) for warning in recwarn]
    assert (said == []) if expected is None else (len(said) == 1 and expected in said[0])


def test_scores_of_zero_everywhere_are_said(davis, tmp_path, truth, capsys):
    empty = tmp_path / "empty"
    write_masks(empty / "one", [replace(frame, mask=frame.mask * 0) for frame in truth])
    words = ("evaluate", "davis", davis, "--sequences", "one", "--predictions", empty)
    assert run(*words) == 0
    assert "all scores are 0" in capsys.readouterr().err
    assert run(*words[:-1], davis / "Annotations/480p") == 0
    assert "all scores are 0" not in capsys.readouterr().err
