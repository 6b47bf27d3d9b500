from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lsr.data.builtin import model_path
from lsr.encoders import load_encoder, restore_encoder
from lsr.encoders.checkpoints.checkpoint import content_hash
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors

from .conftest import IN_TORCH, ROWS

MakeCheckpoint = Callable[..., Path]
Dense = npt.NDArray[np.float32]

QUERY = "Which planet is known as the Red Planet?"
DOCUMENTS = [
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet.",
]
# One long text among short ones makes much padding; the longest exceeds max_length 24.
TEXTS = ["red", "the reddish planet, saturns rings. " * 8, "", "mars is known", "venus " * 20, "a"]


def dense(vectors: SparseVectors, terms: int) -> Dense:
    matrix = np.zeros((len(vectors), terms), np.float32)
    for row, vector in enumerate(vectors):
        assert (np.diff(vector.terms.astype(np.int64)) > 0).all()
        matrix[row, vector.terms] = vector.weights
    assert (vectors.weights > 0).all()
    return matrix


def plain_splade(folder: Path, texts: list[str], max_length: int, pooling: str) -> Dense:
    """The formula on all logits of one text at a time; "" has none."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).float().eval()
    rows = []
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer(text, truncation=True, max_length=max_length)["input_ids"]
            weights = torch.log1p(torch.relu(model(torch.tensor([ids])).logits[0]))
            rows.append((weights.amax(0) if pooling == "max" else weights.sum(0)) * bool(text))
    return torch.stack(rows).numpy()


def test_golden_of_the_builtin_model() -> None:
    encoder = load_encoder()
    queries = dense(encoder.encode_queries([QUERY]), 30522)
    documents = dense(encoder.encode_documents(DOCUMENTS), 30522)
    assert (queries @ documents.T)[0] == pytest.approx(
        [4.9911, 18.6242, 12.6207, 13.8975], abs=1e-3
    )
    assert [word for word, _ in encoder.decode(encoder.encode_queries([QUERY]), 2)] == [
        "red",
        "planet",
    ]
    words = {encoder.vocabulary[int(term)] for term in encoder.literal_terms(QUERY)}
    assert words == {"?", "is", "the", "as", "which", "known", "red", "planet"}
    assert encoder.vocabulary.find("planet") == 4774
    assert encoder.vocabulary.find("no such token") is None


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "modernbert"])
@pytest.mark.parametrize("pool", ["max", "sum"])
def test_equals_the_plain_formula(make_checkpoint: MakeCheckpoint, kind: str, pool: str) -> None:
    folder = make_checkpoint(kind)
    expected = plain_splade(folder, TEXTS, 24, pool)
    assert 0.1 < (expected > 0).mean() < 0.95  # neither all zero nor nothing to leave out
    encoder = load_encoder(str(folder), max_length=24, pooling=pool)
    assert len(encoder.vocabulary) == expected.shape[1]
    for encode in (encoder.encode_documents, encoder.encode_queries):
        assert dense(encode(TEXTS), expected.shape[1]) == pytest.approx(
            expected, rel=1e-5, abs=2e-5
        )
    # Small batches, several threads and torch come to the same.
    pieces = load_encoder(str(folder), max_length=24, pooling=pool, batch_size=2, threads=3)
    many = dense(pieces.encode_documents(TEXTS * 20), expected.shape[1])
    assert many == pytest.approx(np.tile(expected, (20, 1)), rel=1e-5, abs=2e-5)
    in_torch = load_encoder(str(folder), max_length=24, pooling=pool, **IN_TORCH)
    assert dense(in_torch.encode_documents(TEXTS), expected.shape[1]) == pytest.approx(
        expected, rel=1e-5, abs=2e-5
    )


def test_equals_sentence_transformers() -> None:
    folder = model_path("splade-tiny")
    assert folder is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse_encoder = pytest.importorskip("sentence_transformers").SparseEncoder
        peer = sparse_encoder(str(folder), device="cpu", model_kwargs={"dtype": "float32"})
        peer.max_seq_length = 64
        texts = [QUERY, *DOCUMENTS, "", " ".join(DOCUMENTS * 4)]
        expected = peer.encode(texts, convert_to_sparse_tensor=False, show_progress_bar=False)
        expected[texts.index("")] = 0  # where that library has what [CLS] and [SEP] expand to
    found = load_encoder("splade-tiny", max_length=64).encode_documents(texts)
    assert dense(found, 30522) == pytest.approx(expected.float().numpy(), abs=1e-4)


def test_no_texts_and_no_order() -> None:
    encoder = load_encoder()
    assert encoder.encode_documents([]) == SparseVectors.from_rows([])
    one_by_one = [encoder.encode_documents([text]) for text in DOCUMENTS]
    together = dense(encoder.encode_documents(DOCUMENTS), 30522)
    assert together == pytest.approx(dense(SparseVectors.concatenate(one_by_one), 30522), abs=1e-5)


def test_only_the_strongest_terms(make_checkpoint: MakeCheckpoint) -> None:
    folder = str(make_checkpoint())
    whole = load_encoder(folder, max_length=24)
    encoder = load_encoder(folder, max_length=24, document_terms=3, query_terms=1)
    assert encoder.encode_documents(TEXTS) == whole.encode_documents(TEXTS).strongest(3)
    assert encoder.encode_queries(TEXTS) == whole.encode_queries(TEXTS).strongest(1)
    assert encoder.apply_statistics(encoder.collect(TEXTS)) == encoder.encode_documents(TEXTS)


def test_literal_terms_stop_where_reading_stops(make_checkpoint: MakeCheckpoint) -> None:
    encoder = load_encoder(str(make_checkpoint()), max_length=4)
    words = [encoder.vocabulary[int(term)] for term in encoder.literal_terms("venus red planet")]
    assert sorted(words) == ["red", "venus"]
    assert encoder.literal_terms("").tolist() == []
    assert encoder.literal_terms("red red").dtype == np.uint32


def test_rows_beyond_the_tokenizer_have_a_name(make_checkpoint: MakeCheckpoint) -> None:
    vocabulary = load_encoder(str(make_checkpoint()), max_length=16).vocabulary
    words = [vocabulary[term] for term in range(len(vocabulary))]
    assert words[-1] == "[unused-39]"
    assert len(set(words)) == len(words) == 40
    assert all(vocabulary.find(word) == term for term, word in enumerate(words[:20]))


def test_threads_encode_as_one_does() -> None:
    encoder = load_encoder()
    texts = [QUERY, *DOCUMENTS] * 4
    alone = [encoder.encode_queries([text]) for text in texts]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda text: encoder.encode_queries([text]), texts)) == alone


def test_out_of_memory_halves_the_batch(
    make_checkpoint: MakeCheckpoint, before_each_batch: Callable[..., None]
) -> None:
    encoder = load_encoder(str(make_checkpoint()), max_length=24, threads=1, **IN_TORCH)
    expected = dense(encoder.encode_documents(TEXTS), ROWS)
    sizes: list[int] = []

    def scarce(_: Any, ids: Any) -> None:
        sizes.append(len(ids))
        if len(ids) > room:
            raise RuntimeError("DefaultCPUAllocator: not enough memory")  # as torch says it

    before_each_batch(scarce)
    room = 2
    assert dense(encoder.encode_documents(TEXTS), ROWS) == pytest.approx(expected, abs=1e-5)
    assert sizes == [5, 2, 3, 1, 2]
    # The next batches are made smaller from the start.
    sizes.clear()
    assert dense(encoder.encode_documents(TEXTS), ROWS) == pytest.approx(expected, abs=1e-5)
    assert max(sizes) <= 2
    room = 0
    with pytest.raises(EncoderError, match="no memory for one text of 24 tokens"):
        encoder.encode_documents(TEXTS)


def test_bad_texts_are_refused() -> None:
    encoder = load_encoder()
    for encode in (encoder.encode_documents, encoder.encode_queries):
        with pytest.raises(EncoderError, match="text 1 of the batch has a lone surrogate"):
            encode(["fine", "a\ud800"])
        with pytest.raises(EncoderError, match="list of texts"):
            encode("")
    with pytest.raises(EncoderError, match="lone surrogate"):
        encoder.literal_terms("a\ud800")


def test_pooling_comes_from_the_checkpoint_unless_given(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint()
    modules = [{"path": "", "type": "x.Transformer"}, {"path": "1", "type": "x.SpladePooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1").mkdir()
    (folder / "1" / "config.json").write_text('{"pooling_strategy": "sum"}')
    for given, pool in ((None, "sum"), ("max", "max")):
        identity = load_encoder(str(folder), max_length=16, pooling=given).identity
        assert identity["query"]["pooling"] == identity["document"]["pooling"] == pool


SUM = {
    "head": "mlm",
    "activation": "log1p",
    "pooling": "sum",
    "own_terms": False,
    "ratio": 0.0,
    "top": None,
    "positions": "all",
    "phrases": None,
    "literal_residual": False,
    "unit": False,
}


def test_identity_and_restoring(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    folder = make_checkpoint()
    built = load_encoder(str(folder), max_length=12, pooling="sum", document_terms=9, batch_size=2)
    identity = json.loads(json.dumps(built.identity))
    assert {key: identity[key] for key in identity if not key.endswith("_hash")} == {
        "kind": "learned",
        "name": "tiny",
        "method": "splade-max",
        "source": str(folder),
        "revision": None,
        "max_length": 12,
        "precision": "float32",
        "query": SUM,
        "document": SUM,
        "document_terms": 9,
        "query_terms": None,
    }
    assert identity["content_hash"] == content_hash(folder)
    again = restore_encoder(identity, built.vocabulary, {}, batch_size=2)
    assert again.identity == identity
    assert again.encode_documents(TEXTS) == built.encode_documents(TEXTS)

    moved = shutil.move(folder, tmp_path / "moved")
    with pytest.raises(EncoderError, match=r"cannot be found where it was.*--encoder FOLDER"):
        restore_encoder(identity, built.vocabulary, {})
    again = restore_encoder(identity, built.vocabulary, {}, source=str(moved), batch_size=2)
    assert again.encode_documents(TEXTS) == built.encode_documents(TEXTS)

    other = make_checkpoint("distilbert", "other")
    with pytest.raises(EncoderMismatch) as raised:
        restore_encoder(identity, built.vocabulary, {}, source=str(other))
    for part in ("'tiny'", "'other'", identity["content_hash"], content_hash(other)):
        assert part in str(raised.value)
    with pytest.raises(EncoderMismatch, match="other words"):
        restore_encoder(
            {**identity, "vocabulary_hash": "0"}, built.vocabulary, {}, source=str(moved)
        )
    del identity["content_hash"]
    with pytest.raises(EncoderError, match="lacks 'content_hash'"):
        restore_encoder(identity, built.vocabulary, {})
