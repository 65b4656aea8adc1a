"""A file of marks of any format, read once and kept as a folder of our own files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chromatrack.atomic import check_output_folder
from chromatrack.errors import InputError
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.mark_files import reader_of
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.own_marks import LIST, OWN_NAMES, is_own, write_own_marks
from chromatrack.formats.picture_names import Numbers
from chromatrack.runs.file_names import keep_runs
from chromatrack.runs.staging import Staging
from chromatrack.structures import Source
from chromatrack.tracking.marked_video import marked_lines, marked_source, understood
from chromatrack.tracking.marks import Marks


@dataclass(frozen=True)
class Imported:
    """Marks of a file, and what was understood of them.

    format: what the file is. size: (height, width) px of the pictures, None where neither file nor
    video says it. text: a line for everything marked.
    """

    format: str
    marks: FileMarks
    source: MarkedSource
    size: tuple[int, int] | None
    text: str


def import_file(
    file: Path,
    video: Source | None = None,
    *,
    numbers: Numbers = "auto",
    video_name: str | None = None,
) -> Imported:
    """Read a file of marks.

    Args:
        video: what they are for: says what names of pictures mean and which size counts. None: the
            size is that of the file, and numbers count frames.
        numbers, video_name: as in `marked_source`.

    Raises:
        InputError: no format that is known, not as it should be, or no video where it takes one.
        VideoError: the video cannot be read.
    """
    given = GivenFile(file)
    reader = reader_of(given)
    size = None
    if video is not None:
        source = marked_source(video, numbers=numbers, video_name=video_name)
        size = source.size
    else:
        size = reader.stated_size(given)
        if size is None and reader.size is not None and reader.needs_size:
            raise InputError(f"'{file}': does not say how large its pictures are; add --video")
        source = MarkedSource(file.stem, size or (1, 1), numbers="index", video_name=video_name)
    found = reader.read(given, source)
    marks = Marks(
        **vars(found),
        names=source.names,
        colors=source.colors,
        categories=source.categories,
    )
    head = f"{file}: {reader.name}"
    if video is None:
        said = "no video given: frames are counted from 0, and not checked"
        text = "\n".join([head, *marked_lines(marks, source), said])
    else:
        text = understood(marks, source, last="")
        text = f"{head}\n{text}".rstrip("\n")
    return Imported(reader.name, found, source, size, text)


def write_imported(imported: Imported, output: Path, *, reads: Path) -> None:
    """Write marks as a folder of our own files, whole or not at all.

    Args:
        output: new, empty, an earlier one of the kind, or with things of other names.
        reads: what the marks were read from, which stays.

    Raises:
        InputError: something of others is in the way. OutputError: it cannot be written.
    """
    keep_runs(output)
    check_output_folder(
        output, OWN_NAMES, kind="imported marks", is_ours=is_own(output), reads=[reads]
    )
    old = _old_files(output) if is_own(output) else []
    with Staging(output) as stage:
        source = imported.source
        write_own_marks(
            stage.path,
            imported.marks,
            source.names,
            imported.size,
            colors=source.colors,
            categories=source.categories,
        )
        stage.put_in_place(last=stage.path / LIST, removed=old)


def _old_files(folder: Path) -> list[Path]:
    """What an earlier import wrote: files, then the folder of masks."""
    files = [folder / name for name in OWN_NAMES if (folder / name).is_file()]
    masks = folder / "masks"
    return [*files, *masks.glob("[0-9]*.png"), *([masks] if masks.is_dir() else [])]
