"""Options that cannot be read end in one line that says what was expected."""

from __future__ import annotations

import pytest

from chromatrack.cli.main import main

TRACK = ["track", "clip.mp4", "-o", "out"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["track"], "expected VIDEO and --output, got none; see chromatrack track --help"),
        ([], "expected a command (studio, frame, track, "),
        (["evaluate"], "expected a command (davis, vip, "),
        (
            ["trak", "x"],
            "'trak': expected a command (did you mean track?), one of studio, frame, tra",
        ),
        (["evaluate", "davi"], "'davi': expected a command (did you mean davis?), one of davis, "),
        ([*TRACK, "--maskz", "x"], "--maskz: no option of `chromatrack track` (did you mean --mas"),
        ([*TRACK, "--zzz"], "--zzz: no option of `chromatrack track`; see chromatrack track --he"),
        (
            ["colorize", "a.mp4", "-o", "out", "--auto"],  # whose dashes are like those of --top-k
            "--auto: no option of `chromatrack colorize`; see chromatrack colorize --help",
        ),
        ([*TRACK, "more"], "'more': `chromatrack track` expected nothing more; see chromatrack tr"),
        ([*TRACK, "--size", "abc"], "--size: expected a whole number, got 'abc'; see chromatrack"),
        ([*TRACK, "--size=1.5"], "--size: expected a whole number, got '1.5'; see chromatrack"),
        ([*TRACK, "--top-k", "many"], "--top-k: expected a whole number or all, got 'many'; see"),
        ([*TRACK, "--adapt", "much"], "--adapt: expected a number, got 'much'; see chromatrack"),
        ([*TRACK, "--device", "gpu"], "--device: expected auto, cpu, cuda or mps, got 'gpu'; see"),
        ([*TRACK, "--direction"], "--direction: expected both, forward or backward, got nothing"),
        (
            ["paint", "a.mp4", "-o", "b.mp4", "--codec", "h265"],
            "--codec: expected ffv1, h264 or prores, got 'h265'; see chromatrack paint --help",
        ),
        (
            ["evaluate", "davis", "root", "--layer", "last"],
            "--layer: expected a whole number, got 'last'; see chromatrack evaluate davis --help",
        ),
        (
            ["train", "data", "-o", "run", "--recipe", "mine"],
            "--recipe: expected default, single or vondrick2018, got 'mine'; see chromatrack t",
        ),
    ],
)
def test_what_the_parser_refuses_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"chromatrack: {said}")
    assert err.count("\n") == 1
