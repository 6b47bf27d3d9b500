"""Errors, indexes and hits across processes: by pickle, copy, fork and spawn."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lsr
import lsr.errors
from lsr.encoders.base import Encoder
from lsr.errors import (
    DenseCorrupt,
    EncoderError,
    IndexChanged,
    IndexCorrupt,
    LsrError,
    RowError,
    SystemCallError,
)

QUESTIONS = ["glass bees in northern ports", "copper", "", "who repairs tidal mills"]
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
SECONDS = 60  # in which a pool answers, or hangs

CLASSES = sorted(
    (
        kind
        for _, kind in inspect.getmembers(lsr.errors, inspect.isclass)
        if issubclass(kind, LsrError)
    ),
    key=lambda kind: kind.__name__,
)
# Those whose constructor takes something else than a message.
SPECIAL: dict[type[LsrError], tuple[Any, ...]] = {
    RowError: (7, "has no terms"),
    IndexCorrupt: (Path("/i/manifest.json"), "it is not JSON"),
    DenseCorrupt: ("/i/dense/vectors.arrow", "the file is missing"),
    SystemCallError: ("opened", Path("/i"), OSError(24, "Too many open files", "/i/x")),
}


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_errors_come_back_as_they_were(kind: type[LsrError], protocol: int) -> None:
    error = kind(*SPECIAL.get(kind, ("a sentence; what to do",)))
    error.add_note("a note")
    for again in (
        pickle.loads(pickle.dumps(error, protocol)),
        copy.copy(error),
        copy.deepcopy(error),
    ):
        assert type(again) is kind
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
        assert again.exit_code == error.exit_code


def failing(kind: type[LsrError]) -> None:
    raise kind(*SPECIAL.get(kind, ("a sentence",)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_errors_come_out_of_pools(method: str) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        for kind in SPECIAL:
            with pytest.raises(kind):
                pool.apply_async(failing, (kind,)).get(SECONDS)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        for kind in SPECIAL:
            with pytest.raises(kind):
                executor.submit(failing, kind).result(SECONDS)


def answers(index: lsr.Index, questions: list[str], options: dict[str, Any]) -> list[lsr.Hits]:
    return index.search(questions, 5, **options)


def shown(hits: list[lsr.Hits]) -> list[Any]:
    return [
        (h.query, h.ids.tolist(), h.scores.tolist(), [(x.text, str(x.explain())) for x in h])
        for h in hits
    ]


@pytest.fixture(params=[{}, {"hybrid": "rrf"}, {"hybrid": "minmax", "method": "scan"}], ids=str)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_answer_as_one_process(
    hybrid_index: lsr.Index, options: dict[str, Any], method: str
) -> None:
    """The handle goes to the workers, and hits come back."""
    hybrid_index.use_encoder(weights="bm25=.7,splade-tiny=.3")
    try:
        expected = shown(answers(hybrid_index, QUESTIONS, options))
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            jobs = [
                pool.apply_async(answers, (hybrid_index, [question], options))
                for question in QUESTIONS
            ]
            assert [shown(job.get(SECONDS))[0] for job in jobs] == expected
    finally:
        hybrid_index.use_encoder()


def test_threads_answer_as_one(hybrid_index: lsr.Index, options: dict[str, Any]) -> None:
    expected = shown(answers(hybrid_index, QUESTIONS, options))
    index = pickle.loads(pickle.dumps(hybrid_index))
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda q: shown(answers(index, [q], options))[0], QUESTIONS * 8)
        assert list(found) == expected * 8


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_indexes_and_hits_come_back(
    hybrid_index: lsr.Index, options: dict[str, Any], protocol: int
) -> None:
    hits = answers(hybrid_index, QUESTIONS, options)
    expected = shown(hits)
    data = pickle.dumps((hybrid_index, hits), protocol)
    index, again = pickle.loads(data)
    assert shown(again) == expected
    assert shown(pickle.loads(pickle.dumps(again, protocol))) == expected
    assert shown(answers(index, QUESTIONS, options)) == expected
    assert len(pickle.dumps(index, protocol)) < 1000  # a name, not the files
    for made in (copy.copy, copy.deepcopy):
        assert shown(answers(made(hybrid_index), QUESTIONS, options)) == expected
        assert shown(made(hits)) == expected


def test_a_copy_has_encoders_of_its_own(composite_index: lsr.Index) -> None:
    other = copy.copy(composite_index)
    before = composite_index.search("copper").scores.tolist()
    other.use_encoder(weights="bm25=1,splade-tiny=0")
    assert other.search("copper").scores.tolist() != before
    assert composite_index.search("copper").scores.tolist() == before
    assert pickle.loads(pickle.dumps(other)).search("copper").scores.tolist() == (
        other.search("copper").scores.tolist()
    )


def build(path: Path, name: str, *, force: bool = False) -> lsr.Index:
    documents = [{"id": f"{name}{n}", "text": f"{name} copper {n}"} for n in range(5)]
    return lsr.Index.build(path, documents, "bm25", force=force)


@pytest.mark.parametrize("change", ["built again", "removed", "replaced by a file"])
def test_a_handle_refuses_another_edition(tmp_path: Path, change: str) -> None:
    index = build(tmp_path / "i", "old")
    hits = index.search("copper")
    pickled, pickled_hits = pickle.dumps(index), pickle.dumps(hits)
    assert pickle.loads(pickled).search("copper").ids.tolist() == hits.ids.tolist()
    if change == "built again":
        build(tmp_path / "i", "new", force=True)
    else:
        shutil.rmtree(tmp_path / "i")
    if change == "replaced by a file":
        (tmp_path / "i").write_text("dear")
    with pytest.raises(IndexChanged, match=str(tmp_path / "i")):
        pickle.loads(pickled)
    again = pickle.loads(pickled_hits)
    assert (again.ids.tolist(), again.scores.tolist()) == (hits.ids.tolist(), hits.scores.tolist())
    for use in (lambda: again.explain(0), lambda: again[0].text):
        with pytest.raises(IndexChanged):
            use()
    # What is open stays what it was, and so does a copy.
    assert copy.copy(index).search("copper").ids.tolist() == hits.ids.tolist()
    assert copy.deepcopy(hits)[0].text == hits[0].text


def test_the_same_edition_built_again_is_the_same(tmp_path: Path) -> None:
    pickled = pickle.dumps(build(tmp_path / "i", "old"))
    build(tmp_path / "i", "old", force=True)
    assert len(pickle.loads(pickled)) == 5


def test_a_handle_without_dense_vectors_keeps_none(tmp_path: Path, dense_model: Path) -> None:
    from lsr.indexing.dense import add_dense

    documents = [{"id": str(n), "text": f"copper {n}"} for n in range(5)]
    without = lsr.Index.build(tmp_path / "i", documents, "bm25")
    pickled = pickle.dumps(without)
    add_dense(tmp_path / "i", documents, str(dense_model))
    assert pickle.loads(pickled).dense is None
    pickled = pickle.dumps(lsr.open(tmp_path / "i"))
    assert pickle.loads(pickled).dense is not None
    add_dense(tmp_path / "i", documents, str(dense_model), "sq8", force=True)
    with pytest.raises(IndexChanged):
        pickle.loads(pickled)


def test_unloadable_encoders_are_said_when_they_are_needed(tmp_path: Path) -> None:
    """Unpickling opens the index; its encoder is loaded by the first question."""
    model = tmp_path / "model"
    shutil.copytree(str(lsr.encoders.checkpoints.checkpoint.model_path("splade-tiny")), model)
    documents = [{"id": "a", "text": "copper"}]
    index = lsr.Index.build(tmp_path / "i", documents, str(model))
    assert isinstance(index.encoder, Encoder)
    pickled = pickle.dumps(index)
    model.rename(tmp_path / "moved")
    again = pickle.loads(pickled)
    with pytest.raises(EncoderError, match="cannot be found where it was"):
        again.search("copper")
    assert index.search("copper").ids.tolist() == ["a"]
