"""Joints written for other tools, and read back by them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tracked_videos import MOUSE, NAN, a_square, three_points, track, tracked_video, two_mice

from chromatrack.errors import InputError
from chromatrack.formats import coco_keypoints, deeplabcut, movement_netcdf, nwb, sleap, tapvid
from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.keypoints import read_keypoint_tracks
from chromatrack.formats.poses import distinct, poses_of

PLAIN = ExportOptions()
OFFSET = ExportOptions(start_number=1001)


def test_points_alone_are_one_individual():
    poses, notes = poses_of(three_points())
    assert poses.individuals == ("points",) and not notes
    assert poses.skeleton.names == ("eye_3", "point_4", "eye_9")
    assert poses.xy.shape == (4, 1, 3, 2) and poses.xy[0, 0, 0].tolist() == [1.25, 2]
    assert poses.visible[:, 0, 2].tolist() == [True, True, False, True]
    assert not poses.visible[3, 0, 1] and np.isnan(poses.seen[2, 0, 2]).all()


def test_points_beside_skeletons_are_told():
    both = replace(two_mice(), points=three_points(7).points)
    poses, notes = poses_of(both)
    assert poses.individuals == ("Mouse A", "keypoints_5")
    assert notes == ["points have no place beside skeletons here: left out"]


@given(st.lists(st.sampled_from(["a", "a_1", "a_2", "b", "a_"]), max_size=6))
def test_names_are_made_distinct(names):
    found = distinct([(name, number) for number, name in enumerate(names)])
    assert len(set(found)) == len(names)
    alone = [name for name in names if names.count(name) == 1]
    assert all(name in found for name in alone)


def test_coco_keypoints_read_as_they_were(tmp_path):
    mice = two_mice()
    coco_keypoints.write(mice, tmp_path / "c.json", OFFSET)
    skeleton, tracks = read_keypoint_tracks(tmp_path / "c.json")
    assert skeleton == MOUSE and list(tracks) == [2, 5]
    assert tracks[2].frames.tolist() == [1001, 1002, 1003, 1004]
    np.testing.assert_allclose(tracks[2].values, mice.keypoints[2].values)
    np.testing.assert_array_equal(tracks[2].visible, mice.keypoints[2].visible)
    data = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert data["images"][0]["width"] == 80 and data["images"][0]["height"] == 60
    first = next(row for row in data["annotations"] if row["track_id"] == 5)
    joints = mice.keypoints[5].values[0]
    x, y, width, height = first["bbox"]
    assert [x, y] == pytest.approx(joints.min(axis=0).tolist())
    assert [x + width, y + height] == pytest.approx(joints.max(axis=0).tolist())
    assert first["area"] == pytest.approx(width * height, abs=0.01) and first["iscrowd"] == 0


def test_coco_keypoints_bear_the_names_that_were_given_and_no_others(tmp_path):
    coco_keypoints.write(two_mice(), tmp_path / "c.json", PLAIN)
    rows = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["annotations"]
    assert {(row["track_id"], row.get("name")) for row in rows} == {(2, "Mouse A"), (5, None)}


def test_coco_keypoints_are_read_by_sleap_io(tmp_path):
    sio = pytest.importorskip("sleap_io")
    coco_keypoints.write(two_mice(), tmp_path / "c.json", PLAIN)
    for number in range(7, 11):
        Image.new("RGB", (80, 60)).save(tmp_path / f"{number:05d}.jpg")
    labels = sio.load_coco(str(tmp_path / "c.json"), dataset_root=str(tmp_path))
    assert labels.skeletons[0].node_names == list(MOUSE.names)
    assert labels.skeletons[0].edge_inds == [(0, 1), (0, 2)]
    first = labels.labeled_frames[0].instances[1].numpy()
    np.testing.assert_allclose(first, two_mice().keypoints[5].values[0], atol=1e-3)


def read_dlc(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_deeplabcut_csv_of_one_and_of_many(tmp_path):
    deeplabcut.write_csv(two_mice(), tmp_path / "m.csv", PLAIN)
    rows = read_dlc(tmp_path / "m.csv")
    assert [row[0] for row in rows] == [
        *("scorer", "individuals", "bodyparts", "coords", "7", "8", "9", "10"),
    ]
    assert rows[1][1:10] == ["Mouse A"] * 9 and rows[2][7] == "tail, base"
    assert rows[3][1:4] == ["x", "y", "likelihood"]
    assert rows[5][4:6] == ["", ""] and 0 < float(rows[5][6]) < 1  # a guess has no place
    assert float(rows[4][1]) == pytest.approx(two_mice().keypoints[2].values[0, 0, 0])
    deeplabcut.write_csv(three_points(), tmp_path / "p.csv", OFFSET)
    rows = read_dlc(tmp_path / "p.csv")
    assert [row[0] for row in rows[:4]] == ["scorer", "bodyparts", "coords", "1001"]
    assert rows[3][1:4] == ["1.25", "2", "1"]


def test_deeplabcut_is_read_by_movement(tmp_path):
    load_poses = pytest.importorskip("movement.io.load_poses")
    mice = two_mice()
    poses, _ = poses_of(mice)
    deeplabcut.write_csv(mice, tmp_path / "m.csv", PLAIN)
    deeplabcut.write_h5(mice, tmp_path / "m.h5", PLAIN)
    for name in ("m.csv", "m.h5"):
        read = load_poses.from_dlc_file(tmp_path / name, fps=25)
        assert_same(read, poses)
        assert read.attrs["source_software"] == "DeepLabCut"


def test_deeplabcut_h5_is_read_by_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    deeplabcut.write_h5(three_points(), tmp_path / "p.h5", OFFSET)
    table = pandas.read_hdf(tmp_path / "p.h5", "df_with_missing")
    assert table.columns.names == ["scorer", "bodyparts", "coords"]
    assert table.index.tolist() == [1001, 1002, 1003, 1004]
    assert table["chromatrack"]["eye_9"]["likelihood"].tolist() == [1, 0.9, 0.3, 0.8]
    assert np.isnan(table["chromatrack"]["eye_9"]["x"].iloc[2])


def assert_same(read, poses):
    """A data set of movement says what poses say."""
    position = read["position"].transpose("time", "individuals", "keypoints", "space").values
    np.testing.assert_allclose(position, poses.seen, atol=2e-3)
    assert read["individuals"].values.tolist() == list(poses.individuals)
    assert read["keypoints"].values.tolist() == list(poses.skeleton.names)


def test_sleap_projects_are_read_by_sleap_io(tmp_path):
    sio = pytest.importorskip("sleap_io")
    mice = two_mice()
    poses, _ = poses_of(mice)
    sleap.write_project(mice, tmp_path / "m.slp", PLAIN)
    labels = sio.load_slp(str(tmp_path / "m.slp"), open_videos=False)
    assert [track.name for track in labels.tracks] == ["Mouse A", "keypoints_5"]
    assert labels.skeletons[0].node_names == list(MOUSE.names)
    assert labels.skeletons[0].edge_inds == [(0, 1), (0, 2)]
    assert [frame.frame_idx for frame in labels.labeled_frames] == [7, 8, 9, 10]
    assert labels.videos[0].filename.endswith("mouse.mp4")
    second = labels.labeled_frames[1].instances[0]
    np.testing.assert_allclose(second.numpy(invisible_as_nan=False), poses.xy[1, 0], atol=1e-4)
    assert np.isnan(second.numpy()[1]).all() and np.isfinite(second.numpy()[0]).all()
    np.testing.assert_allclose(second.numpy(scores=True)[0, 2], poses.confidence[1, 0, 0])
    assert len(labels.labeled_frames[3].instances) == 1  # the first mouse is gone


def test_sleap_projects_and_analysis_are_read_by_movement(tmp_path):
    load_poses = pytest.importorskip("movement.io.load_poses")
    mice = two_mice(first=0)
    poses, _ = poses_of(mice)
    sleap.write_project(mice, tmp_path / "m.slp", PLAIN)
    sleap.write_analysis(mice, tmp_path / "m.h5", PLAIN)
    for name in ("m.slp", "m.h5"):
        assert_same(load_poses.from_sleap_file(tmp_path / name, fps=25), poses)


def test_sleap_analysis_counts_from_the_videos_first_frame(tmp_path):
    sio = pytest.importorskip("sleap_io")
    sleap.write_analysis(two_mice(), tmp_path / "m.h5", PLAIN)
    labels = sio.load_analysis_h5(str(tmp_path / "m.h5"))
    assert [frame.frame_idx for frame in labels.labeled_frames] == [7, 8, 9, 10]
    with need("h5py", "pose", "test").File(tmp_path / "m.h5") as file:
        assert file["tracks"].shape == (2, 2, 3, 11)


def test_nwb_is_read_by_movement(tmp_path):
    load_poses = pytest.importorskip("movement.io.load_poses")
    points = three_points()
    notes = nwb.write(points, tmp_path / "p.nwb", PLAIN)
    assert len(notes) == 1 and "1970-01-01" in notes[0]
    read = load_poses.from_nwb_file(tmp_path / "p.nwb")
    poses, _ = poses_of(points)
    position = read["position"].transpose("time", "individuals", "keypoints", "space").values
    order = [read["keypoints"].values.tolist().index(name) for name in poses.skeleton.names]
    np.testing.assert_allclose(position[:, :, order], poses.seen)
    assert read.attrs["fps"] == pytest.approx(25)
    mice, _ = poses_of(two_mice())
    nwb.write(two_mice(), tmp_path / "m.nwb", PLAIN)
    read = load_poses.from_nwb_file(
        tmp_path / "m.nwb", pose_estimation_key="PoseEstimation_keypoints_5"
    )
    snout = read["position"].sel(keypoints="snout").values[..., 0]
    np.testing.assert_allclose(snout, mice.seen[:, 1, 0])


def test_nwb_holds_times_and_skeleton(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    times = np.array([0, 0.04, 0.1, 0.2])  # a variable rate
    nwb.write(replace(two_mice(), times=times), tmp_path / "m.nwb", PLAIN)
    with pynwb.NWBHDF5IO(str(tmp_path / "m.nwb"), "r") as io:
        module = io.read().processing["behavior"]
        skeleton = module["Skeletons"]["skeleton"]
        assert list(skeleton.nodes[:]) == list(MOUSE.names)
        assert skeleton.edges[:].tolist() == [[0, 1], [0, 2]]
        series = module["PoseEstimation_Mouse A"]["left ear"]
        assert series.timestamps[:].tolist() == times.tolist()
        assert np.isnan(series.data[1]).all() and np.isfinite(series.data[0]).all()


def test_tapvid_arrays_are_shares_from_the_corner(tmp_path):
    tapvid.write(three_points(), tmp_path / "p.npz", PLAIN)
    with np.load(tmp_path / "p.npz") as read:  # no pickles inside
        points, occluded = read["points"], read["occluded"]
        assert read["names"].tolist() == ["eye_3", "point_4", "eye_9"]
        assert read["size"].tolist() == [60, 80] and read["frames"].tolist() == [0, 1, 2, 3]
    assert points.shape == (3, 4, 2) and points.dtype == np.float32
    np.testing.assert_allclose(points[0, 0], [1.75 / 80, 2.5 / 60])
    assert occluded.tolist()[2] == [False, False, True, False] and occluded[1, 3]
    assert np.isfinite(points).all()


def test_movement_sets_are_as_movement_makes_them(tmp_path):
    xarray = pytest.importorskip("xarray")
    datasets = pytest.importorskip("movement.validators.datasets")
    kinematics = pytest.importorskip("movement.kinematics")
    mice = two_mice()
    movement_netcdf.write_poses(mice, tmp_path / "m.nc", PLAIN)
    read = xarray.load_dataset(tmp_path / "m.nc", engine="h5netcdf")
    datasets.ValidPosesInputs.validate(read)
    poses, _ = poses_of(mice)
    assert_same(read, poses)
    np.testing.assert_allclose(read["time"].values, mice.times)
    assert read.attrs["fps"] == 25 and read.attrs["ds_type"] == "poses"
    speed = kinematics.compute_speed(read["position"]).sel(individuals="keypoints_5")
    apart = np.hypot(*(poses.xy[2, 1] - poses.xy[0, 1]).T) * 25 / 2
    np.testing.assert_allclose(speed.isel(time=1).values, apart)


def test_movement_boxes_are_centres_and_sides(tmp_path):
    xarray = pytest.importorskip("xarray")
    datasets = pytest.importorskip("movement.validators.datasets")
    square = a_square()
    boxes = {2: track([[0, 1, 10, 8], [1.5, 1, 10, 8], [NAN] * 4, [NAN] * 4])}
    movement_netcdf.write_boxes(replace(square, boxes=boxes), tmp_path / "b.nc", PLAIN)
    read = xarray.load_dataset(tmp_path / "b.nc", engine="h5netcdf")
    datasets.ValidBboxesInputs.validate(read)
    assert read["individuals"].values.tolist() == ["box of tea", "box_2"]
    tea = read["position"].sel(individuals="box of tea").values
    np.testing.assert_allclose(tea[:3], [[9.5, 24.5], [11.5, 24.5], [13.5, 24.5]])
    assert np.isnan(tea[3]).all()  # absent
    one = read.sel(individuals="box_2")
    np.testing.assert_allclose(one["position"].values[:2], [[4.5, 4.5], [6, 4.5]])
    np.testing.assert_allclose(one["shape"].values[0], [10, 8])


def test_a_missing_extra_is_named_in_one_line():
    with pytest.raises(InputError, match=r"sleep needs nonsense, which .*chromatrack\[pose\]"):
        need("nonsense.module", "pose", "sleep")


def test_a_video_of_one_frame_can_be_written(tmp_path):
    one = tracked_video(count=1, points={1: track([[3, 4]])})
    deeplabcut.write_csv(one, tmp_path / "p.csv", PLAIN)
    assert len(read_dlc(tmp_path / "p.csv")) == 4
