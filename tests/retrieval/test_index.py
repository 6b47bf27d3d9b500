"""`lsr.Index` from Python: what goes in, what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.errors import (
    CorpusError,
    EncoderError,
    EncoderMismatch,
    IndexCorrupt,
    IndexExists,
    IndexFormatError,
    LsrError,
    QueryError,
    VectorError,
)
from support.bare_index import write_index
from support.editions import only

QUESTIONS = ["who repairs tidal mills", "winter wheat near a bridge", "zyzzyva", "", "copper 😀"]


def ranking(hits: lsr.Hits) -> list[tuple[str, float]]:
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


def test_the_names_of_the_package() -> None:
    assert set(lsr.__all__) <= {*dir(lsr)}
    for name in lsr.__all__:
        assert getattr(lsr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Indexes'"):
        _ = lsr.Indexes  # type: ignore[attr-defined]


def test_hits_are_arrays_and_hits(bm25_index: lsr.Index) -> None:
    hits = bm25_index.search("who repairs tidal mills", k=3)
    assert hits.query == "who repairs tidal mills"
    assert len(hits) == 3
    assert (hits.ids.shape, hits.ids.dtype.kind) == ((3,), "U")
    assert (hits.scores.shape, hits.scores.dtype) == ((3,), np.float64)
    assert (np.diff(hits.scores) <= 0).all()
    assert [hit.id for hit in hits] == hits.ids.tolist()
    assert hits[-1].score == hits.scores[2]
    for outside in (3, -4):
        with pytest.raises(IndexError, match="there are 3"):
            hits[outside]
    best = hits[0]
    assert "tidal mills" in best.text
    assert best.title in ("", best.text.split(" ", 1)[1][: len(best.title)])
    assert repr(best) == f"Hit({best.id!r}, {best.score:.3f})"
    assert repr(hits).startswith(f"Hits(3: {best.id} {best.score:.3f}, ")


def test_scores_are_bm25(bm25_index: lsr.Index, documents: list[dict[str, str]]) -> None:
    """Ids, titles, texts and weights of one document stay together through the build."""
    encoder = bm25_index.encoder
    texts = [f"{d['title']} {d['text']}".strip() for d in documents]
    vectors = encoder.encode_documents(texts)
    dense = np.zeros((len(texts), len(encoder.vocabulary)))
    dense[np.repeat(np.arange(len(texts)), np.diff(vectors.indptr)), vectors.terms] = (
        vectors.weights
    )
    query = encoder.encode_queries(["repair tidal mills"])[0]
    expected = dense[:, query.terms] @ query.weights.astype(np.float64)
    hits = bm25_index.search("repair tidal mills", k=len(texts), exact_floats=True)
    scores = dict(ranking(hits))
    for document, score in zip(documents, expected.tolist(), strict=True):
        assert scores.get(document["id"], 0.0) == pytest.approx(score)
    assert len(scores) == (expected > 0).sum()


@pytest.mark.parametrize("exact_floats", [False, True])
@pytest.mark.parametrize("method", ["auto", "scan", "pruned", "reference"])
def test_a_batch_gives_what_its_questions_give(
    bm25_index: lsr.Index, method: str, exact_floats: bool
) -> None:
    batch = bm25_index.search(QUESTIONS, 7, method=method, exact_floats=exact_floats)
    assert isinstance(batch, list)
    for question, hits in zip(QUESTIONS, batch, strict=True):
        assert hits.query == question
        single = bm25_index.search(question, 7, method=method, exact_floats=exact_floats)
        assert ranking(hits) == ranking(single)
        assert ranking(single) == ranking(bm25_index.search(question, 7, exact_floats=exact_floats))
    vectors = bm25_index.encoder.encode_queries(QUESTIONS)
    by_vector = bm25_index.search_vectors(vectors, 7, method=method, exact_floats=exact_floats)
    assert [ranking(hits) for hits in by_vector] == [ranking(hits) for hits in batch]
    assert [hits.query for hits in by_vector] == [None] * len(QUESTIONS)
    of_texts = bm25_index.search_vectors(vectors, 7, method=method, queries=QUESTIONS)
    assert [hits.query for hits in of_texts] == QUESTIONS
    with pytest.raises(QueryError, match="1 queries for"):
        bm25_index.search_vectors(vectors, queries=QUESTIONS[:1])


def test_threads_change_nothing(bm25_index: lsr.Index) -> None:
    questions = QUESTIONS * 5
    one = bm25_index.search(questions, 9)
    for threads in (2, 3, 64):
        many = bm25_index.search(questions, 9, threads=threads)
        assert [ranking(hits) for hits in many] == [ranking(hits) for hits in one]
    assert bm25_index.search([], threads=2) == []
    with ThreadPoolExecutor(4) as pool:  # and an index may be shared
        both = list(pool.map(lambda q: ranking(bm25_index.search(q, 9)), questions))
    assert both == [ranking(hits) for hits in one]


def test_fewer_hits_than_wanted(bm25_index: lsr.Index, splade_index: lsr.Index) -> None:
    for index in (bm25_index, splade_index):
        everything = index.search("copper", k=10**9)
        assert 0 < len(everything) <= len(index)
        assert len(set(everything.ids.tolist())) == len(everything)
        assert ranking(index.search("copper", k=len(everything))) == ranking(everything)
    for nothing in ("", "zyzzyva", "😀", " \n\t"):
        assert ranking(bm25_index.search(nothing)) == []
    # The model may add terms to any text, but must not fall over.
    assert [len(hits) <= 10 for hits in splade_index.search(["", "😀 👩‍🚀", "z" * 9999])] == [
        True
    ] * 3
    assert splade_index.search([]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be a whole number of at least 1, not 0"),
        ({"k": -3}, "k must be a whole number of at least 1, not -3"),
        ({"threads": 0}, "threads must be a whole number of at least 1, not 0"),
        ({"method": "wand"}, "there is no search method 'wand'; use auto, scan, pruned"),
    ],
)
def test_parameters_out_of_range(
    bm25_index: lsr.Index, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        bm25_index.search("copper", **options)


def test_exact_floats_need_the_floats(splade_index: lsr.Index) -> None:
    with pytest.raises(QueryError, match="build the index with --keep-floats"):
        splade_index.search("copper", exact_floats=True)


def test_get(bm25_index: lsr.Index, splade_index: lsr.Index, documents: list[Any]) -> None:
    given = documents[12]
    text = f"{given['title']} {given['text']}"
    exact = bm25_index.get(given["id"])
    assert (exact.id, exact.title, exact.text) == (given["id"], given["title"], given["text"])
    assert exact.vector == bm25_index.encoder.encode_documents([text])

    rounded = splade_index.get(given["id"])
    vector = splade_index.encoder.encode_documents([text])
    assert rounded.text == given["text"]
    assert np.array_equal(rounded.vector.terms, vector.terms)
    difference = np.abs(rounded.vector.weights.astype(float) - vector.weights)
    assert 0 < difference.max() <= splade_index.manifest.error * (1 + 1e-6)
    for missing in ("d", "", "ä", "\ud800"):
        with pytest.raises(QueryError, match="there is no document"):
            bm25_index.get(missing)


def test_an_index_of_vectors(tmp_path: Path) -> None:
    vectors = lsr.SparseVectors([0, 2, 2, 4], [3, 2**32 - 1, 3, 9], [1.5, 0.25, 0.5, 0])
    index = lsr.Index.from_vectors(tmp_path / "v", ["a", "b", "ü"], vectors, keep_floats=True)
    assert (len(index), index.manifest.encoder, index.info()["vocabulary"]) == (3, None, 0)
    queries = lsr.SparseVectors([0, 3, 3, 4], [3, 9, 2**32 - 1, 77], [2, 2, 2, 1])
    for exact_floats in (False, True):
        first, empty, unknown = index.search_vectors(queries, exact_floats=exact_floats)
        off = 1e-9 if exact_floats else 0.02
        assert ranking(first) == [
            ("a", pytest.approx(3.5, abs=off)),
            ("ü", pytest.approx(1.0, abs=off)),
        ]
        assert ranking(empty) == ranking(unknown) == []
        why = first[0].explain()
        assert [match.term for match in why.terms] == ["#3", "#4294967295"]
        assert [match.kind for match in why.terms] == [None, None]
        # A weight of zero is no posting: term 9 is no reason.
        assert [match.term for match in first[1].explain().terms] == ["#3"]
    assert (first[0].title, first[0].text) == ("", "")
    assert index.get("a").vector == vectors[0]
    assert index.get("b").vector.terms.size == 0
    assert index.get("ü").vector.terms.tolist() == [3]
    with pytest.raises(EncoderError, match="built from vectors without an encoder; search it with"):
        index.search("text")
    with pytest.raises(EncoderError, match="without an encoder"):
        index.use_encoder("bm25")


def test_vectors_and_ids_must_fit(tmp_path: Path) -> None:
    two = lsr.SparseVectors([0, 1, 2], [1, 1], [1, 1])
    wrong: list[tuple[list[Any], type[LsrError], str]] = [
        (["a"], VectorError, "1 ids for 2 vectors"),
        (["a", "a"], CorpusError, "document 2: the id 'a' is repeated"),
        (["a", ""], CorpusError, "document 2: has an empty id"),
        (["a", None], CorpusError, "document 2: has no id"),
    ]
    for ids, error, message in wrong:
        with pytest.raises(error, match=message):
            lsr.Index.from_vectors(tmp_path / "v", ids, two)
        assert list(tmp_path.iterdir()) == []


BAD_DOCUMENTS: dict[str, tuple[list[Any], str]] = {
    "string": (["text"], "document 1 is str, not a mapping"),
    "no text": ([{"id": "a"}], "document 1: has no text"),
    "no id": ([{"id": "a", "text": ""}, {"text": "x"}], "document 2: has no id"),
    "twice": ([{"id": 7, "text": "x"}, {"id": "7", "text": "y"}], "document 2: the id '7' is"),
    "surrogate": ([{"id": "a", "text": "\ud800"}], "document 1: has the lone surrogate"),
}


@pytest.mark.parametrize("case", BAD_DOCUMENTS)
@pytest.mark.parametrize("encoder", ["bm25", "splade-tiny"])
def test_bad_documents(tmp_path: Path, case: str, encoder: str) -> None:
    bad, message = BAD_DOCUMENTS[case]
    with pytest.raises(CorpusError, match=message):
        lsr.Index.build(tmp_path / "i", bad, encoder)
    assert list(tmp_path.iterdir()) == []


def test_no_documents_make_an_empty_index(tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "i", [], "bm25")
    assert (len(index), ranking(index.search("copper"))) == (0, [])
    assert index.info()["active_terms"]["largest"] == 0
    empty = lsr.Index.from_vectors(tmp_path / "v", [], lsr.SparseVectors([0], [], []))
    assert ranking(empty.search_vectors(lsr.SparseVectors([0, 1], [1], [1]))[0]) == []


def test_an_error_of_the_documents_comes_through(tmp_path: Path) -> None:
    def broken() -> Any:
        yield {"id": "a", "text": "x"}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lsr.Index.build(tmp_path / "i", broken(), "bm25")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"bits": 4}, LsrError),
        ({"bits": 1, "keep_floats": True}, LsrError),
        ({"max_memory": 1000}, LsrError),
        ({"threads": 0}, LsrError),
        ({"encoder": "no-such-model"}, EncoderError),
        ({"encoder": "bm25:nope"}, EncoderError),
        ({"max_length": 0}, EncoderError),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], error: type[LsrError]) -> None:
    with pytest.raises(error):
        lsr.Index.build(tmp_path / "i", [{"id": "a", "text": "x"}], **{"encoder": "bm25"} | options)
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_an_index(tmp_path: Path) -> None:
    one, two = [{"id": "a", "text": "copper"}], [{"id": "b", "text": "copper"}]
    path = tmp_path / "deep" / "down" / "index"
    built = lsr.Index.build(str(path), one, "bm25")
    assert repr(built) == f"Index({str(path)!r}: 1 documents, bm25)"
    with pytest.raises(IndexExists, match="is already an index; add --force"):
        lsr.Index.build(path, two, "bm25")
    assert lsr.open(path).search("copper").ids.tolist() == ["a"]
    assert lsr.Index.build(path, two, "bm25", force=True).search("copper").ids.tolist() == ["b"]
    # The replaced one stays usable where it is open.
    assert built.search("copper").ids.tolist() == ["a"]
    assert [file.name for file in path.parent.iterdir()] == ["index"]
    (tmp_path / "empty").mkdir()
    with lsr.Index.build(tmp_path / "empty", one, "bm25") as index:
        assert len(index) == 1
    with pytest.raises(IndexFormatError, match=r"is not an index: it has no manifest\.json"):
        lsr.open(tmp_path)


def test_sixteen_bits_are_finer(tmp_path: Path, documents: list[dict[str, str]]) -> None:
    index = lsr.Index.build(tmp_path / "i", documents, "bm25", bits=16)
    assert index.manifest.error < index.manifest.step * 0.51
    assert index.manifest.step < 1e-3
    vector = index.encoder.encode_documents([documents[2]["text"]])
    assert np.allclose(index.get("d002").vector.weights, vector.weights, atol=1e-3)


def test_a_build_keeps_within_its_memory(tmp_path: Path) -> None:
    """900,000 entries are more than one partition may hold of 64 MiB."""
    vectors = np.ones((900, 1000), np.float32)
    ids = [f"d{number}" for number in range(len(vectors))]
    for number, (memory, partitions) in enumerate(((1 << 26, [838, 62]), (1 << 28, [900]))):
        made = lsr.Index.from_vectors(
            tmp_path / str(number), ids, vectors, max_memory=memory, threads=1
        )
        assert made.manifest.segments[0].partitions == partitions


def test_small_partitions_and_shards_give_the_same_hits(
    tmp_path: Path,
    shards_of: Callable[..., None],
    segment_limits: Callable[..., None],
    bm25_index: lsr.Index,
    documents: list[dict[str, str]],
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    shards_of(10)
    lsr.Index.build(tmp_path / "i", documents, "bm25", keep_floats=True)
    assert files_of(tmp_path / "i") == files_of(bm25_index.path)
    shards_of(10, characters=200)
    segment_limits(partition=20)
    cut = lsr.Index.build(tmp_path / "j", documents, "bm25", keep_floats=True)
    assert len(cut.manifest.segments[0].partitions) > 5
    for exact_floats in (False, True):
        for question in QUESTIONS:
            wanted = bm25_index.search(question, 99, exact_floats=exact_floats)
            assert ranking(cut.search(question, 99, exact_floats=exact_floats)) == ranking(wanted)


def test_too_many_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A collection of 4,294,967,296 takes days to read.
    monkeypatch.setattr("lsr.indexing.encode.MOST_DOCUMENTS", 2)
    with pytest.raises(CorpusError, match="an index holds at most 2 documents"):
        lsr.Index.build(tmp_path / "i", [{"id": str(i), "text": ""} for i in range(3)], "bm25")


def test_the_encoder_of_an_index(splade_index: lsr.Index, bm25_index: lsr.Index) -> None:
    assert splade_index.encoder is splade_index.encoder
    words = [word for word, _ in splade_index.encoder.decode(splade_index.get("d000").vector, 3)]
    assert {"tidal", "mills"} < {*words}
    term = splade_index.reader.find_term(words[0])
    assert term is not None
    assert splade_index.reader.word(term) == words[0]
    assert splade_index.reader.word(2**31) == f"#{2**31}"
    with pytest.raises(EncoderMismatch, match="of the kind 'bm25', but 'splade-tiny' is"):
        lsr.open(bm25_index.path).use_encoder("splade-tiny")
    with pytest.raises(EncoderMismatch, match="'bm25', but 'bm25:atire' was given"):
        lsr.open(bm25_index.path).use_encoder("bm25:atire")


def test_a_source_that_fails_is_not_blamed_on_the_index(tmp_path: Path) -> None:
    def documents() -> Iterator[dict[str, str]]:
        yield {"id": "1", "text": "a"}
        raise OSError("the network is down")

    with pytest.raises(CorpusError, match="cannot be read: the network is down"):
        lsr.Index.build(tmp_path / "index", documents(), encoder="bm25")
    assert list(tmp_path.iterdir()) == []


def test_statistics_of_two_collections_do_not_mix(tmp_path: Path) -> None:
    encoder = lsr.load_encoder("bm25")
    lsr.Index.build(tmp_path / "one", [{"id": "1", "text": "a word"}], encoder)
    with pytest.raises(EncoderError, match="load a new encoder"):
        lsr.Index.build(tmp_path / "two", [{"id": "1", "text": "another"}], encoder)


def test_the_vector_of_a_number(
    splade_index: lsr.Index, bm25_index: lsr.Index, copy: Callable[[lsr.Index], Path]
) -> None:
    for index in (splade_index, bm25_index):
        assert index.reader.vector_of(3) == index.get(index.reader.id_of(3)).vector
    path = copy(bm25_index)
    file = only(path, "segments/*/floats.arrow")
    weight = bm25_index.reader.vector_of(3).weights[0].tobytes()
    file.write_bytes(file.read_bytes().replace(weight, np.float32(np.nan).tobytes()))
    with pytest.raises(
        IndexCorrupt, match=f"document '{bm25_index.reader.id_of(3)}': row 0 has the weight nan"
    ):
        lsr.open(path).reader.vector_of(3)


@pytest.mark.parametrize("exact_floats", [False, True])
def test_scores_of_given_documents(
    bm25_index: lsr.Index, documents: list[dict[str, str]], exact_floats: bool
) -> None:
    vector = bm25_index.encoder.encode_queries(["who repairs tidal mills in northern ports"])
    (hits,) = bm25_index.search_vectors(vector, 144, exact_floats=exact_floats)
    numbers = np.arange(144)[::-1]
    scores = bm25_index.reader.score(vector, numbers, exact_floats=exact_floats)
    found = dict(zip(hits.docids.tolist(), hits.scores.tolist(), strict=True))
    assert 0 < len(found) < 144
    assert scores.tolist() == [found.get(number, 0.0) for number in numbers.tolist()]
    assert bm25_index.reader.score(vector, []).size == 0


def test_numbers_and_places(bm25_index: lsr.Index, documents: list[dict[str, str]]) -> None:
    places = np.arange(144)
    numbers = bm25_index.reader.docids_of(places)
    assert not np.array_equal(numbers, places)
    assert [bm25_index.reader.id_of(n) for n in numbers.tolist()] == [d["id"] for d in documents]
    assert (bm25_index.reader.positions_of(numbers) == places).all()


def test_impossible_positions(tmp_path: Path) -> None:
    vectors = lsr.SparseVectors.from_rows([([1], [1.0])] * 3)
    for wrong in ([1, 2, 3], [2, 0, 2]):
        path, _ = write_index(tmp_path, vectors, positions=np.array(wrong, np.uint32))
        with pytest.raises(IndexCorrupt, match="two documents have one position, or one lies"):
            lsr.open(path).reader.docids_of([0])
