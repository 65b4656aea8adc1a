"""STORE/index.csv, and index.parquet where pyarrow is there: a row per job of the manifest."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from chromatrack.batch.job import Job
from chromatrack.batch.store import JOBS, Store

COLUMNS = (
    "job", "state", "command", "video", "frames", "seconds", "frames_per_second", "reliability",
    "look_at", "tries", "message", "output",
)  # fmt: skip
"""seconds: of wall time in the worker. reliability: of the thing trusted least, its mean. look_at:
how many ranges of frames want to be looked at. output: folder, from the store's."""

_NUMBERS = {
    **{name: "int64" for name in ("frames", "look_at", "tries")},
    **{name: "float64" for name in ("seconds", "frames_per_second", "reliability")},
}


def index_rows(
    jobs: Sequence[Job], records: Mapping[str, Mapping[str, Any]], *, running: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """A row per job in the manifest's order, with the columns above; None: nothing is known."""
    rows = []
    for job in jobs:
        record = records.get(job.name, {"state": "running" if job.name in running else "waiting"})
        row = {name: record.get(name) for name in COLUMNS}
        row |= {"job": job.name, "command": job.command, "video": job.video}
        if record["state"] in ("done", "damaged"):
            row["output"] = f"{JOBS}/{job.name}"
        rows.append(row)
    return rows


def write_index(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the tables; they are replaced whole. Raises OutputError."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list[str](COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    store.put(text.getvalue(), "index.csv")
    if find_spec("pyarrow") is not None:
        store.put(_parquet(rows), "index.parquet")


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [(name, _NUMBERS.get(name, "string")) for name in COLUMNS]
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in kinds])
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), content)
    return content.getvalue()
