"""`lsr export`."""

from __future__ import annotations

import math
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lsr.cli.options import output_option, writable
from lsr.data.interchange import FORMATS, is_compressed, load, named
from lsr.progress import Progress
from lsr.terminal import note

if TYPE_CHECKING:
    from lsr.data.interchange.base import Source


format_option = click.option(
    "--format",
    type=click.Choice(list(FORMATS)),
    help="Format of FILE (default: by its name; needed to write .jsonl).",
)


@click.command()
@click.argument("vectors", type=click.Path(path_type=Path))
@output_option(
    "The file to write; an existing file is replaced.", "FILE", required=True, callback=writable
)
@format_option
@click.option(
    "--scale",
    type=float,
    metavar="S",
    help="Write weights times S, as integers of at least 1.  [default: none; ciff: 255 / largest]",
)
def export(vectors: Path, output: Path, format: str | None, scale: float | None) -> None:
    """Export VECTORS, a folder of encoded vectors or an index, to another program's format.

    \b
    jsonvectors   .jsonl  {"id", "contents", "vector": {token: weight}}: Anserini, Pyserini
    seismic       .jsonl  {"id", "content", "vector": {token: weight}}: pyseismic-lsr
    pyterrier     .jsonl  {"docno", "text", "toks": {token: weight}}: PyTerrier, PISA, BMP
    npz           .npz    rows of scipy.sparse.load_npz; FILE.ids and FILE.words beside it
    csr           .csr    rows of big-ann-benchmarks; FILE.ids and FILE.words beside it
    ciff          .ciff   an inverted index with 8-bit impacts: PISA, BMP, JASS, …

    \b
    lsr export nfcorpus -o nfcorpus.ciff
    lsr export nfcorpus -o nfcorpus.jsonl.gz --format jsonvectors --scale 100
    lsr export vectors -o vectors.npz

    JSON lines are compressed if the name ends in .gz or .zst. An index is exported with its
    quantized weights, or with the original ones if it was built with --keep-floats.
    """
    if scale is not None and not 0 < scale < math.inf:
        raise click.UsageError(f"--scale must be above 0, not {scale:g}.")
    name = format_to_write(output, format)
    from lsr.storage.files import replacing

    if scale is not None and not FORMATS[name].integers:
        raise click.UsageError(f"{name} stores weights as floats; leave out --scale.")
    with ExitStack() as closing:
        source = open_source(vectors, output, closing)
        file = closing.enter_context(replacing(output))
        remark = load(name).write(file, output, source, scale, Progress)
    note(f"{output}: {source.documents:,} documents, {source.postings:,} postings. {remark}")


def format_to_write(file: Path, format: str | None) -> str:
    """The format given, or the format of the name; a usage error if that is not unique."""
    names = named(file)
    if format is None and len(names) != 1:
        raise click.UsageError(
            f"{file.name} can be {', '.join(names)}; choose with --format."
            if names
            else f"The name {file.name} does not tell the format; give --format."
        )
    name = format or names[0]
    check_name(file, name)
    return name


def check_name(file: Path, format: str) -> None:
    """Refuse a file whose name means another format, or compression."""
    names = named(file)
    if names and format not in names:
        raise click.UsageError(
            f"{file.name} is a name of another format than {format}; rename the file or change "
            "--format."
        )
    if is_compressed(file) and not FORMATS[format].lines:
        raise click.UsageError(
            f"{format} files cannot be compressed; unpack or rename {file.name}."
        )


def open_source(vectors: Path, output: Path, closing: ExitStack) -> Source:
    """A folder of vectors, or an index, whose documents wait in order beside the output."""
    from lsr.data.vectors.folder import VectorFolder
    from lsr.data.vectors.manifest import is_vector_folder
    from lsr.errors import LsrError
    from lsr.index.format import is_index
    from lsr.index.reader import IndexReader
    from lsr.indexing.read_back import IndexVectors

    if is_vector_folder(vectors):
        return VectorFolder.open(vectors)
    if not is_index(vectors):
        raise LsrError(
            f"{vectors} is neither a folder of encoded vectors nor an index: it has no "
            "manifest.json; make one with `lsr encode` or `lsr index`"
        )
    scratch = tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.absolute().parent)
    rows = Path(closing.enter_context(scratch)) / "rows"
    return IndexVectors(IndexReader.open(vectors), rows, Progress)
