"""Small whole files of every kind that the tool reads, made here, to be damaged."""

from __future__ import annotations

import atexit
import base64
import csv
import io
import json
import pickle
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from chromatrack.cli.main import main
from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.exchange import ExportOptions, format_named
from chromatrack.formats.masks import write_mask
from chromatrack.formats.tracked_video import ObjectTrack, TrackedVideo
from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import build_encoder
from chromatrack.model.weights import save_encoder
from chromatrack.structures import Skeleton

SIZE = (24, 32)
FRAMES = 4
TINY = EncoderConfig(widths=(8, 8, 8), blocks=(1, 1, 1), embedding=8)


@cache
def pictures() -> tuple[np.ndarray, ...]:
    """(24, 32, 3) uint8 frames: a bright square that moves over noise."""
    rng = np.random.default_rng(0)
    ground = rng.integers(40, 160, (*SIZE, 3)).astype(np.uint8)
    frames = []
    for index in range(FRAMES):
        frame = ground.copy()
        frame[6:16, 4 + 2 * index : 14 + 2 * index] = (230, 60, 40)
        frames.append(frame)
    return tuple(frames)


@cache
def mask() -> np.ndarray:
    """(24, 32) int32: object 1 is the square of the first frame, object 2 a stripe."""
    ids = np.zeros(SIZE, dtype=np.int32)
    ids[6:16, 4:14] = 1
    ids[18:22, 20:30] = 2
    return ids


def video(suffix: str, codec: str, pixel_format: str, **options: str) -> Callable[[Path], Path]:
    """A maker of a video file of the four frames."""

    def make(folder: Path) -> Path:
        path = folder / f"clip.{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=12, options=options)
            stream.height, stream.width, stream.pix_fmt = *SIZE, pixel_format
            for index, rgb in enumerate(pictures()):
                picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                picture = picture.reformat(format=pixel_format)
                picture.pts = index
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    return make


def picture(suffix: str, mode: str = "RGB") -> Callable[[Path], Path]:
    """A maker of a picture file of the first frame."""

    def make(folder: Path) -> Path:
        path = folder / f"frame.{suffix}"
        Image.fromarray(pictures()[0]).convert(mode).save(path)
        return path

    return make


def pages(suffix: str) -> Callable[[Path], Path]:
    """A maker of one file that holds all four pictures."""

    def make(folder: Path) -> Path:
        path = folder / f"pages.{suffix}"
        first, *rest = (Image.fromarray(rgb) for rgb in pictures())
        first.save(path, save_all=True, append_images=rest, duration=100)
        return path

    return make


def frames(folder: Path) -> Path:
    """A folder of the four pictures."""
    target = folder / "frames"
    target.mkdir()
    for index, rgb in enumerate(pictures()):
        Image.fromarray(rgb).save(target / f"{index:05d}.png")
    return target


def mask_picture(suffix: str) -> Callable[[Path], Path]:
    """A maker of a mask file: palette PNG, or grey of another format."""

    def make(folder: Path) -> Path:
        path = folder / f"mask.{suffix}"
        if suffix == "png":
            write_mask(path, mask())
        else:
            Image.fromarray(mask().astype(np.uint8)).save(path)
        return path

    return make


def mask_pages(suffix: str) -> Callable[[Path], Path]:
    """A maker of one file with a mask for every frame."""

    def make(folder: Path) -> Path:
        path = folder / f"masks.{suffix}"
        moved = (np.roll((mask() == 1) * np.uint8(255), 2 * n, axis=1) for n in range(FRAMES))
        first, *rest = map(Image.fromarray, moved)
        more: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
        first.save(path, save_all=True, append_images=rest, **more)
        return path

    return make


def json_file(name: str, value: Callable[[], Any]) -> Callable[[Path], Path]:
    """A maker of a JSON file."""

    def make(folder: Path) -> Path:
        path = folder / f"{name}.json"
        path.write_text(json.dumps(value()), encoding="utf-8")
        return path

    return make


def table(name: str, columns: str, *rows: tuple[object, ...]) -> Callable[[Path], Path]:
    """A maker of a CSV table."""

    def make(folder: Path) -> Path:
        path, text = folder / f"{name}.csv", io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns.split(","), *rows])
        path.write_text(text.getvalue(), encoding="utf-8")
        return path

    return make


SQUARE = [[4.0, 6.0], [13.0, 6.0], [13.0, 15.0], [4.0, 15.0]]


def own_polygons() -> Any:
    objects = [
        {"id": 1, "frame": 0, "polygon": SQUARE},
        {"id": 2, "frame": 2, "polygons": [SQUARE, [[6, 8], [9, 8], [9, 12]]]},
    ]
    return {"objects": objects}


def labelme() -> Any:
    things = (("cow", 1, 0), ("cow", 2, 6), ("7", None, 12))
    shapes = [
        {
            "label": label,
            "points": [[x + shift, y] for x, y in SQUARE],
            "group_id": group,
            "shape_type": "polygon",
            "flags": {},
        }
        for label, group, shift in things
    ]
    return {
        "version": "5.0.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": "frame_0000.jpg",
        "imageData": None,
        "imageHeight": SIZE[0],
        "imageWidth": SIZE[1],
    }


def labelme_shapes() -> Any:
    """Every shape that LabelMe draws."""
    picture = io.BytesIO()
    Image.fromarray((mask()[6:16, 4:14] * 255).astype(np.uint8)).save(picture, "PNG")
    points: dict[str, list[list[float]]] = {
        "rectangle": [[1, 1], [6, 5]],
        "circle": [[22, 12], [22, 16]],
        "rotation": [[20, 1], [24, 1], [24, 6], [20, 6]],
        "point": [[3, 3]],
        "linestrip": [[1, 1], [5, 5]],
        "mask": [[4, 6], [13, 15]],
    }
    made = labelme()
    made["shapes"] = [
        {"label": kind, "points": corners, "group_id": None, "shape_type": kind, "flags": {}}
        for kind, corners in points.items()
    ]
    made["shapes"][-1]["mask"] = base64.b64encode(picture.getvalue()).decode()
    return made


def _coco(**more: Any) -> Any:
    names = ["nose", "hand", "foot"]
    skeleton = [[1, 2], [2, 3]]
    return {
        "categories": [{"id": 1, "name": "person", "keypoints": names, "skeleton": skeleton}],
        "images": [
            {"id": i + 1, "file_name": f"f_{2 * i:04d}.jpg", "width": SIZE[1], "height": SIZE[0]}
            | more.get("image", {})
            for i in range(2)
        ],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i + 1,
                "category_id": 1,
                "keypoints": [5, 7, 2, 9, 9, 1, 0, 0, 0],
                "num_keypoints": 2,
                "bbox": [4, 6, 10, 10],
            }
            | more.get("annotation", {})
            for i in range(2)
        ],
    }


def coco() -> Any:
    return _coco()


def cvat() -> Any:
    return _coco(annotation={"attributes": {"occluded": False, "track_id": 0, "keyframe": True}})


def roboflow() -> Any:
    name = "clip_mp4-0000_jpg.rf.0123456789abcdef0123456789abcdef.jpg"
    made = _coco(image={"extra": {"name": "clip_mp4-0000.jpg"}, "date_captured": "2024"})
    made["images"][0]["file_name"] = name
    made["images"][1]["extra"] = {"name": "clip_mp4-0002.jpg"}
    return made


def coco_videos() -> Any:
    """Two videos in one file, told apart by video_id."""
    made = _coco(image={"video_id": 1, "frame_id": 0})
    made["videos"] = [{"id": 1, "name": "clip"}, {"id": 2, "name": "other"}]
    other = made["images"][1] | {"id": 3, "video_id": 2, "file_name": "other/f_0000.jpg"}
    made["images"][1]["frame_id"] = 2
    made["images"].append(other)
    made["annotations"].append(made["annotations"][0] | {"id": 3, "image_id": 3})
    return made


def short_pose() -> Any:
    return {
        "skeleton": {"names": ["hip", "knee"], "edges": [["hip", "knee"]]},
        "marks": [
            {"id": 1, "frame": 0, "joints": {"hip": [6, 8], "knee": [9, 12]}},
            {"id": 1, "frame": 2, "joints": {"hip": [10, 8], "knee": None}},
        ],
    }


def skeleton() -> Any:
    return {"names": ["hip", "knee"], "edges": [["hip", "knee"]]}


def exported(name: str) -> Callable[[Path], Path]:
    """A maker of a file of another tool, with something of every kind that it carries."""

    def make(folder: Path) -> Path:
        chosen = format_named(name)
        path = folder / f"marks{chosen.suffix}"
        chosen.load_writer()(_tracked(), path, ExportOptions())
        return path

    return make


def _tracked() -> TrackedVideo:
    frames, times = np.arange(2), np.arange(2) / 12

    def track(*values: Any) -> TrackData:
        places = np.array(values, dtype=np.float64)
        seen = np.isfinite(places).all(axis=-1)
        return TrackData(frames, times, places, seen, seen.astype(np.float64))

    sure = np.ones(2)
    return TrackedVideo(
        video="clip.mp4",
        size=SIZE,
        frames=frames,
        times=times,
        fps=12.0,
        objects={1: ObjectTrack(sure > 0, sure, sure), 2: ObjectTrack(sure > 0, sure, sure)},
        points={3: track([8, 9], [np.nan] * 2)},
        boxes={4: track([4, 6, 10, 10], [5, 6, 10, 9.5])},
        keypoints={5: track([[8, 9], [20, 11]], [[9, 9], [np.nan] * 2])},
        skeleton=Skeleton(("hip", "knee"), ((0, 1),)),
        names={("object", 1): "cow", ("box", 4): "pen", ("keypoints", 5): "leg"},
        mask=lambda frame: mask(),
    )


def weights(folder: Path) -> Path:
    torch.manual_seed(0)
    path = folder / "weights.safetensors"
    save_encoder(path, build_encoder(TINY).eval())
    return path


def shard(folder: Path) -> Path:
    path = folder / "shard.tar"
    with tarfile.open(path, "w") as tar:
        for index, rgb in enumerate(pictures()):
            data = io.BytesIO()
            Image.fromarray(rgb).save(data, "JPEG")
            info = tarfile.TarInfo(f"{index:04d}.jpg")
            info.size = len(data.getvalue())
            tar.addfile(info, io.BytesIO(data.getvalue()))
    return path


def tapvid(folder: Path) -> Path:
    path = folder / "tapvid_davis.pkl"
    points = np.full((2, FRAMES, 2), 0.4)
    occluded = np.zeros((2, FRAMES), dtype=bool)
    clip = {"video": np.stack(pictures()), "points": points, "occluded": occluded}
    path.write_bytes(pickle.dumps({"clip": clip}))
    return path


def checkpoint(folder: Path) -> Path:
    """A checkpoint of a run of one step on the four pictures."""
    return Path(shutil.copy(next(_trained().glob("trained/checkpoint-*.pt")), folder))


def training_run(folder: Path) -> Path:
    """A folder of photos, and of a training of one step on them."""
    return Path(shutil.copytree(_trained(), folder / "training"))


@cache
def _trained() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="chromatrack-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    photos = folder / "photos"
    photos.mkdir()
    for index, rgb in enumerate(pictures()):
        Image.fromarray(rgb).save(photos / f"{index}.png")
    options = ["--steps", "1", "--batch", "1", "--crop", "24", "--short-side", "24"]
    options += ["--held-out", "0", "--device", "cpu"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert main(["train", str(photos), "-o", str(folder / "trained"), *options]) == 0
    return folder


def run_folder(folder: Path) -> Path:
    """A finished run of `chromatrack track` with marks of every kind."""
    clip = video("mkv", "ffv1", "bgr0")(folder)
    points = table("points", "id,frame,x,y", (1, 0, 8, 9))(folder)
    boxes = table("boxes", "id,frame,x,y,width,height", (1, 0, 4, 6, 10, 10))(folder)
    pose = json_file("pose", short_pose)(folder)
    write_mask(folder / "mask.png", mask())
    picture("png")(folder)
    given = ["--masks", folder / "mask.png", "--points", points, "--boxes", boxes]
    given += ["--keypoints", pose, "--size", "48", "-o", folder / "run", "--device", "cpu"]
    assert main(["track", str(clip), *map(str, given)]) == 0
    return folder / "run"
