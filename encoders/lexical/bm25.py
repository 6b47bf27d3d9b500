"""BM25 as sparse vectors: each document's scores are computed when it is indexed.

The five variants of C. Kamphuis et al., "Which BM25 do you mean?" (ECIR 2020), scored
eagerly as in X. H. Lù, "BM25S: Orders of magnitude faster lexical search via eager sparse
scoring" (2024): a document's weight for a term is idf x tf part, a query's is how often it
has the term, so the score of BM25 is their inner product.

BM25L and BM25+ also give documents without a term a score S(t, no occurrence), the same for
all of them.  It is taken off every weight, so that absent stays zero: all scores of a query
are lower by the sum of its terms' `BM25Encoder.nonoccurrence`, and the ranking is the same.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.encoders.base import (
    Advance,
    Encoder,
    Recorded,
    Settings,
    Vocabulary,
    Where,
    check_texts,
    strongest,
)
from lsr.encoders.lexical.bm25_variants import VARIANTS, Floats, Parameters, parse
from lsr.encoders.pickling import reduced
from lsr.encoders.restoring import reading
from lsr.encoders.text.analysis import Analysis, GrowingVocabulary, TermIds, count_terms
from lsr.encoders.text.scripts import has_words
from lsr.errors import EncoderError, EncoderMismatch, TextWarning
from lsr.vectors import SparseVectors

_EXCERPT = 60  # characters of a text in a warning


def load(name: str, settings: Settings) -> BM25Encoder:
    """A BM25 encoder that has seen no documents."""
    return BM25Encoder(parse(name), settings)


def restore(recorded: Recorded, where: Where) -> BM25Encoder:
    """The BM25 encoder of an index with its statistics; a source may only repeat its name."""
    identity, source, vocabulary = recorded.identity, recorded.source, recorded.vocabulary
    with reading("the recorded BM25 encoder"):
        analysis = Analysis.of(identity)
        delta = identity["delta"]
        parameters = Parameters(
            str(identity["variant"]),
            float(identity["k1"]),
            float(identity["b"]),
            None if delta is None else float(delta),
            analysis.language,
        )
        documents, average = int(identity["documents"]), float(identity["average_length"])
        settings = Settings(
            document_terms=identity["document_terms"], query_terms=identity["query_terms"]
        )
        frequency = recorded.term_columns["document_frequency"]
    if source is not None and parse(source) != parameters:
        raise EncoderMismatch(
            f"the index was built with the encoder {parameters.name!r}, but "
            f"{parse(source).name!r} was given; leave the encoder out"
        )
    if documents < 0 or not 0 <= average < math.inf:
        raise EncoderError(
            f"the recorded BM25 encoder has {documents} documents of {average} terms; "
            "rebuild the index"
        )
    if frequency.shape != (len(vocabulary),) or frequency.dtype.kind not in "iu":
        raise EncoderError(
            f"the recorded BM25 encoder has {len(vocabulary)} words and document frequencies "
            f"of shape {frequency.shape} and type {frequency.dtype}; rebuild the index"
        )
    encoder = BM25Encoder(parameters, settings, vocabulary, analysis)
    encoder._documents, encoder._average_length = documents, average
    encoder._frequency = frequency
    return encoder


class BM25Encoder(Encoder):
    """BM25 over words: stop words dropped, the rest stemmed; see `lsr.encoders.text.analysis`.

    A new encoder gathers its vocabulary and statistics with `collect`; a restored one keeps
    the index's, so documents added later are weighed as if the collection had not grown, and
    words it lacks only count towards a document's length (its words that are no stop words).
    """

    def __init__(
        self,
        parameters: Parameters,
        settings: Settings,
        vocabulary: Vocabulary | None = None,
        analysis: Analysis | None = None,
    ) -> None:
        self.parameters = parameters
        self.analysis = analysis or Analysis(parameters.language)
        self.name = parameters.name
        self._variant = VARIANTS[parameters.variant]
        self._document_terms, self._query_terms = settings.document_terms, settings.query_terms
        self._documents = 0
        self._total_length = 0
        self._average_length = 0.0
        self._frequency: npt.NDArray[Any] = np.zeros(0, np.uint32)  # may be longer than needed
        self._growing: TermIds | None = None
        self._unindexed, self._first_unindexed = 0, ""  # texts that have words and no terms
        if vocabulary is None:
            vocabulary = grown = GrowingVocabulary()
            self._growing = TermIds(grown.add, self.analysis)
        self.vocabulary = vocabulary
        self._known = TermIds(vocabulary.find, self.analysis)

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "kind": "bm25",
            "name": self.name,
            "variant": self.parameters.variant,
            "k1": self.parameters.k1,
            "b": self.parameters.b,
            "delta": self.parameters.delta,
            **self.analysis.identity,
            "documents": self._documents,
            "average_length": self._average_length,
            "document_terms": self._document_terms,
            "query_terms": self._query_terms,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """With the statistics so far: one that is still collecting goes on where this one is."""
        state = {"total_length": self._total_length, "grows": self._growing is not None}
        return *reduced(self, Where()), state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._total_length = state["total_length"]
        if state["grows"]:
            assert isinstance(self.vocabulary, GrowingVocabulary)
            self._growing = TermIds(self.vocabulary.add)
            self._frequency = self._frequency.copy()  # it is counted on, in place

    def term_columns(self) -> dict[str, npt.NDArray[Any]]:
        """ "document_frequency": uint32, how many documents hold each term."""
        return {"document_frequency": self._frequency[: len(self.vocabulary)]}

    @property
    def gathers_statistics(self) -> bool:
        return True

    def collect(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        """Count terms and grow vocabulary and statistics; the weights are counts.

        Raises `EncoderError` once the statistics are final: after `apply_statistics`, and on a
        restored encoder.
        """
        if self._growing is None:
            raise EncoderError(
                "the statistics of this BM25 encoder belong to an index and do not grow; use "
                "encode_documents, or load a new encoder for a new index"
            )
        texts = check_texts(texts)
        counts, lengths = count_terms(texts, self._growing)
        self._known.clear()  # words it knows as unknown may be known now
        for row in np.flatnonzero(lengths == 0).tolist():
            if has_words(texts[row]):
                self._first_unindexed = self._first_unindexed or texts[row].strip()[:_EXCERPT]
                self._unindexed += 1
        missing = len(self.vocabulary) - self._frequency.size
        if missing > 0:
            room = max(missing, self._frequency.size)  # doubling, so growing stays linear
            self._frequency = np.concatenate([self._frequency, np.zeros(room, np.uint32)])
        np.add.at(self._frequency, counts.terms, 1)
        self._documents += len(texts)
        self._total_length += int(lengths.sum())
        self._average_length = self._total_length / self._documents if self._documents else 0.0
        if advance is not None:
            advance(len(texts))
        return counts

    def finalize(self, collected: Callable[[], Iterable[SparseVectors]]) -> None:
        """Warn of texts that have words and no terms, by one `TextWarning`."""
        if self._unindexed:
            warnings.warn(
                f"{self.name} finds no terms in {self._unindexed:,} of {self._documents:,} texts, "
                f"such as {self._first_unindexed!r}: "
                "all their words are stop words or of one character",
                TextWarning,
                stacklevel=2,
            )

    def apply_statistics(self, vectors: SparseVectors) -> SparseVectors:
        """BM25 weights of counts from `collect`; the statistics are final from here on.

        Weights of zero are dropped: of terms in every document under some variants.
        """
        self._growing = None  # a second collection would change what is already weighed
        lengths = np.bincount(vectors.row_of_entry(), vectors.weights, minlength=len(vectors))
        return self._weigh(vectors, lengths)

    def encode_documents(self, texts: Iterable[str]) -> SparseVectors:
        """BM25 weights with the statistics as they are; words not in the vocabulary are left out.

        Raises `EncoderError` when no documents have been seen.
        """
        if not self._documents:
            raise EncoderError(
                "this BM25 encoder has seen no documents, so it has no statistics to weigh "
                "with; collect the documents first"
            )
        texts = check_texts(texts)
        return self._weigh(*count_terms(texts, self._known))

    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """The counts of each query's known terms."""
        return strongest(self.count(texts), self._query_terms)

    def count(self, texts: Iterable[str]) -> SparseVectors:
        """The counts of each text's known terms."""
        texts = check_texts(texts)
        return count_terms(texts, self._known)[0]

    def document_share(self, terms: npt.NDArray[np.uint32]) -> Floats:
        """The share of the collection's documents that hold each term, float64, 0 to 1."""
        return self._frequency[terms] / max(self._documents, 1)

    def literal_terms(self, text: str) -> npt.NDArray[np.uint32]:
        """The distinct known terms of a text, ascending."""
        return count_terms(check_texts([text]), self._known)[0].terms

    def nonoccurrence(self, terms: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
        """The score of a document that lacks the term, float32, one a term.

        Zero but for bm25l and bm25+.  Adding the sum over a query's terms (each as often as
        the query has it) to a score gives the score as the papers define it.
        """
        floor = self._variant.floor(self.parameters.k1, self.parameters.delta or 0.0)
        return (self._idf(terms) * floor).astype(np.float32)

    def _idf(self, terms: npt.NDArray[np.uint32]) -> Floats:
        frequency = self._frequency[terms]
        if frequency.size and not (frequency.min() >= 1 and frequency.max() <= self._documents):
            raise EncoderError(
                f"the recorded BM25 encoder has terms in {frequency.min()} to {frequency.max()} "
                f"of {self._documents} documents; rebuild the index"
            )
        return self._variant.idf(frequency.astype(np.float64), self._documents)

    def _weigh(
        self, counts: SparseVectors, lengths: npt.NDArray[np.int64] | Floats
    ) -> SparseVectors:
        k1, b, delta = self.parameters.k1, self.parameters.b, self.parameters.delta or 0.0
        # An average length of zero means that there is no entry to weigh.
        norm = 1 - b + b * lengths / (self._average_length or 1.0)
        norms = norm[counts.row_of_entry()]
        tf = self._variant.tf(counts.weights.astype(np.float64), norms, k1, delta)
        weights = (self._idf(counts.terms) * tf).astype(np.float32)
        vectors = SparseVectors.trusted(counts.indptr, counts.terms, weights).where(weights > 0)
        return strongest(vectors, self._document_terms)
