"""The value of every query as a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lsr.errors import LsrError
from lsr.eval.results import Result
from lsr.files import replacing


def write_per_query(path: Path, results: Sequence[Result]) -> None:
    """Write a row for each result, measure and judged query, all or nothing.

    Columns: dataset, encoder, query, measure (strings), value (float64).  Raises `LsrError`
    when the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (result.dataset, result.encoder, query, measure, value)
        for result in results
        for measure, values in result.scores.per_query.items()
        for query, value in values.items()
    ]
    names = ("dataset", "encoder", "query", "measure", "value")
    schema = pa.schema([*((name, pa.string()) for name in names[:-1]), (names[-1], pa.float64())])
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema)
    buffer = pa.BufferOutputStream()  # so that a full disk is an error of this file
    pq.write_table(table, buffer, compression="zstd")
    try:
        with replacing(path) as file:
            file.write(buffer.getvalue())
    except OSError as error:
        raise LsrError(f"{path} cannot be written: {error.strerror or error}") from error
