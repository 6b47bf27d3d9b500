"""A judged dataset: queries, judgments, and where its documents are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

from lsr.arguments import named
from lsr.data.builtin import COLLECTIONS
from lsr.data.corpus import open_corpus
from lsr.data.datasets import CATALOGUE, entry_of, find_dataset
from lsr.data.download import md5_of
from lsr.data.queries import read_queries
from lsr.data.sources import IRDS, irds_dataset, reading_irds
from lsr.data.streams import in_zip, is_pipe, locate
from lsr.errors import CorpusError
from lsr.eval.measures import parse_measures
from lsr.eval.qrels import place_of, read_qrels
from lsr.eval.results import Qrels
from lsr.progress import Progress


@dataclass(frozen=True, slots=True)
class Dataset:
    """The judged queries of a collection and what to measure on them.

    Attributes:
        name: such as "nfcorpus".
        documents: where they are, for `open_corpus`.
        queries: id -> text of those that are judged.
        qrels: of these queries.
        measures: ir-measures names.
        split: of the judgments; "" where they come without.
        leaves_out_own: whether the document with a query's own id is left out (BEIR's protocol
            for ArguAna and Quora).
        judgments: where they are, for messages.
        checksums: file name -> MD5 of what was read; none for ir_datasets, which checks itself.
        counts: what there is and what does not fit together.
        remarks: the latter, a sentence each.
    """

    name: str
    documents: str
    queries: Mapping[str, str]
    qrels: Qrels
    measures: Sequence[str]
    split: str
    leaves_out_own: bool
    judgments: str
    checksums: Mapping[str, str]
    counts: Mapping[str, int] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    @property
    def collection(self) -> str:
        """What tells its documents from others: the MD5 of their file, or their id."""
        return next(iter(self.checksums.values())) if self.checksums else self.documents

    def place_of(self, query: str, document: str | None = None) -> str:
        """Where a judgment stands, as "FILE, line 7"."""
        if self.judgments.startswith(IRDS):
            return self.judgments
        return place_of(self.judgments, query, document, self.split)


def parts_of(
    source: str | PathLike[str], data: Path | None, progress: type[Progress]
) -> dict[str, str]:
    """The datasets that a user names: name -> source for `load_dataset`.

    One, but for those that are several in one zip, as CQADupStack is.

    Args:
        source: a name of `lsr.data.datasets.CATALOGUE`, unless a BEIR folder of that name is
            here; a BEIR folder or zip; a file of documents; or an id with "irds:" before it.
        data: the folder of zips where names are looked up first.

    Raises `CorpusError` when there is no such dataset, and it cannot be downloaded.
    """
    source = named("a dataset", source, error=CorpusError)
    name = source.removeprefix(IRDS)
    if source in CATALOGUE and not (Path(source) / "qrels").is_dir():
        source = str(find_dataset(source, data, progress))
    elif not source.startswith(IRDS):
        if not (Path(source).exists() or in_zip(Path(source)) or source in COLLECTIONS):
            unknown = f", and is none of the known names ({', '.join(CATALOGUE)})"
            is_path = Path(source).name != source
            raise CorpusError(
                f"{source} does not exist{'' if is_path else unknown}; check the path"
            )
        name = _name(source)
    parts = entry_of(name).parts
    return {f"{name}/{part}": f"{source}/{part}" for part in parts} if parts else {name: source}


def load_dataset(
    source: str | PathLike[str],
    split: str | None = None,
    measures: Sequence[str] = (),
    *,
    name: str | None = None,
    queries: str | PathLike[str] | None = None,
    qrels: str | PathLike[str] | None = None,
) -> Dataset:
    """Queries and judgments of a BEIR folder or zip or of ir_datasets, or from two files.

    Only judged queries are kept.

    Args:
        source: where the documents are, and the rest unless it is given apart; as all files, text
            or a path.
        split: of the judgments; None for the usual one.
        measures: None for the usual ones.
        name: None for that of the source.
        queries, qrels: files for `read_queries` and `read_qrels`.

    Raises `CorpusError` when they cannot be read or no query is judged, `QueryError` for a
    name that is no measure.
    """
    source = _lasting(source)
    queries, qrels = (None if f is None else _lasting(f) for f in (queries, qrels))
    name = name or (source.removeprefix(IRDS) if source.startswith(IRDS) else _name(source))
    entry = entry_of(source if source.startswith(IRDS) else name.partition("/")[0])
    split = split or entry.split
    measures = list(measures) or list(entry.measures)
    parse_measures(measures)  # a wrong name must not be found after an hour of encoding
    if not source.startswith(IRDS) and is_pipe(Path(source)):
        raise CorpusError(
            f"{source} can be read once, and an evaluation reads its collection several times; "
            "save it to a file first"
        )
    asked: dict[str, str]
    if queries is None and source.startswith(IRDS):
        asked = _irds_queries(source)
    else:
        asked = {query.id: query.text for query in read_queries(queries or source)}
    judgments = qrels or source
    if judgments.startswith(IRDS):
        split = ""
    judged = read_judgments(judgments, split)
    dataset = Dataset(
        name,
        source,
        {query: text for query, text in asked.items() if query in judged},
        {query: judged[query] for query in asked if query in judged},
        [str(measure) for measure in parse_measures(measures)],
        split,
        entry.leaves_out_own,
        judgments,
        _checksums(source, queries, qrels, split),
    )
    if not dataset.queries:
        where = qrels or (f"qrels/{split}.tsv" if split else "its judgments")
        raise CorpusError(f"{source}: no query of it is judged in {where}")
    return _compared(dataset, asked, judged)


def split_for_tuning(source: str | PathLike[str]) -> str | None:
    """The judgments of a dataset that are there to tune on: dev, else train.

    None where it has neither, or names them otherwise (ir_datasets has them as datasets).
    """
    source = named("a dataset", source, error=CorpusError)
    for split in () if source.startswith(IRDS) else ("dev", "train"):
        try:
            locate(Path(source), f"qrels/{split}.tsv")
        except CorpusError:  # there is none
            continue
        return split
    return None


def read_judgments(source: str | PathLike[str], split: str) -> dict[str, dict[str, int]]:
    """The judgments of an ir_datasets id, or of what `read_qrels` reads."""
    source = named("a dataset", source, error=CorpusError)
    return _irds_qrels(source) if source.startswith(IRDS) else read_qrels(source, split)


def _lasting(source: str | PathLike[str]) -> str:
    """The source of a dataset by an absolute path where it has one: it is read again later."""
    name = named("a dataset", source, error=CorpusError)
    path = Path(name)
    return str(path.absolute()) if path.exists() or in_zip(path) else name


def _compared(dataset: Dataset, asked: Mapping[str, str], judged: Qrels) -> Dataset:
    """The dataset with what of its queries and judgments does not fit together."""
    unjudged = len(asked) - len(dataset.queries)
    unknown = [query for query in judged if query not in asked]
    counts = {
        "queries": len(dataset.queries),
        "judgments": sum(map(len, dataset.qrels.values())),
        "queries_without_judgments": unjudged,
        "judged_queries_missing": len(unknown),
    }
    remarks = []
    if unjudged:
        remarks.append(f"{unjudged:,} of {len(asked):,} queries have no judgments and are left out")
    if unknown:
        remarks.append(
            f"{len(unknown):,} of {len(judged):,} judged queries are not among the queries and "
            f"are left out, the first {unknown[0]!r} ({dataset.place_of(unknown[0])})"
        )
    return replace(dataset, counts=counts, remarks=remarks)


def _name(source: str) -> str:
    return open_corpus(source).name


def _checksums(source: str, queries: str | None, qrels: str | None, split: str) -> dict[str, str]:
    files = [queries, qrels] if queries or qrels else []
    if not source.startswith(IRDS):
        path = Path(source)
        zipped = path.parent if in_zip(path) else path
        if zipped.is_dir():
            members = ["corpus.jsonl"]
            members += [] if queries else ["queries.jsonl"]
            members += [] if qrels else [f"qrels/{split}.tsv"]
            files = [*(locate(zipped, member).where for member in members), *files]
        else:
            files = [str(zipped), *files]
    found = {}
    for file in map(Path, filter(None, files)):
        if not file.is_file():  # a pipe, which was read already
            continue
        status = file.stat()
        found[file.name] = _md5(file, status.st_size, status.st_mtime_ns)
    return found


@cache
def _md5(file: Path, size: int, modified: int) -> str:
    """Once, where the parts of a dataset come from one large zip."""
    return md5_of(file)


def _irds_queries(source: str) -> dict[str, str]:
    dataset = irds_dataset(source)
    if not dataset.has_queries():
        raise CorpusError(f"{source} has no queries; name one of its subsets, or give --queries")
    with reading_irds(source):
        return {query.query_id: _text(query) for query in dataset.queries_iter()}


def _text(query: Any) -> str:
    return str(query.text if hasattr(query, "text") else query.default_text())


def _irds_qrels(source: str) -> dict[str, dict[str, int]]:
    dataset = irds_dataset(source)
    if not dataset.has_qrels():
        raise CorpusError(f"{source} has no judgments; name one of its subsets, or give --qrels")
    found: dict[str, dict[str, int]] = {}
    with reading_irds(source):
        for judgment in dataset.qrels_iter():
            found.setdefault(judgment.query_id, {})[judgment.doc_id] = int(judgment.relevance)
    return found
