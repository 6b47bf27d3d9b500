"""`lsr import`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lsr.cli.commands.export import check_name, format_option
from lsr.cli.options import flag, output_option
from lsr.data.interchange import detect, load
from lsr.data.streams import is_pipe
from lsr.errors import CorpusError, LsrError
from lsr.progress import Progress
from lsr.terminal import note

if TYPE_CHECKING:
    from lsr.data.corpus import Chunk
    from lsr.data.interchange.vocabulary import Given

_MOST_UNUSED = 1 << 16  # terms of a model beyond those of its tokenizer: they pad to round numbers


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@output_option("The folder of encoded vectors to write.", "VECTORS", required=True)
@format_option
@click.option(
    "--vocabulary",
    metavar="V",
    help="Words of the term ids: a file with one token per line, a folder with a tokenizer, or the "
    "name of a model.",
)
@flag("--force", "Replace existing encoded vectors.")
def import_(
    file: Path, output: Path, format: str | None, vocabulary: str | None, force: bool
) -> None:
    """Import encoded vectors of another program from FILE.

    The formats are those of `lsr export`; JSON lines may be compressed (.gz, .zst). With
    --vocabulary, tokens get its term ids, and tokens in digits are term ids; otherwise tokens get
    ids in order of appearance. In matrices and CIFF, term ids must be within the vocabulary.

    \b
    lsr import passages.jsonl.gz -o passages --vocabulary naver/splade-v3
    lsr import base_small.csr -o base_small
    lsr import index.ciff -o vectors
    """
    from lsr.data.vectors.folder import VectorFolder, check_output, write_vectors

    check_output(output.absolute(), force)
    name = _format_to_read(file, format)
    words = None if vocabulary is None else _vocabulary(vocabulary)
    reader = load(name).reader(file, words)
    with Progress("Importing", "documents", fraction=lambda: reader.fraction) as bar:

        def chunks() -> Iterator[Chunk]:
            chunk = None
            for chunk in reader:
                yield chunk
                bar.advance(len(chunk.ids))
            if chunk is None:
                raise CorpusError(f"{file} holds no documents; check that it is the right file")

        write_vectors(output, chunks(), words=reader.words, force=force)
    written = VectorFolder.open(output)
    note(f"{output}: {written.documents:,} documents, {written.postings:,} postings")


def _format_to_read(file: Path, format: str | None) -> str:
    if not file.exists():
        raise LsrError(f"{file} does not exist; check the path")
    if file.is_dir():
        raise LsrError(f"{file} is a folder; name a file")
    if is_pipe(file):
        raise LsrError(
            f"{file} can be read only once, and an import reads its beginning twice; save it to a "
            "file"
        )
    name = format or detect(file)
    if name is None:
        raise click.UsageError(
            f"Neither the name nor the first record of {file.name} tells its format; give --format."
        )
    check_name(file, name)
    return name


def _vocabulary(name: str) -> Given:
    """The words in a text file, or those of a model's tokenizer."""
    from lsr.data.interchange.vocabulary import Given, read_words

    if Path(name).is_file():
        return read_words(Path(name))
    from lsr.encoders.checkpoints.checkpoint import find, read_json
    from lsr.encoders.checkpoints.layouts import check_tokenizer, read_layout
    from lsr.encoders.text.tokens import Tokens, TokenVocabulary

    folder = find(name).folder
    if (folder / "modules.json").exists():
        folder = read_layout(folder, None, None).document_folder
    check_tokenizer(folder)
    tokens = Tokens(folder, max_length=256)
    # A model may have more terms than its tokenizer has tokens.
    size = tokens.size
    if (folder / "config.json").exists():
        terms = read_json(folder / "config.json").get("vocab_size")
        if isinstance(terms, int) and terms < size + _MOST_UNUSED:
            size = max(size, terms)
    words = TokenVocabulary(tokens.vocabulary, size)
    return Given(name, [words[term] for term in range(size)])
