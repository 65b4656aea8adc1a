"""Watch a network learn: on held-out frames, and on labelled sequences where there are any.

The training loop calls a `Validator` now and then; it never changes what it looks at. Numbers
serve to compare moments of a run, and runs with the same held-out material, not to compare with
other work.
"""

from __future__ import annotations

import copy
import io
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError, OutputError
from chromatrack.evaluation.baselines.single_image import predict_cells
from chromatrack.evaluation.datasets.davis import DavisSequence, evaluate_davis, read_davis
from chromatrack.model.batchnorm import adapt, measure_statistics
from chromatrack.model.encoder import Encoder, ResNetEncoder, color_head, normalize_lab
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import fit_size
from chromatrack.ops.resample import resize
from chromatrack.propagation.config import TOP_K, PropagateConfig
from chromatrack.tracking.config import Device, TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.training.monitor.pictures import watch_picture
from chromatrack.training.monitor.probes import (
    Copied,
    PairView,
    colorless,
    copy_colors,
    look_at_pair,
    predicted_colors,
)

if TYPE_CHECKING:
    from chromatrack.training.config import Objective
    from chromatrack.training.monitor.holdout import HeldPair

PICTURES = "pictures"
"""Folder of a run that holds its pictures, `step-000123.png`."""

SCORES = ("J&F-Mean", "J-Mean", "F-Mean")

TRACKED = 480
"""Short side of the tracking score's frames. At half of it cells are too coarse to tell a trained
network from an untrained one."""

TRACKED_CLIPS = 256
"""The same for networks that see clips: the paper's size, and what a CPU can still do."""

_COPY = PropagateConfig()
_SHARE = TrackConfig().adapt


class Validator:
    """Looks at a network in training: colour error, tracking score, and a picture.

    >>> watch = Validator([("clip", reference, target)], validate="davis16-dev")
    >>> values = watch(encoder, step=1000, seconds=62.0, folder=run)
    """

    def __init__(
        self,
        pairs: Sequence[HeldPair],
        *,
        validate: str | PathLike[str] | None = None,
        sequences: Sequence[str] | None = None,
        size: int = 240,
        frames: int = 12,
        rows: int = 5,
        objective: Objective | None = None,
    ) -> None:
        """Check everything that can be checked before training.

        Args:
            pairs: name, reference and target frame of clips that are not trained on, `(3, H, W)`
                uint8, both of one size.
            validate: root of a DAVIS-like folder with annotations; None: no tracking score.
            sequences: only these of it.
            size: short side in pixels at which pairs are looked at. frames: of each sequence.
            rows: pairs shown in the picture, the first ones; all count for the error.
            objective: what the network is trained for. If that compares plain inner products, as
                the paper's does, colours are copied so: from all cells, at its temperature. Else
                (and for None) as in `colorize`.

        Raises:
            InputError: neither pairs nor a folder, frames that do not fit, or a number out of
                range. LayoutError: the folder is not as published.
        """
        if not pairs and validate is None:
            raise InputError("watch: expected held-out frames or a folder to validate on, got none")
        if size < 16 or frames < 3 or rows < 1:
            raise InputError(
                "watch: expected size >= 16 pixels, frames >= 3 and rows >= 1, "
                f"got {size}, {frames} and {rows}"
            )
        self.names = [name for name, _, _ in pairs]
        self.pairs = [_fit(pair, size) for pair in pairs]
        self.validate = None if validate is None else Path(validate)
        self.sequences = sequences
        self.size, self.frames, self.rows = size, frames, rows
        self.unit_length = objective is None or objective.unit_length
        self.top_k: int | None = TOP_K
        self.temperature = _COPY.temperature
        if objective is not None and not objective.unit_length:
            self.top_k, self.temperature = None, objective.temperature
        if self.validate is not None:
            read_davis(self.validate, sequences=sequences)

    def __call__(
        self, encoder: Encoder, step: int, seconds: float, folder: Path
    ) -> dict[str, float]:
        """Measure, and draw `folder/pictures/step-<step>.png`.

        Args:
            encoder: in training or evaluation mode; its weights, statistics, mode and torch's
                random state are left as they are.
            seconds: wall time of the run so far, for the picture's title.

        Returns:
            color_error, color_error_still (mean absolute error in normalised Lab of copied
            colours, or of predicted ones where the network predicts them, and of colours held
            still), color_ratio (the first over the second: below 1
            is better than nothing); with a validation folder also J&F-Mean, J-Mean and F-Mean of
            its first frames.

        Raises:
            OutputError: the picture cannot be written.
        """
        values: dict[str, float] = {}
        with _untouched(encoder):
            if self.pairs:
                errors, views = self._look(encoder)
                values |= errors
                title = _title(step, seconds, errors)
                _write_picture(folder, step, watch_picture(views, title=title))
            if self.validate is not None:
                values |= tracking_score(
                    self._for_color(encoder),
                    self.validate,
                    sequences=self.sequences,
                    frames=self.frames,
                    size=TRACKED if encoder.spec.clip_length == 1 else TRACKED_CLIPS,
                )
        return values

    @torch.no_grad()
    def _look(self, encoder: Encoder) -> tuple[dict[str, float], list[PairView]]:
        """The colour errors over all pairs, and what the first ones look like."""
        device = _device(encoder)
        seeing = _with_statistics(encoder, self._clips(encoder, device), grey=True)
        errors, views = [], []
        for number, (name, frames) in enumerate(zip(self.names, self.pairs, strict=True)):
            lab = _lab(frames.to(device))
            features = embed_pair(seeing, lab, unit_length=self.unit_length)
            predicted = _predicted(seeing, lab)
            found = predicted or copy_colors(
                features, lab, seeing.spec, top_k=self.top_k, temperature=self.temperature
            )
            errors.append((found.error(), found.error_still()))
            if number < self.rows:
                view = look_at_pair(
                    frames,
                    features,
                    seeing.spec,
                    name=name,
                    copied=found,
                    temperature=self.temperature,
                    is_predicted=predicted is not None,
                )
                views.append(view)
        error, still = (float(x) for x in np.mean(errors, axis=0))
        ratio = error / still if still > 0 else float("nan")
        values = {"color_error": error, "color_error_still": still, "color_ratio": ratio}
        return values, views

    def _clips(self, encoder: Encoder, device: torch.device) -> Iterator[Tensor]:
        """Normalised Lab of each pair, as a batch (a whole clip where the encoder wants clips)."""
        for frames in self.pairs:
            yield normalize_lab(_as_clip(_lab(frames.to(device)), encoder))

    def _for_color(self, encoder: Encoder) -> Encoder:
        """A copy whose statistics are those of full colour, as in tracking."""
        if not self.pairs:
            return copy.deepcopy(encoder).eval()
        device = _device(encoder)
        return _with_statistics(encoder, self._clips(encoder, device), grey=False)


def embed_pair(encoder: Encoder, lab: Tensor, *, unit_length: bool = True) -> Tensor:
    """Feature maps of reference and target from L alone, as `colorize` makes them.

    The normalisation is adapted to the reference; an encoder of clips sees the reference repeated
    before the target.

    Args:
        lab: `(2, 3, H, W)` float32, Lab: reference, target.
        unit_length: False leaves features as long as the network makes them.

    Returns:
        `(2, C, h, w)` float32.
    """
    if isinstance(encoder, ResNetEncoder):
        encoder = adapt(encoder, normalize_lab(lab[0]), share=_SHARE, grey=True)
    shown = colorless(normalize_lab(_as_clip(lab, encoder)))
    embed = encoder.embed if unit_length else encoder.project
    return embed(shown)[-2:].float()


def _predicted(encoder: Encoder, lab: Tensor) -> Copied | None:
    """Colours of the target from its own L, by a network that predicts them; else None."""
    if color_head(encoder) is None:
        return None
    return predicted_colors(predict_cells(encoder, lab[1:])[0], lab, encoder.spec)


def _as_clip(lab: Tensor, encoder: Encoder) -> Tensor:
    """`(2, 3, H, W)` -> `(B, 3, H, W)`, the first frame repeated to fill the encoder's clip."""
    missing = max(0, encoder.spec.clip_length - 2)
    return torch.cat([lab[:1].expand(missing, -1, -1, -1), lab])


def _with_statistics(encoder: Encoder, images: Iterable[Tensor], *, grey: bool) -> Encoder:
    """A copy in evaluation mode, its normalisation measured on these images."""
    measured = copy.deepcopy(encoder)
    statistics = measure_statistics(encoder, list(images), grey=grey)
    measured.load_state_dict({**measured.state_dict(), **statistics})
    return measured.eval()


@contextmanager
def _untouched(encoder: Encoder) -> Iterator[None]:
    """Give torch's random state back as it was, on the CPU and on the encoder's device."""
    device = _device(encoder)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _device(encoder: Encoder) -> torch.device:
    return next((p.device for p in encoder.parameters()), torch.device("cpu"))


def _lab(frames: Tensor) -> Tensor:
    return rgb_to_lab(frames.float() / 255)


def _fit(pair: HeldPair, size: int) -> Tensor:
    """Both frames at the working size: `(2, 3, H, W)` uint8 on the CPU."""
    name, *both = pair
    for frame in both:
        is_rgb = frame.ndim == 3 and frame.shape[0] == 3 and frame.dtype == torch.uint8
        if not is_rgb or frame.shape != both[0].shape:
            raise InputError(
                f"held-out pair {name}: expected two frames (3, H, W) uint8 of one size, got "
                + " and ".join(f"{tuple(x.shape)} {x.dtype}" for x in both)
            )
    frames = torch.stack(both).cpu()
    wanted = fit_size((frames.shape[-2], frames.shape[-1]), short_side=size)
    small = [resize(frame.float(), wanted).round().to(torch.uint8) for frame in frames]
    return torch.stack(small)


def _title(step: int, seconds: float, errors: dict[str, float]) -> str:
    return (
        f"step {step:,} after {seconds / 60:.1f} min: held-out colour error "
        f"{errors['color_error']:.4f} (first frame held still: {errors['color_error_still']:.4f})"
    )


def _write_picture(folder: Path, step: int, rgb: np.ndarray) -> None:
    path = folder / PICTURES / f"step-{step:06d}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made ({error.strerror})") from error
    content = io.BytesIO()
    Image.fromarray(rgb).save(content, "PNG")
    replace_file(path, content.getvalue())


def tracking_score(
    encoder: Encoder,
    root: str | PathLike[str],
    *,
    sequences: Sequence[str] | None = None,
    frames: int = 12,
    size: int = TRACKED,
) -> dict[str, float]:
    """A quick J&F: the first frames of each sequence.

    Higher than the full protocol's numbers, because little happens in few frames. About 0.4 s a
    frame on a CPU core at the default size.

    Args:
        encoder: ready for use, its statistics those of full colour; it is left as it is.
        root: a folder in the published layout of DAVIS.

    Raises:
        LayoutError, InputError: see `datasets.davis.read_davis`.
    """
    device = cast("Device", _device(encoder).type)
    tracker = Tracker(copy.deepcopy(encoder), device=device, config=TrackConfig(size=size))
    found = read_davis(root, sequences=sequences)
    with tempfile.TemporaryDirectory(prefix="chromatrack-watch-") as folder:
        shorter = shortened(found.sequences, Path(folder), frames=frames)
        result = evaluate_davis(shorter, tracker=tracker)
    return {name: float(result["scores"][name]) for name in SCORES}


def shortened(sequences: Sequence[DavisSequence], folder: Path, *, frames: int) -> Path:
    """A DAVIS folder that holds only the first frames of each sequence."""
    for sequence in sequences:
        for kind, paths in (("JPEGImages", sequence.images), ("Annotations", sequence.annotations)):
            place = folder / kind / "480p" / sequence.name
            place.mkdir(parents=True)
            for path in paths[:frames]:
                shutil.copyfile(path, place / path.name)
    lists = folder / "ImageSets" / "480p"
    lists.mkdir(parents=True)
    names = "".join(f"{sequence.name}\n" for sequence in sequences)
    (lists / "val.txt").write_text(names, encoding="utf-8")
    return folder
