"""`chromatrack train`: options of which one would be ignored are refused in one line."""

from __future__ import annotations

import pytest

from chromatrack.cli.main import main


def refusal(capsys, *arguments: object) -> str:
    """The one line with which a command is refused."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--steps 1 --minutes 1", "expected one of them"),
        ("--resume --recipe single", "goes on with the recipe of its run, got single"),
        ("--decay-from run --recipe default", "goes on with the recipe of its run"),
        ("--resume --decay-from run", "expected one run to go on from"),
        ("--schedule wsd --drops 0.5", "drops: is of the schedule step, but the schedule is wsd"),
        ("--drops 0.5", "add --schedule step"),
        ("--decay 0.5", "add --schedule wsd"),
        ("--recipe vondrick2018 --decay 0.5", "but the schedule is step"),
        ("", "name at least one"),
    ],
)
def test_what_would_be_ignored_is_refused(capsys, tmp_path, options, expected):
    data = [tmp_path] if options else []
    words = ("train", *data, "-o", tmp_path / "new", *options.split())
    assert expected in refusal(capsys, *words)
    assert not (tmp_path / "new").exists()


def test_a_recipe_that_is_not_there_is_named(capsys, tmp_path):
    assert main(["train", str(tmp_path), "-o", str(tmp_path / "new"), "--recipe", "None"]) == 2
    assert "vondrick2018" in capsys.readouterr().err
