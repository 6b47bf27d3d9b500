"""What callers pass in: whole and real numbers, paths, and several of a kind, everywhere alike."""

from __future__ import annotations

import operator
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import lsr
from lsr.arguments import listed, named, real, whole
from lsr.boosting import boost
from lsr.data.corpus import open_corpus
from lsr.data.queries import is_encoded, read_queries
from lsr.dense import add_dense
from lsr.encoders.base import Settings
from lsr.encoders.dense import load_dense, restore_dense
from lsr.encoders.names import lasting_name, parse_weights
from lsr.errors import CorpusError, EncoderError, LsrError, QueryError, RowError, VectorError
from lsr.eval.comparison import compare_runs
from lsr.eval.dataset import load_dataset, parts_of
from lsr.eval.experiment import evaluate_run
from lsr.eval.qrels import read_qrels
from lsr.eval.runs import read_run, write_run
from lsr.eval.statistics import bootstrap_interval, randomization_test
from lsr.feedback import Feedback
from lsr.fusion import Ranked, fuse
from lsr.hybrid import Hybrid
from lsr.learned_fusion import LearnedFusion
from lsr.progress import Silent
from lsr.retrievers import DenseRetriever, SparseRetriever
from lsr.tuning import grid, split
from lsr.vectors import SparseVectors

sys.path.insert(0, str(Path(__file__).parent))
from tiny_csr import write_tiny_csr

sys.path.pop(0)

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
            DenseRetriever(index, threads=n).search(dense.encode(TEXTS), 3)[0].places.tolist()
        ),
        "k fuse": lambda n: fuse(LISTS, k=n).places.tolist(),
        "documents Feedback": lambda n: Feedback.of("rocchio", documents=n),
        "terms Feedback": lambda n: Feedback.of("rm3", terms=n),
        "top look": lambda n: lsr.look("tidal mills", index.encoder, top=n).draw(),
        "threads from_vectors": lambda n: len(
            lsr.Index.from_vectors(next(built), ["a", "b"], VECTORS, threads=n)
        ),
        "threads build": lambda n: len(
            lsr.Index.build(next(built), [{"id": 1, "text": "x"}], "bm25", threads=n)
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
        assert not list(tmp_path.glob("*.partial"))


def reals(index: lsr.Index) -> dict[str, Call]:
    vectors = index.encoder.encode_queries(["copper"])
    word = index.word(int(vectors.terms[0]))
    return {
        "a weight": lambda w: fuse(LISTS, weights=(n for n in (w, 0.5)), k=3).scores.tolist(),
        "the weight of the dense vectors": lambda w: (
            index.search(TEXTS[0], 3).ids.tolist()
            + index.hybrid(weights=w).search(TEXTS[0], 3).ids.tolist()
        ),
        "the query's share in feedback": lambda w: Feedback.of("rocchio", query=w),
        f"the factor of {word}": lambda w: boost(index, vectors, {word: w}).weights.tolist(),
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


# --- several of a kind


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
        with pytest.raises(QueryError, match="questions must be several, in a list or the like"):
            hybrid_index.search(wrong)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def encoders(hybrid_index: lsr.Index, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    csr = write_tiny_csr(tmp_path_factory.mktemp("csr") / "tiny")
    bm25 = lsr.load_encoder("bm25")
    bm25.observe(TEXTS)
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
        with pytest.raises(EncoderError, match="texts must be several"):
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
    assert sorted(index.ids.to_pylist()) == ["a", "b"]
    with pytest.raises(QueryError, match="ids must be several"):
        lsr.Index.from_vectors(tmp_path / "j", "ab", VECTORS)


def test_listed() -> None:
    assert listed("texts", iter("ab")) == ["a", "b"]
    for wrong in ("ab", b"ab", 7, None):
        with pytest.raises(CorpusError, match="texts must be several, in a list or the like, not "):
            listed("texts", wrong, error=CorpusError)  # type: ignore[arg-type]


# --- vectors

matrices = npst.arrays(
    st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_]),
    npst.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
    elements={"min_value": 0, "max_value": 3},
).map(lambda array: array * (np.arange(array.size).reshape(array.shape) % 2 == 0))


def rows_of(array: np.ndarray) -> list[dict[int, float]]:
    return [
        {term: float(np.float32(weight)) for term, weight in enumerate(row) if np.float32(weight)}
        for row in array.tolist()
    ]


def plain(vectors: SparseVectors) -> list[dict[int, float]]:
    SparseVectors(vectors.indptr, vectors.terms, vectors.weights)  # keeps the rules
    return [dict(zip(r.terms.tolist(), r.weights.tolist(), strict=True)) for r in vectors]


@given(array=matrices)
def test_vectors_of_matrices(array: np.ndarray) -> None:
    wanted = rows_of(array)
    forms = [array, array.tolist(), list(array), (row for row in array), np.asfortranarray(array)]
    if array.dtype != np.float16:  # which SciPy does not know
        for kind in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia"):
            if min(array.shape) == 0 and kind in ("bsr", "dia"):
                continue
            forms.append(getattr(scipy.sparse, f"{kind}_matrix")(array))
            forms.append(getattr(scipy.sparse, f"{kind}_array")(array))
    forms.append(torch.tensor(array))
    for form in forms:
        vectors = SparseVectors.of(form)
        assert plain(vectors) == wanted
    assert SparseVectors.of(vectors) is vectors
    assert SparseVectors.of([vectors, vectors]) == SparseVectors.concatenate([vectors] * 2)


@given(
    entries=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 100))),
    kind=st.sampled_from([np.int8, np.uint8, np.float32, np.bool_]),
)
def test_entries_that_stand_twice_are_added_up(
    entries: list[tuple[int, int, int]], kind: type[Any]
) -> None:
    rows, terms, values = (np.array([e[i] for e in entries], np.int64) for i in range(3))
    data = values.astype(kind)
    dense = np.zeros((4, 6))
    np.add.at(dense, (rows, terms), data.astype(float))
    coo = scipy.sparse.coo_array((data, (rows, terms)), shape=(4, 6))
    assert plain(SparseVectors.of(coo)) == rows_of(dense)
    order = np.argsort(rows, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=4))])
    csr = scipy.sparse.csr_array((data[order], terms[order], indptr), shape=(4, 6))
    before = (csr.data.copy(), csr.indices.copy(), csr.indptr.copy())
    assert plain(SparseVectors.of(csr)) == rows_of(dense)
    for array, was in zip((csr.data, csr.indices, csr.indptr), before, strict=True):
        assert np.array_equal(array, was)  # the caller's matrix is as it was


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 1e39])
@pytest.mark.parametrize("make", [np.array, scipy.sparse.csr_array, scipy.sparse.coo_matrix, list])
def test_bad_weights_are_named_with_their_row(
    make: Callable[[Any], Any], weight: float, tmp_path: Path
) -> None:
    rows = make([[0, 1.0], [0, 0], [weight, 0]])
    message = r"row 2 has the weight \S+ for term 0; weights must be finite and not negative"
    with pytest.raises(RowError, match=message):
        SparseVectors.of(rows)
    with pytest.raises(RowError, match=message):
        lsr.Index.from_vectors(tmp_path / "i", ["a", "b", "c"], rows)


@pytest.mark.parametrize(
    "value",
    [
        [1.0, 2.0],
        np.zeros((2, 2, 2)),
        [[1], [1, 2]],
        "text",
        [["a"]],
        None,
        7,
        {"a": 1},
        np.array([[1j]]),
        np.array([[None]]),
        scipy.sparse.csr_array(np.array([[1j]])),
        torch.tensor([[1.0]], requires_grad=True),
    ],
    ids=str,
)
def test_what_no_vectors_are(value: Any, bm25_index: lsr.Index) -> None:
    with pytest.raises(VectorError) as caught:
        SparseVectors.of(value)
    assert not isinstance(caught.value, RowError)
    with pytest.raises(VectorError):
        bm25_index.search_vectors(value)


@given(array=matrices.filter(lambda array: len(array) > 0))
def test_any_vectors_are_searched_alike(bm25_index: lsr.Index, array: np.ndarray) -> None:
    usual = bm25_index.search_vectors(SparseVectors.of(array), 3)
    for form in (array, array.tolist(), torch.tensor(array)):
        found = bm25_index.search_vectors(form, np.int64(3))
        assert [hits.ids.tolist() for hits in found] == [hits.ids.tolist() for hits in usual]


def test_any_vectors_are_indexed_alike(tmp_path: Path) -> None:
    array = np.array([[0, 2.0, 1], [3, 0, 0]])
    index = lsr.Index.from_vectors(tmp_path / "0", ["a", "b"], array, keep_floats=True)
    for number, form in enumerate([scipy.sparse.csc_array(array), array.tolist()], 1):
        other = lsr.Index.from_vectors(tmp_path / f"{number}", ["a", "b"], form, keep_floats=True)
        for name in ("a", "b"):
            assert other.get(name) == index.get(name)


# --- slices


@given(start=st.integers(-9, 9) | st.none(), stop=st.integers(-9, 9) | st.none(), step=st.data())
def test_hits_and_vectors_are_sliced_as_lists(
    bm25_index: lsr.Index, start: int | None, stop: int | None, step: st.DataObject
) -> None:
    part = slice(start, stop, step.draw(st.sampled_from([None, 1, 2, 3, -1, -2])))
    hits = bm25_index.search("copper tidal mills", 7)
    ids = hits.ids.tolist()
    some = hits[part]
    assert isinstance(some, lsr.Hits)
    assert some.ids.tolist() == ids[part] == [hit.id for hit in some]
    assert some.scores.tolist() == hits.scores.tolist()[part]
    assert [hit.explain() for hit in some] == [hit.explain() for hit in hits][part]
    assert [hit.text for hit in some[::-1]] == [hit.text for hit in hits][part][::-1]
    rows = SparseVectors.from_rows([([row], [1.0]) for row in range(7)])
    assert rows[part].terms.tolist() == list(range(7))[part]


def test_one_hit(bm25_index: lsr.Index) -> None:
    hits = bm25_index.search("copper", 4)
    ids = hits.ids.tolist()
    for rank in (0, 3, -1, -4, np.int64(2), np.uint8(1), np.int8(-2)):
        assert hits[rank].id == ids[rank]
        assert hits.explain(rank) == hits[rank].explain()
        assert hits.stored(rank)[1] == hits[rank].text
        assert SparseVectors.from_rows([([n], [1.0]) for n in range(4)])[rank].terms == [rank % 4]
    for rank in (4, -5, np.int64(9)):
        for ask in (hits.__getitem__, hits.explain, hits.stored):
            with pytest.raises(IndexError, match=f"there is no hit {rank}: 4 were found"):
                ask(rank)
    for wrong in (1.0, "1", None):
        with pytest.raises(TypeError):
            operator.getitem(hits, wrong)


# --- paths


@pytest.fixture
def folders(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    documents: list[dict[str, str]],
    write_jsonl: Callable[..., Path],
    dense_model: Path,
) -> Path:
    """Models and a dataset under relative names, in the folder that is current."""
    home = tmp_path / "home"
    write_tiny_csr(home / "models" / "csr")
    shutil.copytree(dense_model, home / "models" / "dense")
    tiny = Path(lsr.__file__).parent / "data" / "models" / "splade-tiny"
    shutil.copytree(tiny, home / "models" / "splade+tiny")
    write_jsonl(home / "set" / "corpus.jsonl", [{**d, "_id": d["id"]} for d in documents[:9]])
    write_jsonl(home / "set" / "queries.jsonl", [{"_id": "q", "text": "harbour pilots"}])
    (home / "set" / "qrels").mkdir()
    (home / "set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td000\t1\n")
    write_run(home / "a.trec", [("q", ["d000", "d001"], [2, 1])], "t")
    write_run(home / "b.trec", [("q", ["d001", "d000"], [2, 1])], "t")
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[], None]:
    """Make another folder the current one."""

    def go() -> None:
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        os.chdir(tmp_path / "elsewhere")

    return go


@pytest.mark.parametrize(
    "given_",
    [
        "models/csr",
        "models/splade+tiny",
        "dsr:models/splade+tiny",
        Path("models/csr"),
        Path("models/splade+tiny"),
    ],
    ids=repr,
)
def test_encoders_do_not_depend_on_the_current_folder(
    folders: Path, elsewhere: Callable[[], None], given_: str | Path
) -> None:
    documents = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    encoder = lsr.load_encoder(given_)
    built = lsr.Index.build(Path("built"), documents, given_)
    looked = lsr.look(TEXTS[0], given_)
    lasting = lasting_name(given_)
    identity = built.manifest.encoder
    assert identity is not None
    inner = identity.get("encoder", identity)
    assert inner["source"] == str(folders / str(given_).removeprefix("dsr:"))
    elsewhere()
    vectors = encoder.encode_documents(TEXTS)  # loads the model now
    assert lsr.look(TEXTS[0], encoder).terms == looked.terms
    assert lsr.load_encoder(lasting).encode_documents(TEXTS) == vectors
    again = lsr.open(folders / "built")
    assert again.encoder.encode_documents(TEXTS) == vectors
    os.chdir(folders)
    again = lsr.open("built")
    again.use_encoder(given_)  # type: ignore[arg-type]
    elsewhere()
    assert again.encoder.encode_documents(TEXTS) == vectors


@pytest.mark.parametrize("given_", ["models/dense", Path("models/dense")])
def test_dense_encoders_do_not_depend_on_the_current_folder(
    folders: Path, elsewhere: Callable[[], None], given_: str | Path
) -> None:
    encoder = load_dense(given_, threads=np.int64(1), max_length=np.int64(9))
    assert encoder.max_length == 9
    identity = encoder.identity
    assert identity["source"] == str(folders / "models" / "dense")
    restored = restore_dense(identity, source=given_, threads=np.int64(1))
    elsewhere()
    vectors = encoder.encode_documents(TEXTS)
    assert np.array_equal(restored.encode_documents(TEXTS), vectors)
    assert np.array_equal(restore_dense(identity).encode_documents(TEXTS), vectors)
    for argument in ("threads", "max_length"):
        with pytest.raises(EncoderError, match=f"{argument} must be a whole number of at least 1"):
            load_dense(folders / "models" / "dense", **{argument: 2.0})


def test_names_that_last(folders: Path) -> None:
    assert lasting_name("bm25+splade-tiny") == "bm25+splade-tiny"
    assert lasting_name("bm25:bm25+,k1=1.2") == "bm25:bm25+,k1=1.2"
    assert lasting_name("org/name@main") == "org/name@main"
    assert lasting_name("bm25+models/splade+tiny") == f"bm25+{folders}/models/splade+tiny"
    pair = "efficient-splade:models/csr,models/dense"
    assert lasting_name(pair) == f"efficient-splade:{folders}/models/csr,{folders}/models/dense"
    with pytest.raises(EncoderError, match="an encoder is named by text or by a path, not by int"):
        lsr.load_encoder(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["set", "set/corpus.jsonl"])
def test_collections_do_not_depend_on_the_current_folder(
    folders: Path, elsewhere: Callable[[], None], source: str
) -> None:
    opened = [open_corpus(source), open_corpus(Path(source))]
    wanted = [list(corpus) for corpus in opened]
    elsewhere()
    assert [list(corpus) for corpus in opened] == wanted
    assert [document.id for document in wanted[0]] == [document.id for document in wanted[1]]
    assert opened[0].place == f"{'set/corpus.jsonl'}, line 9"


def test_datasets_do_not_depend_on_the_current_folder(
    folders: Path, elsewhere: Callable[[], None]
) -> None:
    dataset = load_dataset(Path("set"))
    apart = load_dataset(
        "set/corpus.jsonl", queries=Path("set/queries.jsonl"), qrels=Path("set/qrels/test.tsv")
    )
    assert parts_of(Path("set"), None, Silent) == {"set": str(folders / "set")}
    assert load_dataset("set") == dataset
    compared = compare_runs((n for n in (Path("a.trec"), "b.trec")), Path("set"), ["RR"])
    assert compared == compare_runs([Path("a.trec"), Path("b.trec")], "set", ["RR"])
    assert evaluate_run("a.trec", Path("set")).scores == evaluate_run(Path("a.trec"), "set").scores
    assert read_queries(Path("set")) == read_queries("set")
    assert read_qrels(Path("set")) == read_qrels("set")
    assert read_run(Path("a.trec")) == read_run("a.trec")
    assert not is_encoded(Path("set"))
    elsewhere()
    for found in (dataset, apart):
        assert len(list(open_corpus(found.documents))) == 9
        assert found.place_of("q", "d000").endswith("test.tsv, line 2")


def test_dense_sides_by_paths(folders: Path, documents: list[dict[str, str]]) -> None:
    index = lsr.Index.build("index", documents[:9], "bm25")
    add_dense(index.path, documents[:9], load_dense(Path("models/dense")))
    index = lsr.open(index.path)
    index.use_dense_encoder(Path("models/dense"))  # type: ignore[arg-type]
    assert len(index.search("copper", hybrid="rrf")) == 9


def test_named() -> None:
    assert named("it", "a/b") == "a/b"
    assert named("it", Path("a/b")) == str(Path.cwd() / "a" / "b")
    assert named("it", Path("~/b")) == str(Path.home() / "b")
    for wrong in (7, None, b"a", ["a"]):
        with pytest.raises(CorpusError, match=r"^it is named by text or by a path, not by "):
            named("it", wrong, error=CorpusError)
