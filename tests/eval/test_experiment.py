"""Experiments: figures against ir-measures by hand, kept runs against damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ir_measures
import numpy as np
import pytest

import lsr
from lsr.data.datasets import CATALOGUE
from lsr.errors import CorpusError, EncoderMismatch, QueryError
from lsr.eval.dataset import Dataset, load_dataset, parts_of
from lsr.eval.experiments import provenance
from lsr.eval.experiments.experiment import Experiment, evaluate, run_queries, with_documents
from lsr.eval.experiments.index_cache import IndexCache
from lsr.eval.experiments.run_cache import RunCache, TimedRun, run_key
from lsr.eval.results import joined
from lsr.eval.runs import write_run
from lsr.progress import Silent

NAMES = ["nDCG@10", "R@100", "RR@10", "RR", "AP"]


def test_figures_are_those_of_ir_measures(
    index: lsr.Index, dataset: Dataset, folder: Path, tmp_path: Path
) -> None:
    found = evaluate(index, replace(dataset, measures=NAMES), Experiment())
    measures = [ir_measures.parse_measure(name) for name in NAMES]
    qrels = [
        ir_measures.Qrel(query, document, int(grade))
        for query, document, grade in (
            line.split("\t") for line in (folder / "qrels" / "test.tsv").read_text().split("\n")[1:]
        )
    ]
    # Many documents are tied, which measures resolve in ways of their own.
    write_run(tmp_path / "run.trec", ((q, list(r), r.values()) for q, r in found.run.items()), "t")
    run = list(ir_measures.read_trec_run(str(tmp_path / "run.trec")))
    by_hand = ir_measures.calc_aggregate(measures, qrels, run)
    assert found.scores.means == pytest.approx({str(m): by_hand[m] for m in measures})
    assert all(0 < value < 1 for value in found.scores.means.values())
    assert list(found.queries) == ["q0", "q1", "q2", "q3"]
    assert found.milliseconds.shape == (4,)
    assert (found.milliseconds > 0).all()


def test_depth(index: lsr.Index, dataset: Dataset) -> None:
    found = evaluate(index, dataset, Experiment(k=3))
    assert {query: len(row) for query, row in found.run.items()} == {"q0": 3, "q1": 3, "q2": 3}
    assert "q3" not in found.run  # no document has its word
    for query, row in found.run.items():
        hits = index.search(dataset.queries[query], 3)
        assert list(row) == hits.ids.tolist()
        assert list(row.values()) == hits.scores.tolist()


def test_the_own_document_is_left_out(index: lsr.Index, dataset: Dataset) -> None:
    text = "salt iron moss"
    own = index.search(text, 1).ids[0]
    asked = replace(dataset, queries={own: text}, qrels={own: {own: 1}}, leaves_out_own=True)
    run = run_queries(index.search, asked, 5).run
    assert set(run[own]) == set(index.search(text, 6).ids.tolist()[1:])
    other = replace(asked, queries={"q": text}, qrels={"q": {own: 1}})
    assert len(run_queries(index.search, other, 5).run["q"]) == 5
    kept_in = run_queries(index.search, replace(asked, leaves_out_own=False), 5).run
    assert set(kept_in[own]) == set(index.search(text, 5).ids.tolist())


def test_every_query_is_timed_alone_after_a_warm_up(index: lsr.Index, dataset: Dataset) -> None:
    searched: list[str] = []

    def noted(text: str, depth: int) -> lsr.Hits:
        searched.append(text)
        return index.search(text, depth)

    run_queries(noted, dataset, 10)
    texts = list(dataset.queries.values())
    assert searched == texts[:5] + texts


def change_run(file: Path) -> None:
    file.with_suffix(".jsonl.gz").write_bytes(b"other")


def other_run(file: Path) -> None:
    write_run(file.with_suffix(".jsonl.gz"), [("q0", ["d1"], [1.0])], "lsr")


def cut_run(file: Path) -> None:
    run = file.with_suffix(".jsonl.gz")
    run.write_bytes(run.read_bytes()[:-1])


def no_run(file: Path) -> None:
    file.with_suffix(".jsonl.gz").unlink()


def change_value(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"measured": "2', b'"measured": "3'))


def cut_json(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def no_json(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    "damage", [change_run, other_run, cut_run, no_run, change_value, cut_json, no_json]
)
def test_a_damaged_run_is_made_again(
    index: lsr.Index, dataset: Dataset, damage: Callable[[Path], None]
) -> None:
    first = evaluate(index, dataset, Experiment())
    (file,) = RunCache(index.path).folder.glob("*.json")
    whole = sorted(path.name for path in file.parent.iterdir())
    again = evaluate(index, dataset, Experiment())
    assert again.milliseconds.tolist() == first.milliseconds.tolist()
    assert again.provenance == first.provenance
    assert again.run == first.run
    damage(file)
    made = evaluate(index, dataset, Experiment())
    assert made.run == first.run
    assert made.milliseconds.tolist() != first.milliseconds.tolist()
    assert sorted(path.name for path in file.parent.iterdir()) == whole


def test_what_decides_a_run_is_in_its_key(index: lsr.Index, dataset: Dataset) -> None:
    evaluate(index, dataset, Experiment())
    folder = RunCache(index.path).folder
    queries = {**dataset.queries, "q1": "lamp moss"}
    others = [
        (dataset, Experiment(k=999)),
        (replace(dataset, queries=queries), Experiment()),
        (replace(dataset, leaves_out_own=True), Experiment()),
        (dataset, Experiment(settings={"device": "cpu"})),
    ]
    for number, (other, experiment) in enumerate(others, 2):
        evaluate(index, other, experiment)
        assert len(list(folder.glob("*.json"))) == number
    evaluate(index, replace(dataset, measures=["AP"]), Experiment(settings={"threads": 2}))
    assert len(list(folder.glob("*.json"))) == len(others) + 1
    assert run_key(index.manifest.edition, 1) != run_key(index.manifest.edition, 2)


def test_a_run_that_found_nothing_is_cached_too(index: lsr.Index) -> None:
    cache, key = RunCache(index.path), run_key(index.manifest.edition, "nothing")
    cache.store(key, TimedRun({}, np.array([1.5]), {"machine": {}}))
    timed = cache.load(key, ["q"])
    assert timed is not None
    assert (timed.run, timed.milliseconds.tolist()) == ({}, [1.5])
    assert cache.load(key, ["q", "r"]) is None


def test_an_encoder_is_loaded_once(folder: Path, tmp_path: Path) -> None:
    """What is loaded to build an index searches it, and builds others; but for statistics."""
    dataset = load_dataset(str(folder))
    other = replace(dataset, name="other")
    for name, shared in (("splade-tiny", True), ("bm25", False)):
        experiment = Experiment(name, settings={"max_length": 16})
        with IndexCache(tmp_path / name) as cache:
            one, two = (cache.open(cache.path(d, experiment), d, experiment)
                        for d in (dataset, other))  # fmt: skip
        assert (one.encoder is two.encoder) == shared
        with pytest.raises(EncoderMismatch, match="was not built with this encoder 'bm25:atire'"):
            one.use_encoder(lsr.load_encoder("bm25:atire"))
        with IndexCache(tmp_path / name) as cache:
            again = cache.open(cache.path(other, experiment), other, experiment)
        assert again.search("salt moss").ids.tolist() == two.search("salt moss").ids.tolist()


def test_judged_documents_that_are_missing(index: lsr.Index, dataset: Dataset) -> None:
    assert with_documents(dataset, index).counts["judged_documents_missing"] == 0
    qrels = {"q0": {"d0": 1, "gone": 1}, "q1": {"gone": 0, "lost": 1}}
    found = with_documents(replace(dataset, qrels=qrels), index)
    assert found.counts["judged_documents_missing"] == 2
    assert "the first 'gone'" in found.remarks[-1]
    assert "d0" in index
    assert "gone" not in index
    assert 7 not in index
    with pytest.raises(QueryError, match="the requested document has a number for an id"):
        7.0 in index  # noqa: B015  # it raises


def test_joined_results(index: lsr.Index, dataset: Dataset) -> None:
    results = [
        evaluate(index, replace(dataset, name=f"all/{part}"), Experiment(k=k))
        for part, k in (("a", 1), ("b", 64))
    ]
    both = joined("all", results)
    assert both.dataset == "all"
    assert list(both.queries) == [f"{part}/q{n}" for part in "ab" for n in range(4)]
    for name, mean in both.scores.means.items():
        assert mean == (results[0].scores.means[name] + results[1].scores.means[name]) / 2
        assert both.scores.per_query[name]["b/q1"] == results[1].scores.per_query[name]["q1"]
    assert both.run["b/q1"] == results[1].run["q1"]
    assert both.milliseconds.shape == (8,)
    assert both.provenance["dataset"]["counts"]["queries"] == 8
    assert both.provenance["remarks"][0].startswith("a: 1 of 5 queries have no judgments")


def test_the_card_of_provenance(index: lsr.Index, dataset: Dataset) -> None:
    card = evaluate(index, dataset, Experiment(), command="lsr eval words").provenance
    assert json.loads(json.dumps(card)) == card
    assert card["command"] == "lsr eval words"
    assert card["versions"].keys() >= {"python", "lsr-engine", "numpy", "pyarrow", "ir-measures"}
    assert card["versions"]["numpy"] == np.__version__
    assert card["machine"].keys() == {"processor", "cores", "instruction_set", "memory", "system"}
    assert card["machine"]["memory"] > 2**28
    assert card["index"]["quantizer"]["bits"] == 8
    assert card["index"]["encoder"]["name"] == "bm25"
    assert list(card["dataset"]["md5"]) == ["corpus.jsonl", "queries.jsonl", "test.tsv"]
    assert card["search"] == {
        "k": 1000,
        "weights": None,
        "hybrid": None,
        "leaves_out_own": False,
        "threads": 1,
    }


def test_digests_of_models() -> None:
    learned = {"kind": "learned", "name": "m", "content_hash": "abc"}
    parts = [{"name": "bm25", "encoder": {"name": "bm25"}}, {"name": "m", "encoder": learned}]
    assert provenance.model_digests(learned) == {"m": "abc"}
    assert provenance.model_digests({"kind": "composite", "parts": parts}) == {"m": "abc"}
    other = {**learned, "name": "n", "content_hash": "def"}
    assert provenance.model_digests(learned, other) == {"m": "abc", "n": "def"}
    assert provenance.model_digests(None, None) == {}


def test_the_official_files(dataset: Dataset) -> None:
    assert provenance.of_dataset(dataset)["official"] is False
    other = replace(dataset, name="scifact")
    assert provenance.of_dataset(other)["official"] is False
    published = replace(other, checksums={"scifact.zip": CATALOGUE["scifact"].md5 or ""})
    assert provenance.of_dataset(published)["official"] is True


def test_names_of_folders(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def label(encoder: str, **settings: object) -> str:
        experiment = Experiment(encoder, settings=settings)
        return IndexCache(Path("r")).path(dataset, experiment).name

    assert label("bm25+splade-tiny") == "bm25+splade-tiny"
    assert label("org/model@main", precision="int8") == "org_model@main,precision=int8"
    assert label("../x", device="cpu", threads=3, batch_size=2) == ".._x"
    long = [label("x" * 300 + end) for end in "ab"]
    assert max(map(len, long)) < 200
    assert long[0] != long[1]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = IndexCache().path(dataset, Experiment("bm25"))
    assert place.relative_to(tmp_path).parts[:2] == ("lsr", "indexes")
    other = replace(dataset, checksums={"corpus.jsonl": "0"})
    with IndexCache() as cache:
        (tmp_path / "lsr").rename(tmp_path / "moved")
        (tmp_path / "lsr").touch()  # no folder, so nothing can be cached
        gone = cache.path(dataset, Experiment("bm25"))
        assert cache.temporary is not None
        assert gone == cache.temporary / "words" / "bm25"
        (tmp_path / "lsr").unlink()
        (tmp_path / "moved").rename(tmp_path / "lsr")
        assert cache.path(dataset, Experiment("bm25")) == place  # it is there again
    assert IndexCache().path(other, Experiment("bm25")).parent != place.parent


def test_datasets_by_source(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parts_of(str(folder), None, Silent) == {"words": str(folder)}
    assert parts_of("irds:any/thing", None, Silent) == {"any/thing": "irds:any/thing"}
    several = folder.rename(tmp_path / "cqadupstack")
    names = CATALOGUE["cqadupstack"].parts
    expected = {f"cqadupstack/{name}": f"{several}/{name}" for name in names}
    assert parts_of("cqadupstack", tmp_path, Silent) == expected
    folder = several.rename(tmp_path / "cranfield")
    monkeypatch.chdir(tmp_path)  # a BEIR folder here is itself; an index of the name is not
    assert parts_of("cranfield", None, Silent) == {"cranfield": "cranfield"}
    (folder / "qrels").rename(folder / "other")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(CorpusError, match="cranfield cannot be downloaded, and it is not in"):
        parts_of("cranfield", None, Silent)


def test_measures_are_checked_first(folder: Path) -> None:
    with pytest.raises(QueryError, match="'no' is not a measure"):
        load_dataset(str(folder / "none"), measures=["no"], name="none")
    assert load_dataset(str(folder), measures=["ndcg_cut_3"]).measures == ["nDCG@3"]


def test_locations_of_judgments(dataset: Dataset, folder: Path) -> None:
    file = folder / "qrels" / "test.tsv"
    assert dataset.location_of("q3") == f"{file}, line 3"
    assert dataset.location_of("q0", "d12") == f"{file}, line 6"
    assert dataset.location_of("q0", "none") == str(file)
