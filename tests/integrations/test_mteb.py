"""lsr as a model of MTEB, on tasks defined here."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.encoders import Encoder
from lsr.errors import CorpusError, EncoderError, QueryError
from lsr.integrations.mteb import LsrSearch
from lsr.vectors import SparseVectors
from support.documented import documented, run

mteb = pytest.importorskip("mteb", reason="mteb is not installed (make interop)")

from datasets import Dataset  # noqa: E402  # comes with mteb
from mteb.abstasks import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402

# ir-measures' name -> MTEB's, and trec_eval's in the scores of single queries
NAMES = {
    "nDCG@10": ("ndcg_at_10", "ndcg_cut_10"),
    "AP@100": ("map_at_100", "map_cut_100"),
    "R@100": ("recall_at_100", "recall_100"),
    "P@5": ("precision_at_5", "P_5"),
    "Success@3": ("hit_rate_at_3", "success_3"),
    "RR": ("mrr_at_1000", None),
}
CORPUS = [
    {"id": "b", "title": "", "text": "the red planet mars"},
    {"id": "c", "title": "Jupiter", "text": "a planet with a red spot"},
    {"id": "a", "title": "", "text": "the red planet mars"},
    {"id": "d", "title": "", "text": "stars"},
]


class Task(AbsTaskRetrieval):  # type: ignore[misc]  # mteb may be absent
    """A retrieval task that is given its data; it notes what it is to score."""

    metadata = TaskMetadata(
        name="SmallTask",
        description="For tests.",
        type="Retrieval",
        category="t2t",
        dataset={"path": "none", "revision": "1"},
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_1",
    )

    def __init__(self, corpus: Any, queries: Any, qrels: Any, top_ranked: Any = None) -> None:
        super().__init__()
        data = {
            "corpus": Dataset.from_list(corpus),
            "queries": Dataset.from_list(queries),
            "relevant_docs": qrels,
            "top_ranked": top_ranked,
        }
        self.dataset = {"default": {"test": data}}
        self.data_loaded = True
        self.noted: tuple[Any, Any] | None = None

    def cut_at(self, *ks: int) -> None:
        """Ask for measures at these cutoffs, as the class of a task in mteb says them."""
        self.k_values, self._top_k = ks, max(ks)

    def task_specific_scores(self, scores: Any, qrels: Any, results: Any, **_: Any) -> Any:
        self.noted = scores, results
        return {}


def small(**changes: Any) -> Task:
    queries = [{"id": "1", "text": "red planet"}, {"id": "2", "text": "zyzzyva"}]
    qrels = {"1": {"a": 1}, "2": {"b": 1}}
    return Task(**{"corpus": CORPUS, "queries": queries, "qrels": qrels, **changes})


def evaluate(model: LsrSearch, task: Task, **options: Any) -> dict[str, float]:
    options = {"cache": None, "co2_tracker": False, "show_progress_bar": False, **options}
    (result,) = mteb.evaluate(model, task, **options).task_results
    scores: dict[str, float] = result.scores["test"][0]
    return scores


@pytest.mark.parametrize("encoder", ["bm25", "splade-tiny"])
def test_mteb_gives_what_lsr_eval_gives(
    judged: Any, lsr_eval: Callable[..., dict[str, float]], encoder: str
) -> None:
    task = Task(
        [{"id": d.id, "title": d.title, "text": d.text} for d in judged.documents],
        [{"id": name, "text": text} for name, text in judged.queries.items()],
        judged.qrels,
    )
    found = evaluate(LsrSearch(encoder), task)
    assert task.noted is not None
    per_query, _ = task.noted
    assert per_query.keys() == judged.qrels.keys()
    expected = lsr_eval(encoder, " ".join(NAMES))
    assert 0.1 < expected["nDCG@10"] < 0.9
    for name, (mteb_name, trec_name) in NAMES.items():
        if trec_name is None:
            assert found[mteb_name] == pytest.approx(expected[name], abs=1e-9), name
            continue
        mean = np.mean([values[trec_name] for values in per_query.values()])
        assert mean == pytest.approx(expected[name], abs=1e-9), name
        # MTEB rounds these means to five decimals.
        assert found[mteb_name] == pytest.approx(expected[name], abs=5.001e-6), name


def test_results_are_the_hits_of_the_index(tmp_path: Path) -> None:
    task = small()
    task.cut_at(1, 2)
    evaluate(LsrSearch("bm25", tmp_path / "kept"), task)
    assert task.noted is not None
    index = lsr.Index.open(tmp_path / "kept" / "SmallTask-default-test")
    hits = index.search("red planet", 2)
    assert hits.ids.tolist() == ["b", "a"]
    single = hits.scores.astype(np.float32).tolist()
    assert task.noted[1] == {"1": {"b": single[0], "a": single[1]}, "2": {}}
    assert index.get("c").title == "Jupiter"


class Words:
    def __len__(self) -> int:
        return 64

    def __getitem__(self, term: int, /) -> str:
        return f"word{term:02}"

    def find(self, word: str) -> int | None:
        return int(word.removeprefix("word"))


class Weighing(Encoder):
    """Text "a:1 b:2" is a vector; so scores can be as close as one likes."""

    name = "weighing"
    vocabulary = Words()

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": "weighing", "name": self.name}

    def encode_documents(self, texts: Sequence[str]) -> SparseVectors:
        pairs = [[part.split(":") for part in text.split()] for text in texts]
        return SparseVectors.from_rows(
            ([int(term) for term, _ in row], [float(weight) for _, weight in row]) for row in pairs
        )

    encode_queries = encode_documents

    def literal_terms(self, text: str) -> Any:
        return self.encode_documents([text]).terms


def test_scores_that_are_ties_to_trec_eval_are_ties_to_all() -> None:
    many = " ".join(f"{term}:1" for term in range(1, 40))
    task = small(
        corpus=[{"id": "a", "text": f"0:0.004 {many}"}, {"id": "b", "text": many}],
        queries=[{"id": "1", "text": f"0:0.0001 {many}"}],
        qrels={"1": {"a": 1}},
    )
    model = LsrSearch(Weighing())
    found = evaluate(model, task)
    (exact,) = lsr.Index.open(model.folder / "index").search_vectors(
        Weighing().encode_queries([f"0:0.0001 {many}"]), 2
    )
    assert exact.ids.tolist() == ["a", "b"]
    assert exact.scores[0] > exact.scores[1]
    assert np.float32(exact.scores[0]) == np.float32(exact.scores[1])
    # To trec_eval both are equal, and then "b" goes first.
    assert (found["ndcg_at_1"], found["mrr_at_1"], found["mrr_at_10"]) == (0.0, 0.0, 0.5)


def test_reranking_scores_all_candidates() -> None:
    task = small(top_ranked={"1": ["d", "c", "a"], "2": ["b", "a"]})
    evaluate(LsrSearch("bm25"), task)
    assert task.noted is not None
    first, second = task.noted[1]["1"], task.noted[1]["2"]
    assert list(first) == ["a", "c", "d"]
    assert first["a"] > first["c"] > first["d"] == 0.0
    assert second == {"b": 0.0, "a": 0.0}
    task = small(top_ranked={"1": ["d", "c", "a"], "2": ["b", "a"]})
    task.cut_at(1)
    evaluate(LsrSearch("bm25"), task)
    assert task.noted is not None
    assert task.noted[1] == {"1": {"a": first["a"]}, "2": {"b": 0.0}}
    with pytest.raises(QueryError, match="no documents to rank for its query '2'"):
        evaluate(LsrSearch("bm25"), small(top_ranked={"1": ["d"]}))


def test_instructions_are_appended() -> None:
    queries = [
        {"id": "1", "text": "red planet", "instruction": "near stars"},
        {"id": "2", "text": "spot", "instruction": None},
    ]
    task, plain = small(queries=queries), small()
    evaluate(LsrSearch("bm25"), task)
    evaluate(LsrSearch("bm25"), plain)
    assert task.noted is not None
    assert plain.noted is not None
    assert set(task.noted[1]["1"]) == {"a", "b", "c", "d"}
    assert set(task.noted[1]["2"]) == {"c"}
    assert set(plain.noted[1]["1"]) == {"a", "b", "c"}


def test_what_cannot_be_done() -> None:
    turns = [{"id": "1", "text": [{"role": "user", "content": "red"}]}]
    with pytest.raises(QueryError, match="query '1' is list, not a text"):
        evaluate(LsrSearch("bm25"), small(queries=turns))
    with pytest.raises(CorpusError, match="document 1: has no text"):
        evaluate(LsrSearch("bm25"), small(corpus=[{"id": "a", "image": "x"}]))
    with pytest.raises(QueryError, match="queries have no texts"):
        evaluate(LsrSearch("bm25"), small(queries=[{"id": "1", "image": "x"}]))
    with pytest.raises(QueryError, match=r"call index\(\) first"):
        LsrSearch("bm25").search(Dataset.from_list([{"id": "1", "text": "x"}]), top_k=1)
    with pytest.raises(EncoderError, match="'bm25' is made already, so max_length cannot be set"):
        LsrSearch(lsr.load_encoder("bm25"), max_length=7)


@pytest.mark.parametrize("encoder", ["bm25", "bm25+splade-tiny"])
def test_statistics_are_of_one_corpus(encoder: str, shards_of: Callable[..., None]) -> None:
    shards_of(2)
    one, other = small(), small(corpus=[*CORPUS, {"id": "e", "title": "", "text": "red"}])
    model = LsrSearch(encoder)
    expected = []
    for task in (one, other):
        evaluate(LsrSearch(encoder), task)
        expected.append(task.noted)
    assert expected[0] != expected[1]
    for task, results in zip((one, other, one), (*expected, expected[0]), strict=True):
        evaluate(model, task)
        assert task.noted == results
    with pytest.raises(CorpusError, match="the id 'b' is repeated"):
        evaluate(model, small(corpus=[*CORPUS, CORPUS[0]]))
    evaluate(model, other)
    assert other.noted == expected[1]
    model = LsrSearch(lsr.load_encoder(encoder))
    evaluate(model, one)
    assert one.noted == expected[0]
    with pytest.raises(EncoderError, match="has the statistics of another corpus; give its"):
        evaluate(model, other)


def test_an_object_or_a_folder_is_an_encoder(tmp_path: Path) -> None:
    encoder = lsr.load_encoder("splade-tiny")
    encoder.save(tmp_path / "model")  # type: ignore[attr-defined]  # a learned one
    noted = []
    for given in ("splade-tiny", encoder, tmp_path / "model"):
        task = small()
        model = LsrSearch(given)
        for _ in range(2):  # what has no statistics serves any number of tasks
            evaluate(model, task)
        noted.append(task.noted)
    assert noted[0] == noted[1] == noted[2]


def test_the_cache_knows_one_model_from_another(tmp_path: Path) -> None:
    cache = mteb.ResultCache(tmp_path / "cache")
    first = small()
    scores = evaluate(LsrSearch("splade-tiny"), first, cache=cache)
    again = small()
    cached = evaluate(LsrSearch("splade-tiny"), again, cache=cache)
    assert cached["map_at_10"] == scores["map_at_10"] > 0
    assert again.noted is None  # nothing was computed
    evaluate(LsrSearch("splade-tiny", max_length=4), again, cache=cache)
    assert again.noted is not None


def test_the_meta() -> None:
    meta = LsrSearch("splade-tiny", max_length=64).mteb_model_meta
    assert meta.name == "lsr/splade-tiny"
    assert meta.revision.startswith(f"{lsr.__version__}-")
    assert (meta.max_tokens, meta.embed_dim, meta.n_parameters) == (64, 30522, 4_400_000)
    assert (meta.license, meta.open_weights, meta.model_type) == ("mit", True, ["sparse"])
    assert meta.similarity_fn_name == "dot"
    assert isinstance(LsrSearch("bm25"), mteb.SearchProtocol)
    meta = LsrSearch("bm25:robertson,k1=1.2+splade-tiny").mteb_model_meta
    assert "/" not in meta.name.removeprefix("lsr/")
    assert ":" not in meta.name
    assert (meta.max_tokens, meta.license) == (None, None)


def test_indexes_go_where_they_should(tmp_path: Path) -> None:
    model = LsrSearch("bm25")
    place = model.folder
    evaluate(model, small())
    assert [file.name for file in place.iterdir()] == ["index"]
    evaluate(model, small())
    assert [file.name for file in place.iterdir()] == ["index"]
    del model
    gc.collect()
    assert not place.exists()
    kept = LsrSearch("bm25", tmp_path)
    evaluate(kept, small())
    evaluate(kept, small(corpus=CORPUS[:3]))
    del kept
    gc.collect()
    assert [file.name for file in tmp_path.iterdir()] == ["SmallTask-default-test"]
    assert len(lsr.Index.open(tmp_path / "SmallTask-default-test")) == 3


def test_the_documented_program(
    judged: Any, lsr_eval: Callable[..., dict[str, float]], tmp_path: Path
) -> None:
    """The figures in the document are those of NFCorpus, which is not here."""
    program, output = documented("MTEB")
    (tmp_path / "nfcorpus.zip").symlink_to(judged.folder)
    printed = [line.split() for line in run(program, tmp_path).splitlines()]
    assert [line[0] for line in printed] == [line.split()[0] for line in output.splitlines()]
    for encoder, *figures in printed:
        values = lsr_eval(encoder, " ".join(NAMES))
        expected = [values["nDCG@10"], values["R@100"]]
        assert [float(figure) for figure in figures] == pytest.approx(expected, abs=5.001e-6)
