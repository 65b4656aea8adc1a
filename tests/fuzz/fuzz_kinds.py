"""Every kind of input: how a whole one is made, how it is damaged, what is done with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import doors
import mutations
import repacked
import specimens
from doors import SMALL, command, correction, made_video

Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Kind:
    """One kind of input: how a whole one is made, how it is damaged, what is done with it.

    inside: of a run's folder, the file to damage; the door then gets the folder.
    share: how often it is drawn.
    """

    make: Callable[[Path], Path]
    damage: Damage
    door: doors.Door
    inside: str | None = None
    share: float = 1.0


def _videos() -> Iterator[tuple[str, Kind]]:
    makers = {
        "mp4": specimens.video("mp4", "libx264", "yuv420p"),
        "mkv": specimens.video("mkv", "ffv1", "bgr0"),
        "ts": specimens.video("ts", "mpeg2video", "yuv420p"),
        "avi": specimens.video("avi", "mpeg4", "yuv420p"),
        "mov": specimens.video("mov", "mjpeg", "yuvj420p"),
        "flv": specimens.video("flv", "flv1", "yuv420p"),
        "webm": specimens.video("webm", "libvpx-vp9", "yuv420p"),
        "gif": specimens.video("gif", "gif", "rgb8"),
    }
    for name, make in makers.items():
        yield f"video-{name}", Kind(make, mutations.damaged_bytes, doors.video, share=3)
        yield (
            f"track-{name}",
            Kind(make, mutations.damaged_bytes, command("--masks", "HOME/mask.png", clip="{}")),
        )
    marked = command("--masks", "HOME/mask.png", clip="{}")
    yield "video-moov", Kind(makers["mp4"], repacked.damaged_moov, doors.video, share=3)
    yield "track-moov", Kind(makers["mp4"], repacked.damaged_moov, marked)
    shown = doors.made_picture("frame", "{}", "1", "--grid", "-o", "OUT")
    yield "frame-mp4", Kind(makers["mp4"], mutations.damaged_bytes, shown)
    steady = made_video("stabilize", "{}", "--track", "HOME/run", "--lock", "1", "-o", "OUT")
    yield "stabilize-mp4", Kind(makers["mp4"], mutations.damaged_bytes, steady)
    colored = made_video("colorize", "{}", "--reference", "HOME/frame.png", "-o", "OUT", *SMALL)
    yield "colorize-mp4", Kind(makers["mp4"], mutations.damaged_bytes, colored)


def _pictures() -> Iterator[tuple[str, Kind]]:
    for suffix in ("png", "jpg", "bmp", "tif", "webp", "ppm", "tga", "jp2", "avif", "gif"):
        make = specimens.picture(suffix)
        yield f"picture-{suffix}", Kind(make, mutations.damaged_bytes, doors.picture)
    for name in ("tif", "png", "webp"):
        yield f"pages-{name}", Kind(specimens.pages(name), mutations.damaged_bytes, doors.video)
    for suffix in ("png", "jpg", "ppm", "gif", "jp2", "avif", "webp", "tif"):
        make = specimens.picture(suffix)
        colored = made_video("colorize", "HOME/clip.mkv", "--reference", "{}", "-o", "OUT", *SMALL)
        yield f"colorize-{suffix}", Kind(make, mutations.damaged_bytes, colored)
    painted = made_video("paint", "HOME/clip.mkv", "--texture", "{}@0:4,4", "-o", "OUT", *SMALL)
    texture = specimens.picture("png", "RGBA")
    yield "paint-png", Kind(texture, mutations.damaged_bytes, painted)
    for name, make in (("picture", specimens.picture("png")), ("pages", specimens.pages("png"))):
        door = doors.picture if name == "picture" else doors.video
        yield f"{name}-chunks", Kind(make, repacked.damaged_png, door)
    yield "paint-chunks", Kind(texture, repacked.damaged_png, painted)
    clip = command("--masks", "HOME/mask.png", clip="{}")
    yield "track-pictures", Kind(specimens.frames, mutations.damaged_bytes, clip, "00002.png")


def _masks() -> Iterator[tuple[str, Kind]]:
    for suffix in ("png", "jpg", "bmp", "tif", "webp", "ppm", "gif"):
        make = specimens.mask_picture(suffix)
        yield f"mask-{suffix}", Kind(make, mutations.damaged_bytes, doors.mask)
    make = specimens.mask_picture("png")
    yield "mask-chunks", Kind(make, repacked.damaged_png, doors.mask, share=2)
    yield "mask-folder", Kind(make, repacked.damaged_png, doors.mask_folder)
    yield "track-masks", Kind(make, repacked.damaged_png, command("--masks", "{}"))
    yield "correct-masks", Kind(make, repacked.damaged_png, correction("--masks", "{}@0"))
    for suffix in ("tif", "png", "webp", "gif"):
        make = specimens.mask_pages(suffix)
        yield f"mask-pages-{suffix}", Kind(make, mutations.damaged_bytes, doors.mask)
        yield (
            f"track-mask-pages-{suffix}",
            Kind(make, mutations.damaged_bytes, command("--masks", "{}"), share=0.5),
        )


def _marks() -> Iterator[tuple[str, Kind]]:
    columns = "id,frame,x,y,width,height"
    tables = {
        "points": specimens.table(
            "marks", "id,frame,x,y", (1, 0, 8, 9), (2, 1, 12, 9), (1, 3, "", "")
        ),
        "boxes": specimens.table("marks", columns, (1, 0, 4, 6, 10, 10), (2, 2, 20, 18, 10, 4)),
    }
    for name, make in tables.items():
        yield name, Kind(make, mutations.damaged_csv, getattr(doors, name), share=2)
        yield f"track-{name}", Kind(make, mutations.damaged_csv, command(f"--{name}", "{}"))
        yield f"correct-{name}", Kind(make, mutations.damaged_csv, correction(f"--{name}", "{}"))
    for name in ("own_polygons", "labelme", "labelme_shapes"):
        make = specimens.json_file("marks", getattr(specimens, name))
        yield f"polygons-{name}", Kind(make, mutations.damaged_json, doors.polygons, share=2)
        yield f"track-{name}", Kind(make, mutations.damaged_json, command("--polygons", "{}"))
        again = correction("--polygons", "{}")
        yield f"correct-{name}", Kind(make, mutations.damaged_json, again, share=0.5)
    for name in ("coco", "cvat", "roboflow", "coco_videos", "short_pose"):
        make = specimens.json_file("marks", getattr(specimens, name))
        yield f"keypoints-{name}", Kind(make, mutations.damaged_json, doors.keypoints, share=2)
        yield f"track-{name}", Kind(make, mutations.damaged_json, command("--keypoints", "{}"))
    damages = {"xml": repacked.damaged_xml, "csv": mutations.damaged_csv}
    for name in ("cvat", "mot", "via", "coco", "youtube-vis", "label-studio"):
        make = specimens.exported(name)
        suffix = {"cvat": "xml", "mot": "csv", "via": "csv"}.get(name, "json")
        damage = damages.get(suffix, mutations.damaged_json)
        yield f"marks-{name}", Kind(make, damage, doors.any_marks, share=2)
        yield f"track-marks-{name}", Kind(make, damage, command("--marks", "{}"), share=0.5)
    yield "marks-bytes", Kind(specimens.exported("cvat"), mutations.damaged_bytes, doors.any_marks)
    make = specimens.json_file("marks", specimens.labelme_shapes)
    yield "marks-labelme", Kind(make, mutations.damaged_json, doors.any_marks)
    make = specimens.json_file("marks", specimens.skeleton)
    yield "skeleton", Kind(make, mutations.damaged_json, doors.skeleton)
    make = specimens.json_file("marks", specimens.short_pose)
    again = correction("--keypoints", "{}")
    yield "correct-keypoints", Kind(make, mutations.damaged_json, again)


def _models() -> Iterator[tuple[str, Kind]]:
    make, tracked = specimens.weights, command("--masks", "HOME/mask.png", "--model", "{}")
    yield "weights", Kind(make, mutations.damaged_bytes, doors.weights, share=2)
    yield "weights-header", Kind(make, repacked.damaged_safetensors, doors.weights, share=3)
    yield "track-weights", Kind(make, repacked.damaged_safetensors, tracked)
    make = specimens.checkpoint
    yield "checkpoint", Kind(make, mutations.damaged_bytes, doors.checkpoint)
    yield "checkpoint-parts", Kind(make, repacked.damaged_zip, doors.checkpoint, share=2)
    yield "train-resume", Kind(specimens.training_run, repacked.damaged_zip, doors.go_on, NEWEST)


NEWEST = "trained/checkpoint-00000001.pt"


def _training_data() -> Iterator[tuple[str, Kind]]:
    yield "shard", Kind(specimens.shard, mutations.damaged_bytes, doors.data)
    yield "shard-headers", Kind(specimens.shard, repacked.damaged_tar, doors.data, share=2)
    yield "tapvid", Kind(specimens.tapvid, mutations.damaged_bytes, doors.tapvid, share=2)
    for name in ("clip.mp4", "deep/clip.mkv", "photos/00001.jpg", "shard.tar"):
        kind = Kind(datasets.media, mutations.damaged_bytes, datasets.index_media, name)
        yield f"media-{Path(name).suffix[1:]}", kind
    files = {
        "davis": ("ImageSets/2016/val.txt", "Annotations/480p/bear/00001.png"),
        "vip": ("lists/val_videos.txt", "Annotations/Category_ids/one/00001.png"),
        "badja": ("joint_annotations/bear.json", "davis/Annotations/480p/bear/00001.png"),
        "jhmdb": (
            "splits/catch_test_split1.txt",
            "joint_positions/catch/one/joint_positions.mat",
            "Rename_Images/catch/one/00001.jpg",
        ),
        "penn": ("labels/0001.mat", "frames/0001/000001.jpg"),
        "boxes": ("otb/groundtruth_rect.txt", "vot/groundtruth.txt", "tld/gt.txt", "tld/init.txt"),
    }
    damage: dict[str, Damage] = {".txt": repacked.damaged_text, ".json": mutations.damaged_json}
    for name, inner in files.items():
        make = getattr(datasets, name)
        door = getattr(datasets, "read_box_folder" if name == "boxes" else f"read_{name}_folder")
        for file in map(Path, inner):
            how = damage.get(file.suffix, mutations.damaged_bytes)
            yield f"data-{name}-{file.name}", Kind(make, how, door, str(file), share=0.5)
    table = datasets.attributes
    yield "data-attributes", Kind(table, mutations.damaged_csv, datasets.read_attribute_table)


def _runs() -> Iterator[tuple[str, Kind]]:
    files: dict[str, Damage] = {
        "result.json": mutations.damaged_json,
        "keypoints.json": mutations.damaged_json,
        "tracks.csv": mutations.damaged_csv,
        "boxes.csv": mutations.damaged_csv,
        "masks/00001.png": mutations.damaged_bytes,
        "marks/00000.png": mutations.damaged_bytes,
    }
    steady = made_video("stabilize", "HOME/clip.mkv", "--track", "{}", "--lock", "1", "-o", "OUT")
    more = doors.damaged_run("--point", "2@1:12,9")
    for name, damage in files.items():
        make = doors.copied_run
        yield f"stabilize-{name}", Kind(make, damage, steady, inside=name)
        yield f"run-{name}", Kind(make, damage, doors.saved_run, inside=name)
        yield f"events-{name}", Kind(make, damage, doors.events, inside=name, share=0.5)
        yield f"correct-{name}", Kind(make, damage, more, inside=name)
    yield "table-tracks", Kind(_inner("tracks.csv"), mutations.damaged_csv, doors.tracks)
    yield "table-boxes", Kind(_inner("boxes.csv"), mutations.damaged_csv, doors.box_tracks)
    kind = Kind(_inner("keypoints.json"), mutations.damaged_json, doors.keypoint_tracks)
    yield "table-keypoints", kind


def _inner(name: str) -> Callable[[Path], Path]:
    """A maker of one file of a finished run."""
    return lambda folder: doors.copied_run(folder) / name


def _all() -> Iterator[tuple[str, Kind]]:
    for kinds in (_videos, _pictures, _masks, _marks, _models, _training_data, _runs):
        yield from kinds()


KINDS: dict[str, Kind] = dict(_all())
