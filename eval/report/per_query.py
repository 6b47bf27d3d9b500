"""The value of every query as a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from lsr.eval.results import Result
from lsr.storage.files import write_atomically, writing


def write_per_query(path: str | PathLike[str], results: Sequence[Result]) -> None:
    """Write `per_query`, all or nothing; raises `SystemCallError` when it cannot be written."""
    with writing(Path(path)):
        write_atomically(Path(path), per_query(results))


def per_query(results: Sequence[Result]) -> bytes:
    """A Parquet file with a row for each result, measure and judged query.

    Columns: dataset, encoder, query, measure (strings), value (float64).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (result.dataset, result.encoder, query, measure, value)
        for result in results
        for measure, values in result.scores.per_query.items()
        for query, value in values.items()
    ]
    names = ["dataset", "encoder", "query", "measure", "value"]
    types = [pa.string()] * 4 + [pa.float64()]
    columns = [pa.array([row[column] for row in rows], kind) for column, kind in enumerate(types)]
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, names), buffer, compression="zstd")
    return bytes(buffer.getvalue())
