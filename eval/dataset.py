"""A judged dataset: queries, judgments, and the location of its documents."""

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
from lsr.eval.qrels import location_of, read_qrels
from lsr.eval.results import Qrels
from lsr.progress import Progress


@dataclass(frozen=True, slots=True)
class Dataset:
    """The judged queries of a collection, and the measures for them.

    Attributes:
        name: such as "nfcorpus".
        documents: their location, for `open_corpus`.
        queries: id -> text, of the judged queries.
        qrels: their judgments.
        measures: ir-measures names.
        split: of the judgments; "" where they come without.
        leaves_out_own: whether the document with a query's own id is left out (BEIR's protocol
            for ArguAna and Quora).
        judgments: their location, for messages.
        checksums: file name -> MD5 of each file read; none for ir_datasets, which checks itself.
        counts: of queries, judgments and mismatches between them.
        remarks: a sentence for each kind of mismatch.
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
        """The identity of its documents: the MD5 of their file, or their id."""
        return next(iter(self.checksums.values())) if self.checksums else self.documents

    def location_of(self, query: str, document: str | None = None) -> str:
        """Where a judgment stands, as "FILE, line 7"."""
        if self.judgments.startswith(IRDS):
            return self.judgments
        return location_of(self.judgments, query, document, self.split)


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
            unknown = f" and is not a known dataset ({', '.join(CATALOGUE)})"
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
            f"{source} can be read only once, and an evaluation reads it several times; "
            "save it to a file first"
        )
    texts: dict[str, str]
    if queries is None and source.startswith(IRDS):
        texts = _irds_queries(source)
    else:
        texts = {query.id: query.text for query in read_queries(queries or source)}
    judgments = qrels or source
    if judgments.startswith(IRDS):
        split = ""
    judged = read_judgments(judgments, split)
    dataset = Dataset(
        name,
        source,
        {query: text for query, text in texts.items() if query in judged},
        {query: judged[query] for query in texts if query in judged},
        [str(measure) for measure in parse_measures(measures)],
        split,
        entry.leaves_out_own,
        judgments,
        _checksums(source, queries, qrels, split),
    )
    if not dataset.queries:
        where = qrels or (f"qrels/{split}.tsv" if split else "its judgments")
        raise CorpusError(f"{where} judges no query of {source}")
    return _with_remarks(dataset, texts, judged)


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
    """The judgments of an ir_datasets id, or of a source for `read_qrels`."""
    source = named("a dataset", source, error=CorpusError)
    return _irds_qrels(source) if source.startswith(IRDS) else read_qrels(source, split)


def _lasting(source: str | PathLike[str]) -> str:
    """The source of a dataset by an absolute path where it has one: it is read again later."""
    name = named("a dataset", source, error=CorpusError)
    path = Path(name)
    return str(path.absolute()) if path.exists() or in_zip(path) else name


def _with_remarks(dataset: Dataset, texts: Mapping[str, str], judged: Qrels) -> Dataset:
    """The dataset with counts of its queries and judgments, and a remark on each mismatch."""
    unjudged = len(texts) - len(dataset.queries)
    unknown = [query for query in judged if query not in texts]
    counts = {
        "queries": len(dataset.queries),
        "judgments": sum(map(len, dataset.qrels.values())),
        "queries_without_judgments": unjudged,
        "judged_queries_missing": len(unknown),
    }
    remarks = []
    if unjudged:
        remarks.append(f"{unjudged:,} of {len(texts):,} queries have no judgments and are left out")
    if unknown:
        remarks.append(
            f"{len(unknown):,} of {len(judged):,} judged queries are not among the queries and "
            f"are left out, the first {unknown[0]!r} ({dataset.location_of(unknown[0])})"
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
    checksums = {}
    for file in map(Path, filter(None, files)):
        if not file.is_file():  # a pipe, which was read already
            continue
        status = file.stat()
        checksums[file.name] = _md5(file, status.st_size, status.st_mtime_ns)
    return checksums


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
    qrels: dict[str, dict[str, int]] = {}
    with reading_irds(source):
        for judgment in dataset.qrels_iter():
            qrels.setdefault(judgment.query_id, {})[judgment.doc_id] = int(judgment.relevance)
    return qrels
