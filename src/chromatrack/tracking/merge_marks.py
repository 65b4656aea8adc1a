"""Marks said anew: which labels they speak of, later ones over earlier ones, some of them only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

import numpy as np

from chromatrack.propagation.label_maps import object_ids
from chromatrack.structures import BoxMark, KeypointMark, LabelName, LostMark, PointMark
from chromatrack.tracking.marks import Marks

_Dated = TypeVar("_Dated", PointMark, BoxMark, LostMark)


def marked_labels(marks: Marks) -> dict[LabelName, set[int]]:
    """label -> the frames on which it is shown or declared lost."""
    found: dict[LabelName, set[int]] = {}
    for frame, mask in marks.masks.items():
        for i in object_ids([mask]):
            found.setdefault(("object", i, 0), set()).add(frame)
    for kind, dated in (("object", marks.lost), ("box", marks.boxes), ("point", marks.points)):
        for mark in dated:
            found.setdefault((kind, mark.id, 0), set()).add(mark.frame)
    for pose in marks.keypoints:
        for number in (said_joints(pose)).nonzero()[0].tolist():
            found.setdefault(("joint", pose.id, number), set()).add(pose.frame)
    return found


def said_joints(pose: KeypointMark) -> np.ndarray:
    """`(J,)` bool: joints marked or declared lost."""
    return np.isfinite(pose.joints).all(axis=1) | pose.lost


def merge_marks(old: Marks, new: Marks) -> Marks:
    """All marks; where both speak of one label on one frame, the new one holds.

    Args:
        old, new: masks of one size, poses of one id with equally many joints.
    """
    masks = {frame: _without_said(mask, frame, new) for frame, mask in old.masks.items()}
    for frame, mask in new.masks.items():
        masks[frame] = np.where(mask > 0, mask, masks.get(frame, np.zeros_like(mask)))
    said = marked_labels(new)
    lost = [m for m in old.lost if m.frame not in said.get(("object", m.id, 0), ())]
    return Marks(
        {frame: mask for frame, mask in masks.items() if mask.any()},
        _renewed(old.points, new.points),
        _renewed(old.boxes, new.boxes),
        _merge_poses([*old.keypoints, *new.keypoints]),
        _renewed(lost, new.lost),
    )


def _without_said(mask: np.ndarray, frame: int, new: Marks) -> np.ndarray:
    said = [mark.id for mark in new.lost if mark.frame == frame]
    if frame in new.masks:
        said += object_ids([new.masks[frame]])
    return np.where(np.isin(mask, said), 0, mask) if said else mask


def _renewed(old: Collection[_Dated], new: Collection[_Dated]) -> list[_Dated]:
    merged = {(mark.id, mark.frame): mark for mark in [*old, *new]}
    return [merged[key] for key in sorted(merged)]


def _merge_poses(poses: Collection[KeypointMark]) -> list[KeypointMark]:
    merged: dict[tuple[int, int], KeypointMark] = {}
    for pose in poses:
        key = pose.id, pose.frame
        if key in merged:
            said, under = said_joints(pose), merged[key]
            joints = np.where(said[:, None], pose.joints, under.joints)
            pose = replace(pose, joints=joints, lost=np.where(said, pose.lost, under.lost))
        merged[key] = pose
    return [merged[key] for key in sorted(merged)]


def only(marks: Marks, labels: Collection[LabelName]) -> Marks:
    """The marks that speak of `labels`, and nothing else that stands on the same frames."""
    wanted = set(labels)
    ids = [i for kind, i, _ in wanted if kind == "object"]
    masks = {f: np.where(np.isin(mask, ids), mask, 0) for f, mask in marks.masks.items()}
    poses = []
    for pose in marks.keypoints:
        told = np.array([("joint", pose.id, n) in wanted for n in range(len(pose.joints))])
        joints = np.where(told[:, None], pose.joints, np.nan)
        pose = replace(pose, joints=joints, lost=pose.lost & told)
        poses += [pose] if said_joints(pose).any() else []
    return Marks(
        {frame: mask for frame, mask in masks.items() if mask.any()},
        [mark for mark in marks.points if ("point", mark.id, 0) in wanted],
        [mark for mark in marks.boxes if ("box", mark.id, 0) in wanted],
        poses,
        [mark for mark in marks.lost if ("object", mark.id, 0) in wanted],
    )
