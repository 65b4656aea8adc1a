"""The command line: one thin function per command. Results to files or stdout, progress to stderr.

A command returns its exit code, or the text to print (see `commands`).

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

from chromatrack import __version__
from chromatrack.cli.batch import batch
from chromatrack.cli.colorize import colorize
from chromatrack.cli.edit import correct, paint
from chromatrack.cli.evaluate import BENCHMARKS, evaluate_app
from chromatrack.cli.exchange import export, import_marks
from chromatrack.cli.export_model import export_model
from chromatrack.cli.frame import frame
from chromatrack.cli.live import live
from chromatrack.cli.option_errors import CommandLine
from chromatrack.cli.plot import plot
from chromatrack.cli.shots import shots
from chromatrack.cli.studio import studio
from chromatrack.cli.track import Output, events, stabilize, track
from chromatrack.cli.train import train
from chromatrack.cli.train_decoder import train_decoder
from chromatrack.errors import (
    BehindDamageError,
    ChromatrackError,
    DamagedVideoError,
    OutputError,
)
from chromatrack.runs.progress import end_on_signals
from chromatrack.tracking.config import Device

INTERRUPTED = 130
PIPE_CLOSED = 141


def demo(
    *, output: Output = Path("chromatrack-demo"), model: str = "small", device: Device = "auto"
) -> int:
    """Render a clip whose truth is known, track and colour it, and score both.

    Args:
        output: folder for the videos, the masks, the contact sheet and scores.json.
        model: a shipped model's name, or the path of a weights file.
        device: where to run.
    """
    from rich.table import Table

    from chromatrack.cli.demo import run_demo
    from chromatrack.cli.progress import frame_bar
    from chromatrack.evaluation.tables import table_text

    with frame_bar() as report:
        result = run_demo(output, model=model, device=device, progress=report)
    table = Table("", "first frame kept", "Chromatrack", title=f"demo, {result.frames} frames")
    for name in ("J&F-Mean", "J-Mean", "F-Mean"):
        before, after = result.identity.scores[name], result.scores.scores[name]
        table.add_row(f"masks: {name}", f"{before:.3f}", f"{after:.3f}")
    grey, colored = f"{result.psnr_grey:.1f} dB (grey)", f"{result.psnr_colored:.1f} dB"
    table.add_row("colours: PSNR", grey, colored)
    print(table_text(table))
    for path in result.files.values():
        print(path)
    return 0


def doctor() -> int:
    """Say what this installation is made of, and warn of known traps; 1 if something is broken."""
    from chromatrack.cli.doctor import diagnose

    found = diagnose()
    width = max(len(name) for name, _ in found.rows)
    for name, text in found.rows:
        print(f"{name:<{width}}  {text}")
    for text in found.warnings:
        print(f"warning: {text}")
    for text in found.problems:
        print(f"problem: {text}")
    if not found.warnings and not found.problems:
        print("all is well")
    return 1 if found.problems else 0


class _Warnings:
    """Prints warnings on stderr, each text once however often a command comes upon it."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, message: Warning | str, *_: object, **__: object) -> None:
        text = " ".join(str(message).split())
        if text not in self._told:
            self._told.add(text)
            print(f"warning: {text}", file=sys.stderr)


def _app() -> tyro.extras.SubcommandApp:
    app = tyro.extras.SubcommandApp()
    for command in WORK:
        app.command(name=_name(command))(command)
    app.command(evaluate_app(), name="evaluate", help="Measure a model on a benchmark.")
    for command in SHOW:
        app.command(command)
    return app


def _name(command: Callable[..., object]) -> str:
    """What users type; `import` cannot be the name of a function."""
    return "import" if command is import_marks else command.__name__.replace("_", "-")


WORK = (
    *(studio, frame, track, live, correct, export, import_marks, batch),
    *(shots, colorize, paint, stabilize, events, plot),
    *(train, train_decoder),
)
SHOW = (export_model, demo, doctor)
COMMANDS: dict[str, Sequence[str]] = {
    **{_name(command): () for command in WORK},
    "evaluate": tuple(BENCHMARKS),
    **{command.__name__.replace("_", "-"): () for command in SHOW},
}
"""Every command's name, and the names of those inside it."""


def _parse_and_run(arguments: Sequence[str]) -> int | str:
    description = (
        "Track or colour anything in a video, learned from unlabelled video by copying colours. "
        "--version prints the version."
    )

    def run(given: Sequence[str]) -> int | str:
        return _app().cli(prog="chromatrack", description=description, args=given)

    with CommandLine("chromatrack", arguments, COMMANDS, run).one_line_errors():
        return run(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `chromatrack` command; `argv` without the program's name, None: the process's own.

    Returns the exit code: 0 done, 1 `doctor` found a problem, 2 wrong input, 3 damaged video, 129
    SIGHUP, 130 Ctrl-C, 141 stdout closed early, 143 SIGTERM. tyro raises SystemExit (0 for --help,
    2 for a wrong option).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # names that it cannot spell are spelled with \\x
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    tell = _Warnings().tell
    with warnings.catch_warnings():
        warnings.showwarning = tell
        try:
            if arguments == ["--version"]:
                said = f"chromatrack {__version__}"
            else:
                with end_on_signals():
                    said = _parse_and_run(arguments)
            if not isinstance(said, int):
                print(said)
            sys.stdout.flush()  # here, where it can be said that it is full
            return said if isinstance(said, int) else 0
        except ChromatrackError as error:
            if isinstance(error, DamagedVideoError) and not isinstance(error, BehindDamageError):
                tell(str(error))  # what was good is written
            else:
                print(f"chromatrack: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt as interrupt:
            print(f"chromatrack: {str(interrupt) or 'interrupted'}", file=sys.stderr)
            return getattr(interrupt, "exit_code", INTERRUPTED)
        except BrokenPipeError:  # `chromatrack ... | head`: whoever read stdout has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED
        except OSError as error:
            if error.errno != errno.ENOSPC or error.filename is not None:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            print("chromatrack: stdout is full; choose another file for it", file=sys.stderr)
            return OutputError.exit_code
