"""Whole tables of tracked things, written frame by frame as a run writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from chromatrack.formats.csv_tables import BOX, POINT, TableWriter
from chromatrack.formats.keypoints import KeypointWriter
from chromatrack.structures import Skeleton


def write_tracks(path: Path, rows: Iterable[tuple]) -> None:
    with TableWriter(path, POINT) as writer:
        for row in rows:
            writer.write(*row)


def write_box_tracks(path: Path, rows: Iterable[tuple]) -> None:
    with TableWriter(path, BOX) as writer:
        for row in rows:
            writer.write(*row)


def write_keypoints(path: Path, skeleton: Skeleton, rows: Iterable[tuple]) -> None:
    with KeypointWriter(path, skeleton) as writer:
        for row in rows:
            writer.write(*row)
