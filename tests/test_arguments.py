"""What callers pass in: whole and real numbers, and several of a kind, everywhere alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lsr
from lsr.arguments import listed, real, whole
from lsr.encoders.base import Settings
from lsr.encoders.names import parse_weights
from lsr.errors import CorpusError, EncoderError, LsrError, QueryError
from lsr.eval.statistics import bootstrap_interval, randomization_test
from lsr.eval.tuning.tuning import grid, split
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.lists import Ranked
from lsr.fusion.methods import fuse
from lsr.retrieval.feedback import Feedback
from lsr.retrieval.hybrid import Hybrid
from lsr.retrieval.retrievers import DenseRetriever, SparseRetriever
from lsr.vectors import SparseVectors
from support.tiny_csr import write_tiny_csr

TEXTS = ["who repairs tidal mills", "copper, copper"]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.uint64]
NOT_WHOLE: list[Any] = [2.0, np.float64(2), "2", True, None, np.True_, Fraction(2), [2], 2j]
NOT_REAL: list[Any] = ["0.5", True, np.True_, [0.5], float("nan"), float("inf"), 1j, 10**400]


@given(value=st.integers(0, 100), kind=st.sampled_from(INTEGERS))
def test_whole_numbers(value: int, kind: type[Any]) -> None:
    for form in (value, kind(value), np.array(value), torch.tensor(value)):
        number = whole("k", form, 0, 100)
        assert type(number) is int
        assert number == value
        for least, most in ((value + 1, None), (0, value - 1)):
            with pytest.raises(QueryError, match=rf"k must be a whole number .*, not (\w|{value})"):
                whole("k", form, least, most)


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(EncoderError, match=r"^depth must be a whole number of at least 1, not "):
        whole("depth", value, error=EncoderError)


@given(value=st.floats(0, 1, width=16))
def test_real_numbers(value: float) -> None:
    for form in (value, np.float16(value), np.float32(value), np.float64(value), Fraction(value)):
        assert type(real("w", form, 0, 1)) is float
        assert real("w", form, 0, 1) == value
    for form in (0, 1, np.int64(1)):
        assert real("w", form) == form


@pytest.mark.parametrize("value", NOT_REAL, ids=lambda value: str(value)[:9])
def test_what_is_no_real_number(value: Any) -> None:
    with pytest.raises(QueryError, match=r"^w must be a finite number of at least 0, not "):
        real("w", value)


def test_numbers_in_sentences() -> None:
    with pytest.raises(QueryError) as caught:
        whole("k", 2.0)
    assert str(caught.value) == "k must be a whole number of at least 1, not 2.0"
    with pytest.raises(QueryError, match=r"not a number of thousands of digits"):
        whole("k", -(10**5000))
    with pytest.raises(QueryError, match=r"w must be a finite number from 0 to 1, not 2$"):
        real("w", 2, 0, 1)


Call = Callable[[Any], Any]
LISTS = [Ranked(np.array([3, 1]), np.array([2.0, 1.0])), Ranked(np.array([1]), np.array([2.0]))]
VECTORS = SparseVectors.from_rows([([1, 5], [1.0, 2.0]), ([1], [3.0])])


def wholes(index: lsr.Index, place: Path) -> dict[str, Call]:
    """Argument, and where it is asked for -> a call with it."""
    terms, dense = SparseRetriever(index), DenseRetriever(index)
    built = (place / str(number) for number in range(100))
    return {
        "k search": lambda n: index.search(TEXTS[0], n).ids.tolist(),
        "k many": lambda n: [hits.ids.tolist() for hits in index.search(TEXTS, k=n)],
        "threads search": lambda n: index.search(TEXTS, threads=n)[1].ids.tolist(),
        "k vectors": lambda n: index.search_vectors(VECTORS, n)[0].ids.tolist(),
        "k hybrid": lambda n: index.search(TEXTS[0], n, hybrid="rrf").ids.tolist(),
        "threads hybrid": lambda n: index.hybrid(threads=n).search(TEXTS)[0].ids.tolist(),
        "depth hybrid": lambda n: index.hybrid(depth=n).search(TEXTS)[0].ids.tolist(),
        "depth Hybrid": lambda n: Hybrid([terms, dense], depth=n).search(TEXTS[0]).ids.tolist(),
        "threads dense": lambda n: (
            DenseRetriever(index, threads=n).search(dense.encode(TEXTS), 3)[0].positions.tolist()
        ),
        "k fuse": lambda n: fuse(LISTS, k=n).positions.tolist(),
        "documents Feedback": lambda n: Feedback.of("rocchio", documents=n),
        "terms Feedback": lambda n: Feedback.of("rm3", terms=n),
        "top look": lambda n: lsr.show_terms("tidal mills", index.encoder, top=n).draw(),
        "threads from_vectors": lambda n: len(
            lsr.Index.from_vectors(next(built), ["a", "b"], VECTORS, threads=n)
        ),
        "threads build": lambda n: len(
            lsr.Index.build(next(built), [{"id": 1, "text": "copper"}], "bm25", threads=n)
        ),
        "folds split": lambda n: split(["a", "b", "c"], n, 0),
        "seed split": lambda n: split(["a", "b", "c"], 2, n),
        "steps grid": lambda n: grid(2, n),
        "draws test": lambda n: randomization_test(np.arange(1.0, 30), draws=n),
        "seed test": lambda n: randomization_test(np.arange(1.0, 30), draws=99, seed=n),
        "resamples interval": lambda n: bootstrap_interval([1, 2, 4], resamples=n),
        "seed interval": lambda n: bootstrap_interval([1, 2, 4], seed=n),
        "trees train": lambda n: LearnedFusion.train(["a"], [(LISTS[:1], {3: 1})], trees=n).model,
        **{
            f"{name} Settings": lambda n, name=name: getattr(Settings(**{name: n}), name)
            for name in ("max_length", "document_terms", "batch_size", "threads", "max_memory")
        },
    }


def test_every_whole_number_is_taken_alike(hybrid_index: lsr.Index, tmp_path: Path) -> None:
    for named_, call in wholes(hybrid_index, tmp_path).items():
        argument = named_.partition(" ")[0]
        usual = call(2)
        for kind in INTEGERS:
            assert call(kind(2)) == usual, named_
        for value in (2.0, np.float32(2), "2", True, -1):
            message = f"^{argument} must be a whole number of at least [012], not "
            with pytest.raises(LsrError, match=message):
                call(value)
        assert not list(tmp_path.rglob("partial"))


def reals(index: lsr.Index) -> dict[str, Call]:
    vectors = index.encoder.encode_queries(["copper"])
    word = index.reader.word(int(vectors.terms[0]))
    return {
        "a weight": lambda w: fuse(LISTS, weights=(n for n in (w, 0.5)), k=3).scores.tolist(),
        "the weight of the dense vectors": lambda w: (
            index.search(TEXTS[0], 3).ids.tolist()
            + index.hybrid(weights=w).search(TEXTS[0], 3).ids.tolist()
        ),
        "the query's weight in feedback": lambda w: Feedback.of("rocchio", query=w),
        f"the factor of {word}": lambda w: index.search_vectors(vectors, boosts={word: w})[
            0
        ].scores.tolist(),
        "the weight of a": lambda w: parse_weights({"a": w, "b": 1}, ["a", "b"]),
    }


def test_every_real_number_is_taken_alike(hybrid_index: lsr.Index) -> None:
    for argument, call in reals(hybrid_index).items():
        assert call(np.float32(0.5)) == call(Fraction(1, 2)) == call(0.5)
        assert call(np.int64(1)) == call(1) == call(1.0)
        for value in ("0.5", True, float("nan"), -0.1, [0.5]):
            if isinstance(value, str) and argument == "the weight of the dense vectors":
                continue  # names and weights in a text
            with pytest.raises(LsrError, match=f"^{re.escape(argument)} must be a finite number "):
                call(value)


@pytest.mark.parametrize("bits", [np.int64(8), np.uint8(16), np.array(8)])
def test_bits(tmp_path: Path, bits: Any) -> None:
    index = lsr.Index.from_vectors(tmp_path / "i", ["a", "b"], VECTORS, bits=bits)
    assert index.manifest.bits == bits
    for wrong in (8.0, True, "8"):
        with pytest.raises(LsrError, match=r"^(bits must be|weights are stored in)"):
            lsr.Index.from_vectors(tmp_path / "j", ["a", "b"], VECTORS, bits=wrong)


def test_more_hits_than_documents(bm25_index: lsr.Index) -> None:
    for k in (10**6, 2**70, np.uint64(2**63)):
        assert len(bm25_index.search("copper", k)) == len(bm25_index.search("copper", 144))


def test_questions_are_anything_iterable(hybrid_index: lsr.Index) -> None:
    usual = [hits.ids.tolist() for hits in hybrid_index.search(TEXTS)]
    fused = [hits.ids.tolist() for hits in hybrid_index.search(TEXTS, hybrid="minmax")]
    forms: list[Callable[[], Iterable[Any]]] = [
        lambda: (text for text in TEXTS),
        lambda: tuple(TEXTS),
        lambda: dict.fromkeys(TEXTS),
        lambda: np.array(TEXTS),
        lambda: pa.array(TEXTS),
        lambda: pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
    ]
    for form in forms:
        assert [hits.ids.tolist() for hits in hybrid_index.search(form())] == usual
        found = hybrid_index.search(form(), hybrid="minmax")
        assert [hits.ids.tolist() for hits in found] == fused
        found = hybrid_index.hybrid("minmax").search(form())
        assert [hits.ids.tolist() for hits in found] == fused
        vectors = hybrid_index.encoder.encode_queries(TEXTS)
        found = hybrid_index.search_vectors(vectors, queries=form())
        assert [hits.ids.tolist() for hits in found] == usual
    one = hybrid_index.search(np.str_(TEXTS[0]))
    assert one.ids.tolist() == usual[0]
    for wrong in (7, b"copper", None):
        with pytest.raises(QueryError, match="questions must be a list or another iterable"):
            hybrid_index.search(wrong)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def encoders(hybrid_index: lsr.Index, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    csr = write_tiny_csr(tmp_path_factory.mktemp("csr") / "tiny")
    bm25 = lsr.load_encoder("bm25")
    bm25.collect(TEXTS)
    return {
        "composite": hybrid_index.encoder,
        "splade": lsr.load_encoder("splade-tiny"),
        "dense": hybrid_index.dense_encoder,
        "dsr": lsr.load_encoder("dsr:splade-tiny"),
        "csr": lsr.load_encoder(csr),
        "bm25": bm25,
    }


@pytest.mark.parametrize("name", ["composite", "splade", "dense", "dsr", "csr", "bm25"])
def test_texts_are_anything_iterable(encoders: dict[str, Any], name: str) -> None:
    encoder = encoders[name]
    for encode in (encoder.encode_documents, encoder.encode_queries):
        usual = encode(TEXTS)
        for form in (iter(TEXTS), tuple(TEXTS), np.array(TEXTS), pa.array(TEXTS), {*TEXTS[:1]}):
            given_ = list(form) if isinstance(form, set) else form
            vectors = encode(form)
            if isinstance(form, set):
                assert np.array_equal(len(vectors), len(given_))
            elif isinstance(usual, SparseVectors):
                assert vectors == usual
            else:
                assert np.array_equal(vectors, usual)
        with pytest.raises(EncoderError, match="give a list of texts, not one text"):
            encode("one text")
        with pytest.raises(EncoderError, match="text 1 of the batch is int, not a text"):
            encode(iter(["a", 7]))
        with pytest.raises(EncoderError, match="texts must be a list"):
            encode(7)


@pytest.mark.parametrize(
    "ids",
    [
        lambda: (name for name in ("a", "b")),
        lambda: np.array(["a", "b"]),
        lambda: np.array(["a", "b"], object),
        lambda: pa.array(["a", "b"]),
        lambda: {"a": 1, "b": 2},
        lambda: ("a", "b"),
    ],
)
def test_ids_are_anything_iterable(tmp_path: Path, ids: Callable[[], Any]) -> None:
    index = lsr.Index.from_vectors(tmp_path / "i", ids(), VECTORS)
    assert sorted(index.reader.ids.to_pylist()) == ["a", "b"]
    with pytest.raises(QueryError, match="ids must be a list"):
        lsr.Index.from_vectors(tmp_path / "j", "ab", VECTORS)


def test_listed() -> None:
    assert listed("texts", iter("ab")) == ["a", "b"]
    for wrong in ("ab", b"ab", 7, None):
        with pytest.raises(CorpusError, match="texts must be a list or another iterable, not "):
            listed("texts", wrong, error=CorpusError)  # type: ignore[arg-type]


@pytest.mark.parametrize("documents", ["corpus.jsonl", Path("corpus.jsonl"), b"x", 7, None])
def test_documents_are_no_file(tmp_path: Path, documents: Any) -> None:
    with pytest.raises(
        CorpusError, match=r"documents are mappings, .* by lsr\.data\.corpus\.open_c"
    ):
        lsr.Index.build(tmp_path / "i", documents, "bm25")
    assert not list(tmp_path.iterdir())


def test_settings_are_plain_values() -> None:
    made = Settings(max_length=np.int64(9), prune_ratio=np.float32(0.5), device=torch.device("cpu"))  # type: ignore[arg-type]
    assert (made.max_length, made.prune_ratio, made.device) == (9, 0.5, "cpu")
    assert [type(value) for value in (made.max_length, made.prune_ratio)] == [int, float]
    for wrong in (1.5, "0.1", True):
        with pytest.raises(EncoderError, match="prune_ratio must be a finite number from 0 to 1"):
            Settings(prune_ratio=wrong)  # type: ignore[arg-type]


def test_terms_decoded(bm25_index: lsr.Index) -> None:
    encoder = bm25_index.encoder
    vector = encoder.encode_queries(["copper maps"])
    assert encoder.decode(vector, np.int64(1)) == encoder.decode(vector)[:1]
    with pytest.raises(QueryError, match="top must be a whole number of at least 0, not 1"):
        encoder.decode(vector, 1.0)  # type: ignore[arg-type]
