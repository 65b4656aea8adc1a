"""Videos and stills -> training pairs with independent views and, for stills, known motion."""

from __future__ import annotations

import io
import tarfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from chromatrack.color import rgb_to_lab
from chromatrack.coords import cell_count, fit_size, image_size, pixel_grid
from chromatrack.encoder import FeatureSpec, normalize_lab
from chromatrack.errors import InputError, TrainingError, VideoError
from chromatrack.labels import planes
from chromatrack.video import probe, read_frames

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts"),
        *("wmv", "flv", "gif", "ogv", "3gp", "y4m"),
    )
)


@dataclass(frozen=True)
class Photo:
    """A still: an image file, or `length` bytes at `start` of a tar shard."""

    path: Path
    start: int = 0
    length: int | None = None

    def open(self) -> Image.Image:
        """Decode to RGB, upright. Raises OSError when the data is no image."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            data = file.read() if self.length is None else file.read(self.length)
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (512, 512))
        return ImageOps.exif_transpose(image).convert("RGB")


@dataclass
class Sources:
    """What there is to learn from."""

    videos: list[Path] = field(default_factory=list)
    photos: list[Photo] = field(default_factory=list)


def find_sources(data: Sequence[str | PathLike[str]]) -> Sources:
    """List videos, photos and photos inside tar shards below the given files and folders.

    Raises:
        InputError: a path does not exist, or nothing usable was found.
    """
    found = Sources()
    for item in map(Path, data):
        if not item.exists():
            raise InputError(f"training data: {str(item)!r} does not exist; name files or folders")
        files = sorted(p for p in item.rglob("*") if p.is_file()) if item.is_dir() else [item]
        for path in files:
            suffix = path.suffix.lower()
            if suffix == ".tar":
                found.photos += _tar_photos(path)
            elif suffix in IMAGE_SUFFIXES:
                found.photos.append(Photo(path))
            elif suffix in VIDEO_SUFFIXES:
                found.videos.append(path)
    if not found.videos and not found.photos:
        raise InputError(
            f"training data: no video, image or .tar shard in {', '.join(map(str, data))}"
        )
    return found


def _tar_photos(path: Path) -> list[Photo]:
    try:
        with tarfile.open(path, "r:") as shard:
            return [
                Photo(path, member.offset_data, member.size)
                for member in shard
                if member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES
            ]
    except tarfile.TarError as error:
        raise InputError(f"{path}: expected an uncompressed tar shard ({error})") from error


@dataclass(frozen=True)
class Clip:
    """Decoded frames of one video: rgb `(T, 3, H, W)` uint8, pts `(T,)` seconds, increasing."""

    rgb: Tensor
    pts_seconds: np.ndarray


def load_clip(path: Path, *, short_side: int, spacing_seconds: float, limit: int) -> Clip | None:
    """At most `limit` frames, at least `spacing_seconds` apart; None if fewer than two decode.

    A damaged file gives the frames before the damage and a warning: never fatal.
    """
    frames: list[Tensor] = []
    times: list[float] = []
    try:
        info = probe(path)
        size = fit_size((info.height, info.width), short_side=short_side)
        for frame in read_frames(path, size=size):
            if times and frame.pts_seconds - times[-1] < spacing_seconds - 1e-3:
                continue
            frames.append(planes(frame.rgb).contiguous())
            times.append(frame.pts_seconds)
            if len(frames) >= limit:
                break
    except VideoError as error:
        warnings.warn(f"training data: {error}", stacklevel=2)
    if len(frames) < 2:
        return None
    return Clip(torch.stack(frames), np.asarray(times))


@dataclass(frozen=True)
class SamplerConfig:
    """How training pairs are drawn.

    crop: side of the square views, pixels. gap_seconds: time between the two frames of a pair.
    photo_share: share of pairs made from stills (photos, or single video frames).
    memory_gigabytes: decoded frames kept; a larger set is rotated through, clip by clip.
    """

    crop: int = 208
    short_side: int = 240
    gap_seconds: tuple[float, float] = (0.1, 0.7)
    spacing_seconds: float = 0.15
    clip_frames: int = 96
    photo_share: float = 0.5
    memory_gigabytes: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """Training pairs.

    lab: `(B, 2, 3, S, S)` float32 normalised Lab; view 0 is the reference, view 1 the target.
    correspondence: `(B, h, w, 2)` float32: xy pixel in view 0 of what view 1 shows at each cell;
    NaN where unknown (pairs of different frames) or outside the picture.
    """

    lab: Tensor
    correspondence: Tensor


class ClipSampler:
    """Draws batches: a rolling pool of decoded clips, and photos decoded when drawn.

    Batch `step` depends only on the seed, the step and the pool's content at that step.
    """

    def __init__(self, sources: Sources, spec: FeatureSpec, config: SamplerConfig) -> None:
        self.sources, self.spec, self.config = sources, spec, config
        self.pool: list[Clip] = []
        self._turn = 0
        self._broken: set[Path] = set()
        order = np.random.default_rng(config.seed).permutation(len(sources.videos))
        self._order = [sources.videos[i] for i in order]

    @property
    def pool_bytes(self) -> int:
        return sum(clip.rgb.numel() for clip in self.pool)

    @property
    def is_full(self) -> bool:
        return self.pool_bytes >= self.config.memory_gigabytes * 1e9

    def batches(self, size: int, *, start: int = 0) -> Iterator[Batch]:
        """Endless batches of `size` pairs, from step `start` on."""
        for _ in range(min(16, len(self._order))):
            if not self.is_full:
                self._load_next()
        step = start
        while True:
            self._refresh(step)
            yield self.batch(size, step=step)
            step += 1

    def _refresh(self, step: int) -> None:
        """Fill the pool, one clip a step; when it is full, exchange a clip every 20 steps."""
        if len(self.pool) + len(self._broken) >= len(self._order):
            return
        if not self.is_full:
            self._load_next()
        elif step % 20 == 0 and self._load_next():
            oldest = self.pool[0]
            while self.is_full:
                oldest = self.pool.pop(0)
            self.pool.insert(0, oldest)  # as few as keep it full

    def _load_next(self) -> bool:
        """Add the next clip in turn to the pool; False if it is unusable."""
        path = self._order[self._turn % len(self._order)]
        self._turn += 1
        if path in self._broken:
            return False
        config = self.config
        clip = load_clip(
            path,
            short_side=config.short_side,
            spacing_seconds=config.spacing_seconds,
            limit=config.clip_frames,
        )
        if clip is None:
            self._broken.add(path)
            return False
        self.pool.append(clip)
        return True

    def batch(self, size: int, *, step: int) -> Batch:
        """The batch of one step."""
        rng = np.random.default_rng((self.config.seed, step))
        pairs = [self._pair(rng) for _ in range(size)]
        return Batch(torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs]))

    def _pair(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        photos = self.sources.photos
        still = rng.random() < self.config.photo_share
        if not self.pool and not photos:
            raise TrainingError(
                f"training data: none of the {len(self._broken)} videos read so far gave two frames"
            )
        if self.pool and not still:
            return self._moving_pair(rng)
        if photos and (not self.pool or rng.random() < 0.6):
            image = self._photo(rng)
        else:
            clip = self.pool[rng.integers(len(self.pool))]
            image = clip.rgb[rng.integers(len(clip.rgb))]
        return self._still_pair(image, rng)

    def _photo(self, rng: np.random.Generator) -> Tensor:
        for _ in range(20):
            photo = self.sources.photos[rng.integers(len(self.sources.photos))]
            try:
                image = photo.open()
            except (OSError, UnidentifiedImageError, ValueError) as error:
                warnings.warn(f"training data: {photo.path}: {error}", stacklevel=2)
                continue
            height, width = fit_size((image.height, image.width), short_side=256)
            image = image.resize((width, height), Image.Resampling.BILINEAR)
            return planes(np.array(image))
        raise TrainingError("training data: 20 photos in a row could not be read; check the folder")

    def _moving_pair(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        clip = self.pool[rng.integers(len(self.pool))]
        first, second = _pick_times(clip.pts_seconds, self.config.gap_seconds, rng)
        if rng.random() < 0.5:
            first, second = second, first
        size = image_size(clip.rgb)
        crop = self.config.crop
        base = random_view(size, crop, rng)
        views = [perturb(base, crop, rng, amount=0.3) for _ in range(2)]
        frames = clip.rgb[first], clip.rgb[second]
        lab = torch.cat([cut_view(*pair, crop) for pair in zip(frames, views, strict=True)])
        h, w = cell_count((crop, crop), stride=self.spec.stride)
        return lab, torch.full((h, w, 2), float("nan"))

    def _still_pair(self, image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        crop = self.config.crop
        base = random_view(image_size(image), crop, rng)
        reference, target = (perturb(base, crop, rng, amount=1.0) for _ in range(2))
        lab = torch.cat([cut_view(image, reference, crop), cut_view(image, target, crop)])
        known = view_correspondence(reference, target, image_size(image), crop, self.spec)
        return lab, known


def _pick_times(
    pts_seconds: np.ndarray, gap_seconds: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int]:
    """Two frames of a clip whose distance in *time* is as asked, or else neighbours."""
    for _ in range(10):
        first = int(rng.integers(len(pts_seconds)))
        gap = rng.uniform(*gap_seconds)
        second = int(np.argmin(np.abs(pts_seconds - pts_seconds[first] - gap)))
        if second > first and pts_seconds[second] - pts_seconds[first] <= 1.5 * gap_seconds[1]:
            return first, second
    first = int(rng.integers(len(pts_seconds) - 1))
    return first, first + 1


def random_view(size: tuple[int, int], crop: int, rng: np.random.Generator) -> np.ndarray:
    """A random axis-aligned square view: (3, 3) map from view pixels (x, y, 1) to image pixels."""
    height, width = size
    largest = min(height, width) / crop
    scale = rng.uniform(0.6 * largest, largest)
    side = scale * (crop - 1)
    left = rng.uniform(0, max(width - 1 - side, 0))
    top = rng.uniform(0, max(height - 1 - side, 0))
    view = np.array([[scale, 0, left], [0, scale, top], [0, 0, 1.0]])
    if rng.random() < 0.5:
        view = view @ np.array([[-1, 0, crop - 1], [0, 1, 0], [0, 0, 1.0]])
    return view


def perturb(view: np.ndarray, crop: int, rng: np.random.Generator, *, amount: float) -> np.ndarray:
    """The view after a random small motion about its centre (rotation, zoom, shear, shift)."""
    angle = amount * rng.normal(0, np.radians(7))
    zoom = np.exp(amount * rng.normal(0, 0.15))
    shear, stretch = amount * rng.normal(0, 0.06), np.exp(amount * rng.normal(0, 0.05))
    shift = amount * rng.normal(0, 0.09, size=2) * crop
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotate @ np.array([[1, shear], [0, 1]]) @ np.diag([zoom * stretch, zoom / stretch])
    middle = np.full(2, (crop - 1) / 2)
    motion = np.eye(3)
    motion[:2, :2] = linear
    motion[:2, 2] = middle - linear @ middle + shift
    return view @ motion


def cut_view(image: Tensor, view: np.ndarray, crop: int) -> Tensor:
    """Sample a view, bilinearly, mirrored at the border: `(1, 3, crop, crop)` normalised Lab."""
    height, width = image_size(image)
    pixels = pixel_grid((crop, crop), stride=1, offset=0)
    matrix = torch.from_numpy(view).float()
    xy = pixels @ matrix[:2, :2].T + matrix[:2, 2]
    grid = xy * xy.new_tensor([2 / (width - 1), 2 / (height - 1)]) - 1
    sampled = F.grid_sample(
        image[None].float() / 255, grid[None], padding_mode="reflection", align_corners=True
    )
    return normalize_lab(rgb_to_lab(sampled))


def view_correspondence(
    reference: np.ndarray, target: np.ndarray, size: tuple[int, int], crop: int, spec: FeatureSpec
) -> Tensor:
    """Where in the reference view each target cell's content is: `(h, w, 2)` xy pixels, or NaN."""
    cells = cell_count((crop, crop), stride=spec.stride)
    pixels = pixel_grid(cells, stride=spec.stride, offset=spec.offset).double()
    forward, back = torch.from_numpy(target), torch.from_numpy(np.linalg.inv(reference))
    in_image = pixels @ forward[:2, :2].T + forward[:2, 2]
    in_reference = in_image @ back[:2, :2].T + back[:2, 2]
    limit = in_image.new_tensor([size[1] - 1, size[0] - 1])
    inside = ((in_image >= 0) & (in_image <= limit)).all(-1)
    inside &= ((in_reference >= 0) & (in_reference <= crop - 1)).all(-1)
    return in_reference.masked_fill(~inside[..., None], float("nan")).float()
