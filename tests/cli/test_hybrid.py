"""`lsr search`, `lsr eval` and `lsr tune` with several retrievers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.encoders.dense.encoder import load_dense
from lsr.errors import EncoderMismatch
from lsr.eval.measures import scores
from lsr.eval.runs import read_run
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.methods import fuse
from lsr.indexing.dense import add_dense
from lsr.retrieval.hybrid import Hybrid
from lsr.retrieval.named import learned_file

Run = Callable[..., Any]
QUESTION = "harbour pilots describe paper maps"
SPLIT = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def index(tmp_path: Path, hybrid_index: lsr.Index) -> lsr.Index:
    """The hybrid index, to be changed."""
    shutil.copytree(hybrid_index.path, tmp_path / "index")
    return lsr.open(tmp_path / "index")


@pytest.fixture
def judged(tmp_path: Path, documents: list[dict[str, str]], write_jsonl: Any) -> Path:
    """A BEIR folder of every sixth document with 12 queries, half of them in dev."""
    folder = tmp_path / "small"
    write_jsonl(folder / "corpus.jsonl", documents[::6])
    chosen = documents[::6][::2]
    queries = [{"_id": f"q{n:02}", "text": d["text"][4:40]} for n, d in enumerate(chosen)]
    write_jsonl(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    lines = [f"q{n:02}\t{d['id']}\t{1 + n % 2}\n" for n, d in enumerate(chosen)]
    (folder / "qrels" / "test.tsv").write_text(SPLIT + "".join(lines[:6]))
    (folder / "qrels" / "dev.tsv").write_text(SPLIT + "".join(lines[6:]))
    return folder


def test_a_question(run: Run, hybrid_index: lsr.Index) -> None:
    for options, arguments in (
        ([], {}),
        (["--fusion", "rrf"], {"fusion": "rrf"}),
        (["--weight", ".25"], {"weights": 0.25}),
        (
            ["--weight", "tiny=2,bm25+splade-tiny=1"],
            {"weights": {"tiny": 2, "bm25+splade-tiny": 1}},
        ),
        (
            ["--retrievers", "bm25,tiny", "--missing", "lowest", "--depth", "9"],
            {"retrievers": "bm25,dense", "missing": "lowest", "depth": 9},
        ),
        (["--rescore", "--depth", "6"], {"rescore": True, "depth": 6}),
        (
            ["--prf", "rocchio", "--interpolate", "before"],
            {"prf": "rocchio", "interpolate": "before"},
        ),
    ):
        answer = run("search", hybrid_index.path, QUESTION, "--hybrid", *options, "-k", 5, "--json")
        assert (answer.code, answer.err) == (0, "")
        hits = hybrid_index.hybrid(**arguments).search(QUESTION, 5)
        assert [hit["id"] for hit in answer.json["hits"]] == hits.ids.tolist()
        assert [hit["score"] for hit in answer.json["hits"]] == hits.scores.tolist()
    plain = run("search", hybrid_index.path, QUESTION, "-k", 5, "--json").json["hits"]
    assert [hit["score"] for hit in plain] == hybrid_index.search(QUESTION, 5).scores.tolist()


def test_feedback_alone(run: Run, hybrid_index: lsr.Index) -> None:
    answer = run("search", hybrid_index.path, QUESTION, "--prf", "rocchio", "--json")
    hits = hybrid_index.hybrid("none", retrievers="terms", prf="rocchio").search(QUESTION)
    assert [hit["score"] for hit in answer.json["hits"]] == hits.scores.tolist()
    assert hits.scores.tolist() != hybrid_index.search(QUESTION).scores.tolist()


def test_contributions_as_json_and_text(run: Run, hybrid_index: lsr.Index) -> None:
    options = ["--hybrid", "-k", 2, "--explain"]
    hits = hybrid_index.hybrid().search(QUESTION, 2)
    for hit, shown in zip(
        hits,
        run("search", hybrid_index.path, QUESTION, *options, "--json").json["hits"],
        strict=True,
    ):
        assert list(shown) == ["id", "score", "title", "text", "contributions"]
        sparse, dense = shown["contributions"]
        assert list(dense) == ["retriever", "value", "rank", "score"]
        assert list(sparse) == [*dense, "parts", "terms"]
        assert sparse["value"] + dense["value"] == shown["score"] == hit.score
        assert sum(term["product"] for term in sparse["terms"]) == sparse["score"]
    lines = run("search", hybrid_index.path, QUESTION, *options).out.splitlines()
    why = str(hits[0].explain()).splitlines()
    assert [line.removeprefix("\t") for line in lines[2 : 1 + len(why)]] == [
        line.removeprefix("  ") for line in why[1:]
    ]


def test_the_table(run: Run, hybrid_index: lsr.Index, terminal: Any) -> None:
    for columns in (60, 80, 140):
        screen = terminal(columns)
        run("search", hybrid_index.path, QUESTION, "--hybrid", "-k", 1, "--explain")
        shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
        assert max(map(len, shown.splitlines())) <= columns
        (hit,) = hybrid_index.hybrid().search(QUESTION, 1)
        for share in hit.explain().contributions:
            assert f"{share.value:.4f}" in shown
            assert f"{share.score:.3f}" in shown
        for word in ("retriever", "rank", "contribution", "kind", "product", f"{hit.score:.4f}"):
            assert word in shown


def test_where_the_time_went(run: Run, hybrid_index: lsr.Index) -> None:
    answer = run("search", hybrid_index.path, QUESTION, "--hybrid", "--profile")
    assert "loading the encoders" in answer.err
    assert "encoding the question and searching" in answer.err


def test_a_file_of_questions(
    run: Run, hybrid_index: lsr.Index, judged: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run.trec"
    options = ["--queries", judged / "queries.jsonl", "--run", out, "-k", 7]
    assert run("search", hybrid_index.path, *options, "--hybrid", "--fusion", "zscore").code == 0
    found = read_run(out)
    queries = [json.loads(line) for line in (judged / "queries.jsonl").read_text().splitlines()]
    for query in queries:
        hits = hybrid_index.search(query["text"], 7, hybrid="zscore")
        assert found[query["_id"]] == dict(zip(hits.ids, hits.scores, strict=True))
    vectors = tmp_path / "vectors.jsonl"
    vectors.write_text('{"id": "1", "content": "", "vector": {"pilots": 1.0}}\n')
    refused = run("search", hybrid_index.path, "--queries", vectors, "--run", out, "--hybrid")
    assert refused.code == 2
    assert refused.error.startswith(f"{vectors} contains vectors, and --hybrid and --prf need")
    assert read_run(out) == found


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--fusion", "rrf"], 2, "--fusion only applies to --hybrid; add --hybrid."),
        (["--weight", ".3", "--prf", "rocchio"], 2, "--weight only applies to --hybrid"),
        (["--interpolate", "both"], 2, "--interpolate only applies to --hybrid; add --hybrid."),
        (
            ["--hybrid", "--interpolate", "both"],
            2,
            "--interpolate only applies to --prf; add --prf.",
        ),
        (["--hybrid", "--weight", "much"], 1, "Error: 'much' are not weights"),
        (["--hybrid", "--weight", "2"], 2, "dense vectors must be a finite number from 0 to 1"),
        (["--hybrid", "--depth", "0"], 2, "0 is not in the range x>=1"),
        (["--hybrid", "--fusion", "learned"], 1, "there is no learned fusion"),
        (["--hybrid", "--retrievers", "bm26"], 2, "'bm26' is not a retriever of this index"),
        (["--hybrid", "--dense", "nowhere"], 1, "nowhere"),
    ],
)
def test_what_is_refused(
    run: Run, hybrid_index: lsr.Index, options: list[str], code: int, message: str
) -> None:
    answer = run("search", hybrid_index.path, QUESTION, *options)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err


def test_an_index_without_dense_vectors(run: Run, composite_index: lsr.Index) -> None:
    answer = run("search", composite_index.path, QUESTION, "--hybrid")
    assert answer.code == 1
    assert answer.error == (
        f"{composite_index.path} has no dense side; make one with `lsr index CORPUS -o "
        f"{composite_index.path} --dense minilm`"
    )
    assert (
        run(
            "search", composite_index.path, QUESTION, "--hybrid", "--retrievers", "bm25,splade-tiny"
        ).code
        == 0
    )


def test_a_dense_model_that_moved(
    run: Run, tmp_path: Path, composite_index: lsr.Index, dense_model: Path, documents: Any
) -> None:
    shutil.copytree(composite_index.path, tmp_path / "index")
    shutil.copytree(dense_model, tmp_path / "here")
    add_dense(tmp_path / "index", documents[::6], str(tmp_path / "here"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert (
        "cannot be found where it was" in run("search", tmp_path / "index", "a", "--hybrid").error
    )
    moved = run("search", tmp_path / "index", "a", "--hybrid", "--dense", tmp_path / "there")
    assert moved.code == 0
    assert run("search", tmp_path / "index", "a").code == 0


@pytest.fixture
def searches(watch: Callable[..., list[str]]) -> list[str]:
    """The texts that several retrievers are asked for."""
    return watch(Hybrid, "search")


def test_evaluation(
    run: Run, judged: Path, dense_model: Path, tmp_path: Path, searches: list[str]
) -> None:
    place = tmp_path / "kept"
    command = ["eval", judged, "--index", place, "--encoder", "bm25", "--dense", dense_model]
    command += ["--hybrid", "--fusion", "rrf", "--json"]
    answer = run(*command, "--run", tmp_path / "run.trec")
    assert answer.code == 0, answer.err
    assert answer.json["encoder"] == "bm25, tiny (rrf)"
    index = lsr.open(place)
    expected = {}
    for line in (judged / "queries.jsonl").read_text().splitlines()[:6]:
        query = json.loads(line)
        hits = index.hybrid("rrf").search(query["text"], 1000)
        expected[query["_id"]] = dict(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))
    assert read_run(tmp_path / "run.trec") == expected
    assert answer.json["counts"]["queries"] == 6
    card = answer.json["provenance"]
    assert card["search"]["hybrid"]["fusion"] == "rrf"
    assert card["index"]["dense"]["kind"] == "flat"
    assert card["models"]["tiny"] == index.dense.encoder["content_hash"]  # type: ignore[union-attr]

    del searches[:]
    again = run(*command)
    assert again.json["measures"] == answer.json["measures"]
    assert searches == []  # the run was kept
    other = run(*command, "--weight", ".9")
    assert searches != []
    assert other.json["encoder"] == "bm25, tiny (rrf, 0.9)"
    del searches[:]
    alone = run("eval", judged, "--index", place, "--encoder", "bm25", "--json").json
    assert (alone["encoder"], searches) == ("bm25", [])
    assert "dense" not in alone["provenance"]["index"]
    shutil.rmtree(place / "dense")  # made again in another way, so searched again
    assert run("index", judged, "-o", place, "--dense", dense_model, "--faiss", "sq8").code == 0
    assert run(*command).json["measures"].keys() == answer.json["measures"].keys()
    assert searches != []


def test_measures_of_an_evaluation(run: Run, judged: Path, index: lsr.Index) -> None:
    answer = run("eval", judged, "--index", index.path, "--hybrid", "--json", "-k", 3)
    found, qrels = {}, {}
    for line in (judged / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels[query] = {document: int(grade)}
    for line in (judged / "queries.jsonl").read_text().splitlines()[:6]:
        query = json.loads(line)
        hits = index.hybrid().search(query["text"], 3)
        found[query["_id"]] = dict(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))
    expected = scores(qrels, found, list(answer.json["measures"])).means
    assert answer.json["measures"] == pytest.approx(expected)
    assert answer.json["encoder"] == "bm25+splade-tiny, tiny (minmax)"


def test_what_an_evaluation_refuses(
    run: Run, judged: Path, tmp_path: Path, dense_model: Path
) -> None:
    place = tmp_path / "kept"
    command = ["eval", judged, "--index", place, "--encoder", "bm25"]
    answer = run(*command, "--dense", dense_model)
    assert (answer.code, "--dense only applies to --hybrid; add --hybrid." in answer.err) == (
        2,
        True,
    )
    answer = run(*command, "--hybrid", "--dense", tmp_path / "none")
    assert answer.code == 1
    assert not place.exists()  # found before the index was built
    several = [judged, "--encoder", "bm25", "--encoder", "bm25:atire", "--dense", dense_model]
    answer = run("eval", *several, "--hybrid", "--weight", "bm25=1,small=1")
    assert "there is nothing called 'small' to weigh here" in answer.error
    assert run(*command, "--hybrid", "--dense", dense_model).code == 0
    other = tmp_path / "other"
    shutil.copytree(dense_model, other)
    (other / "config_sentence_transformers.json").write_text('{"prompts": {"query": "find: "}}')
    assert "(query prompt find: )" in run(*command, "--hybrid", "--dense", other).error
    with pytest.raises(EncoderMismatch, match="were not made with this encoder 'other'"):
        lsr.open(place).use_dense_encoder(load_dense(other))


def test_tuning(run: Run, judged: Path, index: lsr.Index) -> None:
    """The weights printed are the best of all on the queries of dev."""
    command = ["tune", judged, "--index", index.path, "--folds", 3, "--measure", "RR@5"]
    answer = run(*command, "--json")
    assert answer.code == 0, answer.err
    facts = answer.json
    assert (facts["dataset"], facts["split"], facts["measure"]) == ("small", "dev", "RR@5")
    assert "Tuning: 11 weights" in answer.err  # all multiples of .1
    assert facts["retrievers"] == ["bm25+splade-tiny", "tiny"]
    assert sum(facts["weights"].values()) == pytest.approx(1)
    assert len(facts["folds"]) == 3
    assert sorted(q for fold in facts["folds"] for q in fold["queries"]) == [
        f"q{n:02}" for n in range(6, 12)
    ]
    queries = [json.loads(line) for line in (judged / "queries.jsonl").read_text().splitlines()]
    ids = [
        index.reader.id_of(number)
        for number in index.reader.docids_of(np.arange(len(index))).tolist()
    ]
    lists = index.hybrid("none").candidates([query["text"] for query in queries[6:]])
    qrels: dict[str, dict[str, int]] = {}
    for line in (judged / "qrels" / "dev.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels[query] = {document: int(grade)}

    def mean(weights: list[float]) -> float:
        found = {}
        for query, (both, _) in zip(queries[6:], lists, strict=True):
            fused = fuse(both, "minmax", weights=weights, k=50)
            found[query["_id"]] = {
                ids[p]: s for p, s in zip(fused.positions, fused.scores, strict=True)
            }
        return scores(qrels, found, ["RR@5"]).means["RR@5"]

    every = [mean([n / 10, 1 - n / 10]) for n in range(11)]
    assert mean(list(facts["weights"].values())) == pytest.approx(max(every))
    assert facts["baseline"] == {"fusion": "minmax", "mean": pytest.approx(every[5])}
    assert facts["difference"]["mean"] == pytest.approx(facts["held_out"] - every[5])
    text = run(*command).out
    assert "small, 6 queries of dev: bm25+splade-tiny, tiny by minmax, RR@5" in text
    assert "--hybrid --fusion minmax --weight bm25+splade-tiny=" in text
    assert "Not significantly better than equal weights" in text
    weight = text.split("--weight ")[1].split()[0]
    assert run("search", index.path, QUESTION, "--hybrid", "--weight", weight).code == 0


def test_a_document_with_the_query_s_id_is_left_out(
    run: Run, index: lsr.Index, documents: Any, tmp_path: Path, write_jsonl: Any
) -> None:
    """In ArguAna, where queries are documents: so the only relevant one cannot be found."""
    folder = tmp_path / "arguana"
    queries = [{"_id": d["id"], "text": d["text"]} for d in documents[::6][:4]]
    write_jsonl(folder / "corpus.jsonl", documents[::6])
    write_jsonl(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    lines = [f"{query['_id']}\t{query['_id']}\t1\n" for query in queries]
    (folder / "qrels" / "test.tsv").write_text(SPLIT + "".join(lines))
    command = ["tune", folder, "--index", index.path, "--folds", 2, "--measure", "RR", "--json"]
    assert run(*command).json["baseline"]["mean"] == 0
    folder.rename(tmp_path / "other")
    assert run("tune", tmp_path / "other", *command[2:]).json["baseline"]["mean"] == 1


def test_learning_a_fusion(run: Run, judged: Path, index: lsr.Index) -> None:
    command = ["tune", judged, "--index", index.path, "--fusion", "learned", "--folds", 2]
    answer = run(*command, "--json", "--split", "test")
    assert answer.code == 0, answer.err
    assert "Tuning" not in answer.err
    assert "Learning: 3 fusions" in answer.err
    assert (answer.json["fusion"], answer.json["weights"]) == ("learned", {})
    assert answer.json["baseline"]["fusion"] == "minmax"
    made = LearnedFusion.load(learned_file(index))
    assert "[label_gain: 0,1,3]" in made.model  # of the grades 0, 1 and 2
    assert list(made.retrievers) == ["bm25+splade-tiny", "tiny"]
    found = run("search", index.path, QUESTION, "--hybrid", "--fusion", "learned", "--json")
    hits = index.search(QUESTION, hybrid="learned")
    assert [hit["score"] for hit in found.json["hits"]] == hits.scores.tolist()
    before = learned_file(index).read_bytes()
    refused = run(*command)
    assert (refused.code, learned_file(index).read_bytes()) == (1, before)
    assert "already has a learned fusion; add --force to replace it" in refused.error
    assert run(*command, "--force").code == 0
    assert run("verify", index.path).code == 0
    learned_file(index).write_bytes(before[:-9])
    damaged = run("verify", index.path)
    assert damaged.code == 1
    assert "json is not a learned fusion" in damaged.out + damaged.err


def test_what_cannot_be_tuned(
    run: Run, judged: Path, index: lsr.Index, tmp_path: Path, bm25_index: lsr.Index, corpus: Path
) -> None:
    command = ["tune", judged, "--index", index.path]
    for options, code, message in (
        (["--folds", "9"], 2, "6 judged queries cannot be cut into 9 folds; give 2 to 6"),
        (["--folds", "1"], 2, "1 is not in the range x>=2"),
        (["--split", "train"], 1, "train"),
        (["--measure", "goodness"], 2, "'goodness' is not a measure"),
        (["--retrievers", "bm26,dense"], 2, "'bm26' is not a retriever"),
        (
            ["--fusion", "learned", "--missing", "zero"],
            2,
            "--fusion learned has no rule for missing documents",
        ),
    ):
        answer = run(*command, *options)
        assert (answer.code, answer.out) == (code, "")
        assert message in answer.err
    assert "has no dense side" in run("tune", judged, "--index", bm25_index.path).err
    other = tmp_path / "other"
    lsr.Index.build(other, [{"id": "x", "text": "nothing else"}], "bm25")
    answer = run("tune", judged, "--index", other, "--retrievers", "bm25")
    assert "none of the documents judged in" in answer.err


def test_judgments_to_tune_on(run: Run, judged: Path, index: lsr.Index) -> None:
    """Those of dev, else of train, else the usual ones."""
    command = ["tune", judged, "--index", index.path, "--json", "--folds", 2]
    shutil.copy(judged / "qrels" / "test.tsv", judged / "qrels" / "train.tsv")
    for split in ("dev", "train", "test"):
        assert run(*command).json["split"] == split
        (judged / "qrels" / f"{split}.tsv").unlink()
