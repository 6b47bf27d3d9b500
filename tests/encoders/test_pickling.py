"""Encoders in pickles and copies: the same vectors, or a sentence."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.encoders import load_encoder, restore_encoder
from lsr.encoders.base import Where
from lsr.encoders.dense.encoder import load_dense
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors
from support.changed import change_config
from support.tiny_csr import write_tiny_csr
from support.tiny_dense import write_tiny_dense

from .test_uhd import add_buckets

pytestmark = pytest.mark.filterwarnings("ignore:bm25.* finds no terms:lsr.errors.TextWarning")

TEXTS = ["glass bees repair maps", "a", "", "harbour pilots, in rain?", "tidal bees, tidal maps"]
DOCUMENTS = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
HOW: dict[str, Callable[[Any], Any]] = {
    **{
        f"protocol {n}": lambda value, n=n: pickle.loads(pickle.dumps(value, n))
        for n in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture
def make(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> dict[str, Callable[[], Any]]:
    """Encoders of all kinds, with settings that are not the usual ones."""

    def built(name: str, **settings: Any) -> Callable[[], Any]:
        def encoder() -> Any:
            index = lsr.Index.build(tmp_path / "index", DOCUMENTS, name, **settings)
            return index.encoder

        return encoder

    def observed() -> Any:
        encoder = load_encoder("bm25:bm25l,k1=1.3", document_terms=3, query_terms=2)
        encoder.apply_statistics(encoder.collect(TEXTS))
        return encoder

    def weighed() -> Any:
        encoder = built("bm25+splade-tiny", document_terms=9)()
        encoder.set_part_weights("bm25=.3,splade-tiny=.9")
        return encoder

    def calibrated() -> Any:
        encoder = load_encoder("bm25+splade-tiny", weights="bm25=2,splade-tiny=1", threads=1)
        seen = encoder.collect(TEXTS)
        encoder.finalize(lambda: [seen])
        encoder.apply_statistics(seen)
        return encoder

    usual = {"max_length": 9, "document_terms": 7, "query_terms": 5, "device": "cpu", "threads": 1}
    return {
        "bm25": observed,
        "bm25 of an index": built("bm25", document_terms=3),
        "learned": lambda: load_encoder("splade-tiny", batch_size=3, prune_ratio=0.1, **usual),
        "learned of an index": built("splade-tiny", max_length=9),
        "in bf16": lambda: load_encoder("splade-tiny", precision="bf16", threads=1),
        "a method": lambda: load_encoder("splade-doc:splade-tiny"),
        "composite": calibrated,
        "composite of an index": weighed,
        "csr": lambda: load_encoder(write_tiny_csr(tmp_path / "csr"), **usual),
        "dsr": lambda: load_encoder("dsr:splade-tiny", threads=1, max_length=9),
        "uhd": lambda: load_encoder(add_buckets(make_checkpoint()), max_length=9, threads=1),
        "dense": lambda: load_dense(write_tiny_dense(tmp_path / "dense"), threads=1, max_length=9),
    }


NAMES = [
    *("bm25", "bm25 of an index", "learned", "learned of an index", "in bf16", "a method"),
    *("composite", "composite of an index", "csr", "dsr", "uhd", "dense"),
]


def same(a: Any, b: Any) -> bool:
    return a == b if isinstance(a, SparseVectors) else bool(np.array_equal(a, b))


def running(encoder: Any) -> Any:
    """The settings that decide no vector, and so are in no identity; weights of parts."""
    if hasattr(encoder, "parts"):
        return [(part.weight, running(part.encoder)) for part in encoder.parts]
    *_, last = encoder.__reduce__()[1]
    return last if isinstance(last, Where) else running(last)  # of the model that it is of


@pytest.mark.parametrize("name", NAMES)
def test_the_same_vectors(make: dict[str, Callable[[], Any]], name: str) -> None:
    assert sorted(NAMES) == sorted(make)
    encoder = make[name]()
    wanted = encoder.encode_documents(TEXTS), encoder.encode_queries(TEXTS)
    for how in HOW.values():
        again = how(encoder)
        assert type(again) is type(encoder)
        assert again.identity == encoder.identity
        assert again.name == encoder.name
        assert same(again.encode_documents(TEXTS), wanted[0])
        assert same(again.encode_queries(TEXTS), wanted[1])
        if name != "dense":
            size = len(encoder.vocabulary)
            words = [encoder.vocabulary[term] for term in range(size)]
            assert [again.vocabulary[term] for term in range(len(again.vocabulary))] == words
            assert again.vocabulary.find(words[-1]) == size - 1
            assert (
                again.literal_terms(TEXTS[0]).tolist() == encoder.literal_terms(TEXTS[0]).tolist()
            )
            columns = encoder.term_columns()
            assert again.term_columns().keys() == columns.keys()
            assert all(same(again.term_columns()[key], columns[key]) for key in columns)
        assert running(again) == running(encoder)


def test_where_it_runs_is_kept() -> None:
    where = Where(device="cpu", threads=1, batch_size=3, max_memory=1 << 34)
    encoder = load_encoder("splade-tiny", **vars(where))
    assert all(running(how(encoder)) == where for how in HOW.values())


def test_no_weights_of_a_model_are_in_a_pickle() -> None:
    encoder = load_encoder("splade-tiny")
    encoder.encode_documents(TEXTS)
    assert len(pickle.dumps(encoder)) < 600_000  # most of it words; the model has 9 MB


def load_observed(name: str, seen: int) -> Any:
    encoder = load_encoder(name, document_terms=8)
    encoder.collect(TEXTS[:seen])
    return encoder


@pytest.mark.parametrize("name", ["bm25", "bm25+splade-tiny"])
@pytest.mark.parametrize("seen", [0, 2, 5])
def test_an_encoder_that_still_observes_goes_on(name: str, seen: int) -> None:
    encoder = load_encoder(name, document_terms=8)
    first = encoder.collect(TEXTS[:seen])
    before = encoder.identity, {k: v.copy() for k, v in encoder.term_columns().items()}
    for how in HOW.values():
        results = []
        for one in (how(encoder), load_observed(name, seen)):
            rest = one.collect(TEXTS[seen:] + TEXTS[:2])
            all_seen = SparseVectors.concatenate([first, rest])
            one.finalize(lambda all_seen=all_seen: [all_seen])
            results.append(
                (one.apply_statistics(all_seen), one.identity, one.encode_queries(TEXTS))
            )
        assert results[0] == results[1]
        columns = encoder.term_columns()
        assert encoder.identity == before[0]  # none of them has touched it
        assert all(same(columns[key], before[1][key]) for key in columns)


def test_a_copy_of_final_statistics_does_not_grow(make: dict[str, Callable[[], Any]]) -> None:
    for how in HOW.values():
        with pytest.raises(EncoderError, match="belong to an index and do not grow"):
            how(make["bm25"]()).collect(TEXTS)


@pytest.mark.parametrize("kind", ["learned", "csr", "dense", "composite", "uhd"])
def test_models_that_are_gone_or_changed(
    tmp_path: Path, make_checkpoint: Callable[..., Path], kind: str
) -> None:
    if kind == "csr":
        folder = write_tiny_csr(tmp_path / "model")
    elif kind == "dense":
        folder = write_tiny_dense(tmp_path / "model")
    else:
        folder = make_checkpoint(name="model")
        if kind == "uhd":
            add_buckets(folder)
    if kind == "composite":
        index = lsr.Index.build(tmp_path / "i", DOCUMENTS, f"bm25+{folder}", max_length=20)
        encoder: Any = index.encoder
    else:
        encoder = load_dense(folder) if kind == "dense" else load_encoder(folder, max_length=20)
    data = pickle.dumps(encoder)
    change_config(folder, other_field=1)
    sentence = (
        rf"encoder .* cannot be unpickled or copied: {folder} holds another encoder now; restore"
    )
    with pytest.raises(EncoderMismatch, match=sentence):
        pickle.loads(data)
    with pytest.raises(EncoderMismatch, match=sentence):
        copy.copy(encoder)
    shutil.rmtree(folder)
    with pytest.raises(EncoderError, match=f"it cannot be loaded from {folder} now; restore"):
        pickle.loads(data)


def test_an_encoder_of_another_release_is_refused() -> None:
    encoder = load_encoder("bm25")
    encoder.collect(TEXTS)
    remade, (identity, *rest), state = encoder.__reduce__()
    assert remade(identity, *rest).identity == encoder.identity
    with pytest.raises(EncoderError, match="'bm25' cannot be unpickled or copied"):
        remade({**identity, "stemmer": "other"}, *rest)
    assert state["grows"]


def test_restored_with_threads() -> None:
    encoder = load_encoder("splade-tiny")
    restored: Any = restore_encoder(
        encoder.identity, encoder.vocabulary, {}, threads=np.int64(2), batch_size=5
    )
    assert running(restored) == Where(threads=2, batch_size=5)
    assert restored.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)


def test_in_threads() -> None:
    encoder = load_encoder("splade-tiny", threads=1)
    wanted = encoder.encode_documents(TEXTS)
    data = pickle.dumps(encoder)

    def work(number: int) -> SparseVectors:
        return pickle.loads(pickle.dumps(pickle.loads(data))).encode_documents(TEXTS)

    with ThreadPoolExecutor(4) as pool:
        assert all(vectors == wanted for vectors in pool.map(work, range(8)))


def test_in_another_process(tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "index", DOCUMENTS, "bm25+splade-tiny")
    encoder = index.encoder
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(encoder.encode_queries, (TEXTS,)).get(timeout=240)
    assert found == encoder.encode_queries(TEXTS)
