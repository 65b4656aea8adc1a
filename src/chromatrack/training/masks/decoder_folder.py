"""The folder of a mask decoder's run: what is written when, and what is there when it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from chromatrack.atomic import check_output_folder, replace_file, starts_with
from chromatrack.training import checkpoint
from chromatrack.training.data.index import Index
from chromatrack.training.masks.config import DecoderConfig, to_json
from chromatrack.training.masks.learner import DecoderRun
from chromatrack.training.masks.samples import Samples, read_samples, write_samples
from chromatrack.training.monitor.log import (
    Validation,
    append_validation,
    read_validations,
    truncate_log,
)

CONFIG, LOG, WEIGHTS, SAMPLES = "config.json", "log.jsonl", "decoder.safetensors", "samples"
_HELD = "held-out.safetensors"
_LAST = "tracked_decoder_iou"  # what is measured last of all


@dataclass
class DecoderFolder:
    """The files of one run."""

    folder: Path
    saved: float = field(default_factory=time.monotonic)

    @property
    def weights(self) -> Path:
        """The decoder."""
        return self.folder / WEIGHTS

    @property
    def samples(self) -> Path:
        """Samples that a run that is stopped goes on with."""
        return self.folder / SAMPLES

    def check(self, *, resume: bool, data: Iterable[object] = ()) -> None:
        """Refuse to write over another run or what is read, and to go on where there is no run.

        Raises:
            InputError: says which.
        """
        is_ours = starts_with(self.folder / CONFIG, '{\n  "decoder"')
        checkpoint.check_begin(self.folder, resume=resume, is_ours=is_ours)
        check_output_folder(
            self.folder,
            (CONFIG, LOG, WEIGHTS, SAMPLES),
            kind="the training of a mask decoder",
            is_ours=is_ours,
            reads=data,
        )

    def open(self, run: DecoderRun, index: Index, config: DecoderConfig, *, resume: bool) -> None:
        """Write the recipe, or bring `run` to where the folder's newest checkpoint was.

        Raises:
            InputError: the checkpoint is of something else. OutputError: no folder can be made.
        """
        run.notes |= checkpoint.data_notes(index)
        if not resume:
            replace_file(self.folder / CONFIG, to_json(config))
            return
        found = checkpoint.latest(self.folder)
        assert found is not None, "check() came first"
        checkpoint.warn_of_other_data(found, index)
        run.restore(found.content, found.path)
        truncate_log(self.folder / LOG, run.step)

    def is_measured(self) -> bool:
        """Whether the run has come to its end."""
        return any(_LAST in row.values for row in read_validations(self.folder / LOG))

    def is_time_to_save(self, config: DecoderConfig) -> bool:
        return time.monotonic() - self.saved > config.save_seconds

    def save(self, run: DecoderRun, config: DecoderConfig) -> None:
        """Write a checkpoint.

        Raises:
            OutputError: it cannot be written; those before it are whole.
        """
        checkpoint.save(self.folder, run.content(config))
        self.saved = time.monotonic()

    def log(self, found: Validation) -> None:
        """Add what was measured to the log."""
        append_validation(self.folder / LOG, found)

    def held_samples(self) -> Samples | None:
        """Those that an earlier process of the run has made."""
        return read_samples(self.samples / _HELD)

    def keep_held(self, samples: Samples) -> Samples:
        """Keep them for later processes of the run."""
        write_samples(self.samples / _HELD, samples)
        return samples
