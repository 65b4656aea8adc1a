"""Contact sheets of a benchmark: a row per method, the truth first, a column per moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from chromatrack.atomic import replace_file
from chromatrack.viz.overlays import contact_sheet


def write_sheet(
    path: Path,
    rows: Mapping[str, Sequence[np.ndarray]],
    *,
    columns: Sequence[str],
    title: str,
    cell_height: int = 160,
) -> None:
    """Write a PNG, and its folder where it is missing.

    Args:
        rows: by their titles, as many `(H, W, 3)` uint8 pictures as there are titles of columns.
        cell_height: pixels of a picture on the sheet.

    Raises:
        InputError: no pictures. OutputError: it cannot be written.
    """
    sheet = contact_sheet(
        list(rows.values()),
        row_titles=list(rows),
        column_titles=columns,
        title=title,
        cell_height=cell_height,
    )
    image = BytesIO()
    Image.fromarray(sheet).save(image, format="png")
    replace_file(path, image.getvalue())
