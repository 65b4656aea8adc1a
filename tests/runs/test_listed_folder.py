"""Exports into a folder that is there: old files of ours go, the user's stay; and stopped ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_results import hand_result, squares

from chromatrack.errors import InputError
from chromatrack.formats.exchange import FORMATS, ExportOptions
from chromatrack.runs.export import export_run
from chromatrack.runs.listed_folder import listed_files, listed_folder


def named(name: str, *, frames: int = 3):
    masks = squares({1: [(5 + n, 5) for n in range(frames)]})
    return replace(hand_result(masks=masks), names={("object", 1): name})


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def export(result, folder: Path, name: str = "after-effects", **more):
    return export_run(result, name, folder, overwrite=True, earlier=(), **more)


def test_an_old_name_goes_and_what_the_user_put_there_stays(tmp_path):
    folder = tmp_path / "exports" / "after-effects"
    export(named("object 1"), folder)
    assert set(contents(folder)) == {"object 1.txt"}
    (folder / "notes.txt").write_text("mine")
    (folder / "object 1.png").write_bytes(b"mine, too")
    export(named("boy with bike"), folder)
    assert set(contents(folder)) == {"boy with bike.txt", "notes.txt", "object 1.png"}
    assert [file.name for file in listed_files(folder)] == ["boy with bike.txt"]
    left = [path.name for path in folder.parent.iterdir()]
    assert sorted(left) == [".after-effects.files.json", "after-effects"]


def test_fewer_frames_leave_no_old_ones_and_no_empty_folders(tmp_path):
    folder = tmp_path / "davis"
    export(named("a", frames=3), folder, "davis")
    export(named("a", frames=2), folder, "davis")
    assert len(contents(folder)) == 2 == len(listed_files(folder))
    export(replace(named("a"), video_path="other.mp4"), folder, "davis")
    assert [path.name for path in (folder / "Annotations").iterdir()] == ["other"]


def test_a_file_of_the_users_under_a_name_of_ours_is_never_written_over(tmp_path):
    folder = tmp_path / "labelme"
    folder.mkdir()
    mine = folder / "00001.json"
    mine.write_text("{}")
    with pytest.raises(InputError, match=r"labelme/00001.json: is there already, and not as an"):
        export(named("a"), folder, "labelme")
    assert contents(folder) == {"00001.json": b"{}"}
    mine.unlink()
    export(named("a"), folder, "labelme")
    before = contents(folder)
    mine.write_text(mine.read_text() + "corrected")
    told = []
    with pytest.raises(InputError, match=r"00001\.json: is there already"):
        export(named("b"), folder, "labelme", options=ExportOptions(progress=told.append))
    assert not told  # at once, not after all was written
    assert contents(folder) == before | {"00001.json": mine.read_bytes()}


def test_what_track_exported_may_be_replaced_and_goes(tmp_path):
    folder = tmp_path / "after-effects"
    export_run(named("first"), "after-effects", folder, overwrite=True)  # as `track --export`
    known = [folder / "first.txt", tmp_path / "elsewhere.txt", folder]
    export_run(named("second"), "after-effects", folder, overwrite=True, earlier=known)
    assert set(contents(folder)) == {"second.txt"}


def test_links_are_neither_removed_nor_written_through(tmp_path):
    folder, outside = tmp_path / "after-effects", tmp_path / "outside.txt"
    export(named("a"), folder)
    outside.write_bytes((folder / "a.txt").read_bytes())
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(outside)
    with pytest.raises(InputError, match=r"a\.txt: is there already"):
        export(named("b"), folder)
    assert outside.is_file() and (folder / "a.txt").is_symlink()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", '{"files": 1}', '{"files": {"../../x.txt": 1, "/x.txt": 1, "x.txt": []}}'],
)
def test_a_list_that_is_not_ours_lets_nothing_be_removed(tmp_path, content):
    home = tmp_path / "a" / "b"
    folder, outside = home / "after-effects", tmp_path / "a" / "x.txt"
    folder.mkdir(parents=True)
    outside.write_bytes(b"1")
    (home / ".after-effects.files.json").write_text(content)
    export(named("n"), folder)
    assert outside.is_file() and set(contents(folder)) == {"n.txt"}


def test_capitals_alone_are_changed(tmp_path):
    folder = tmp_path / "after-effects"
    export(named("cow"), folder)
    export(named("Cow"), folder)
    (only,) = contents(folder)
    assert only.lower() == "cow.txt"


def test_a_folder_that_fails_is_as_it_was(tmp_path):
    folder = tmp_path / "frames"
    with listed_folder(folder) as made:
        (made / "1").write_bytes(b"1")
    with pytest.raises(KeyboardInterrupt), listed_folder(folder) as made:
        (made / "2").write_bytes(b"2")
        raise KeyboardInterrupt
    assert contents(folder) == {"1": b"1"} and len(list(tmp_path.iterdir())) == 2


# -- how far it is ---------------------------------------------------------------------------


def everything():
    nan = np.nan
    return hand_result(
        masks=squares({1: [(5, 5), (6, 5), (7, 6)], 2: [None, (12, 8), (13, 8)]}),
        points={3: np.array([[1.25, 2.0], [nan, nan], [3.0, 4.5]])},
        boxes={4: np.array([[0.0, 1, 10, 8], [1.5, 1, 10, 8], [nan] * 4])},
    )


PLAIN = [one for one in FORMATS if one.extra is None and not one.writer.startswith("runs.")]


@pytest.mark.parametrize("one", PLAIN, ids=lambda one: one.name)
def test_every_format_tells_how_far_it_is_and_can_be_stopped(one, tmp_path):
    told = []

    def tell(what, done, total):
        told.append((what, done, total))

    first = everything()
    target = tmp_path / f"out{one.suffix}"
    export(first, target, one.name, options=ExportOptions(progress=tell))
    counts = [done for _, done, _ in told]
    assert {(what, total) for what, _, total in told} == {("export", 3)}
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 3
    if "object" in one.kinds and one.name not in ("edl", "fcpxml"):
        assert {0, 1, 2, 3} == set(counts)  # masks are read frame by frame

    def files():
        return contents(target) if one.is_folder else target.read_bytes()

    before = files()

    def stop(what, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(
            replace(first, names={("object", 1): "new"}),
            target,
            one.name,
            options=ExportOptions(progress=stop),
        )
    assert files() == before
    assert all("chromatrack-" not in path.name for path in tmp_path.iterdir())
