"""The files of a segment: their columns, with types, and what they hold.

The writer makes its Arrow schemas of these tables, the reader compares files with them, and
`lsr info` tells what a file holds.  `lsr.index.format` has the grammar.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from lsr.index.postings.quantizer import weight_dtype

# File, column, the kernels' name of it and its type; None is the type of weights.
Files = dict[str, dict[str, tuple[str, Any]]]

# Of an index with weights, a batch a partition.
PARTITION_FILES: Files = {
    "sparse_terms": {
        "term": ("sparse_terms", np.uint32),
        "start": ("sparse_starts", np.uint32),
        "maximum": ("sparse_maxima", None),
    },
    "sparse_postings": {"document": ("documents", np.uint16), "weight": ("weights", None)},
    "dense_terms": {
        "term": ("dense_terms", np.uint32),
        "posting": ("first_postings", np.uint32),
        "payload": ("payload_starts", np.uint32),
    },
    "codebooks": {"maximum": ("codebooks", None)},
    "chunks": {"start": ("chunks", np.uint16)},
    "maxima": {"codes": ("maxima", np.uint8)},
    "payload": {"bytes": ("payload", np.uint8)},
}
FLOAT_FILES: Files = {
    "floats": {"weight": ("floats", np.float32)},
    "ranks": {"first": ("ranks", np.uint16)},
}
# Of an index with weights in format 2 or 4: see `lsr.index.segments.older`.
OLD_FILES: Files = {
    "rare_terms": {
        "term": ("sparse_terms", np.uint32),
        "start": ("sparse_starts", np.uint32),
        "maximum": ("sparse_maxima", None),
    },
    "rare_postings": {"document": ("documents", np.uint16), "weight": ("weights", None)},
    "frequent_terms": {
        "term": ("dense_terms", np.uint32),
        "posting": ("first_postings", np.uint32),
        "maxima": ("maxima_starts", np.uint32),
        "payload": ("payload_starts", np.uint32),
    },
    "codebooks": {"maximum": ("codebooks", None)},
    "bitmaps": {"blocks": ("bitmaps", np.uint64)},
    "records": {"start": ("records", np.uint16)},
    "maxima": {"codes": ("maxima", np.uint8)},
    "payload": {"bytes": ("payload", np.uint8)},
}
# Of an index without weights.
LIST_FILES: Files = {
    "list_terms": {"term": ("list_terms", np.uint32), "start": ("list_starts", np.uint32)},
    "lists": {"bytes": ("lists", np.uint8)},
}
# Of every index: a row a document, or 8 of them in a byte.
DOCUMENTS = {
    "id": pa.large_string(),
    "by_id": pa.uint32(),
    "position": pa.uint32(),
    "terms": pa.uint32(),
}
ALIVE = {"bits": pa.uint8()}
STORED = {"title": pa.large_string(), "text": pa.large_string()}

CONTENTS = {
    "payload": "dense terms: which documents, and weights",
    "maxima": "dense terms: bounds of blocks",
    "chunks": "dense terms: offsets in the payload",
    "codebooks": "dense terms: what the bounds stand for",
    "dense_terms": "dense terms: directory",
    "sparse_postings": "sparse terms: documents and weights",
    "sparse_terms": "sparse terms: directory",
    "lists": "which documents have a term",
    "list_terms": "terms: directory",
    "documents": "ids, order, positions",
    "alive": "which documents exist",
    "floats": "weights as given",
    "ranks": "offsets in the weights as given",
    "stored": "titles and texts, compressed",
    "vocabulary": "words of the terms",
}
# Of the files that only formats 2 and 4 have.
OLD_CONTENTS = {
    "bitmaps": "dense terms: blocks with postings",
    "records": "dense terms: offsets in the payload",
    "frequent_terms": "dense terms: directory",
    "rare_postings": "sparse terms: documents and weights",
    "rare_terms": "sparse terms: directory",
}


def partition_files(bits: int, floats: bool) -> Files:
    """The files with a batch a partition, of an index with these bits, with or without floats."""
    if bits == 1:
        return LIST_FILES
    return PARTITION_FILES | (FLOAT_FILES if floats else {})


def old_files(floats: bool) -> Files:
    """The same of an index with weights in format 2 or 4."""
    return OLD_FILES | (FLOAT_FILES if floats else {})


def partition_types(bits: int, columns: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """The NumPy types of the columns of such a file."""
    weight = weight_dtype(bits)
    return {name: kind or weight for name, (_, kind) in columns.items()}


def partition_schemas(bits: int, floats: bool) -> dict[str, pa.Schema]:
    """The Arrow schemas of these files."""
    return {
        file: pa.schema(
            [(name, pa.from_numpy_dtype(t)) for name, t in partition_types(bits, columns).items()]
        )
        for file, columns in partition_files(bits, floats).items()
    }
