"""`lsr eval` of several datasets and encoders, of names, and of runs."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import lsr
from lsr.data.datasets import CATALOGUE
from lsr.eval.runs import read_run
from support.ir_dataset import registered

HEADER = "query-id\tcorpus-id\tscore\n"
QUERIES = [("1", "tidal mills"), ("2", "glass bees"), ("d103", "tidal mills without light")]
QRELS = "1\td103\t2\n1\td110\t0\n2\td222\t1\nd103\td400\t1\nd103\td103\t1\n"


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def data(
    tmp_path: Path, documents: list[dict[str, str]], write_jsonl: Callable[..., Path]
) -> Callable[..., Path]:
    """data("quora", step=1) makes a dataset of that name in the folder that it returns."""

    def make(name: str, step: int = 1, qrels: str = QRELS, split: str = "test") -> Path:
        folder = tmp_path / "data" / name
        write_jsonl(folder / "corpus.jsonl", documents[::step])
        write_jsonl(folder / "queries.jsonl", [{"_id": q, "text": text} for q, text in QUERIES])
        (folder / "qrels").mkdir()
        (folder / "qrels" / f"{split}.tsv").write_text(HEADER + qrels)
        return tmp_path / "data"

    return make


def test_datasets_by_encoders(
    run: Callable[..., Any], data: Callable[..., Path], tmp_path: Path
) -> None:
    data("cranfield")
    folder = data("vaswani", 3)
    command = ["eval", "cranfield", "vaswani", "--data", folder, "--encoder", "bm25"]
    command += ["--encoder", "bm25:robertson", "--measures", "nDCG@10 RR"]
    answer = run(*command, "--json", "--index", tmp_path / "kept")
    assert answer.code == 0
    pairs = [(found["dataset"], found["encoder"]) for found in answer.json]
    assert pairs == [
        (dataset, encoder)
        for dataset in ("cranfield", "vaswani")
        for encoder in ("bm25", "bm25:robertson")
    ]
    assert len(lsr.open(tmp_path / "kept" / "vaswani" / "bm25:robertson")) == 48
    for found in answer.json:
        alone = run(
            "eval", found["dataset"], *command[3:5], "--encoder", found["encoder"], "--json"
        )
        assert alone.json["measures"]["nDCG@10"] == found["measures"]["nDCG@10"]
    table = run(*command, "--index", tmp_path / "kept").out.splitlines()
    values = [f"{found['measures']['nDCG@10']:.4f}" for found in answer.json]
    assert table[0].split() == ["nDCG@10", "bm25", "bm25:robertson"]
    assert table[1].split() == ["cranfield", *values[:2]]
    assert table[2].split() == ["vaswani", *values[2:]]
    mean = sum(found["measures"]["nDCG@10"] for found in answer.json[::2]) / 2
    assert table[3].split()[:2] == ["mean", f"{mean:.4f}"]
    assert table[5].split()[0] == "RR"
    assert len(table) == 9


def test_a_wide_table_numbers_its_encoders(
    run: Callable[..., Any], data: Callable[..., Path]
) -> None:
    variants = ["robertson", "lucene", "atire", "bm25l", "bm25+"]
    command = ["eval", "vaswani", "--data", data("vaswani", 9), "--measures", "AP"]
    for variant in variants:
        command += ["--encoder", f"bm25:{variant},k1=1.2"]
    lines = run(*command).out.splitlines()
    assert lines[0].startswith("[1] bm25:robertson")
    assert lines[6].split() == ["AP", "[1]", "[2]", "[3]", "[4]", "[5]"]
    assert lines[7].split()[0] == "vaswani"
    assert max(map(len, lines)) <= 80


def test_a_suite(run: Callable[..., Any], data: Callable[..., Path]) -> None:
    names = ["nfcorpus", "scifact", "cranfield", "vaswani"]
    folders = [data(name, 9) for name in names]
    answer = run("eval", "--suite", "small", "--data", folders[0], "--encoder", "bm25")
    assert answer.code == 0
    assert [line.split()[0] for line in answer.out.splitlines()[1:5]] == names


def test_own_documents_are_left_out_where_the_protocol_says_so(
    run: Callable[..., Any], data: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "run.trec"
    answers = {}
    for name in ("quora", "scidocs"):
        command = ["eval", name, "--data", data(name), "--encoder", "bm25", "-k", 30]
        answers[name] = run(*command, "--run", out, "--json").json
        rows = read_run(out)["d103"]
        assert len(rows) == 30
        assert ("d103" in rows) == (name == "scidocs")
    assert answers["quora"]["provenance"]["search"]["leaves_out_own"] is True
    named_by_file = run(
        "eval", tmp_path / "data" / "quora", "--encoder", "bm25", "-k", 30, "--json"
    )
    assert named_by_file.json["measures"] == answers["quora"]["measures"]


def test_the_usual_split(run: Callable[..., Any], data: Callable[..., Path]) -> None:
    folder = data("msmarco", split="dev")
    answer = run("eval", "msmarco", "--data", folder, "--encoder", "bm25", "--json")
    assert answer.json["provenance"]["dataset"]["split"] == "dev"
    answer = run("eval", "msmarco", "--data", folder, "--encoder", "bm25", "--split", "test")
    assert answer.code == 1
    assert "has no qrels/test.tsv in it" in answer.error


def test_a_dataset_of_several_parts(
    run: Callable[..., Any],
    data: Callable[..., Path],
    tmp_path: Path,
) -> None:
    parts = CATALOGUE["cqadupstack"].parts
    for number, part in enumerate(parts, 2):
        folder = data(f"cqadupstack/{part}", number)
    command = ["--encoder", "bm25", "--measures", "nDCG@10", "--json"]
    answer = run("eval", "cqadupstack", "--data", folder, *command)
    assert answer.code == 0
    alone = [
        run("eval", folder / "cqadupstack" / part, *command).json["measures"]["nDCG@10"]
        for part in parts
    ]
    assert len(set(alone)) > 1
    assert answer.json["dataset"] == "cqadupstack"
    assert answer.json["measures"]["nDCG@10"] == pytest.approx(sum(alone) / 12)
    values = [answer.json["parts"][part]["nDCG@10"] for part in parts]
    assert values == alone
    assert answer.json["counts"]["queries"] == 36
    shutil.make_archive(str(tmp_path / "zips" / "cqadupstack"), "zip", folder)
    out = tmp_path / "out"
    zipped = run("eval", "cqadupstack", "--data", tmp_path / "zips", *command, "--run", out)
    assert zipped.json["measures"] == answer.json["measures"]
    assert sorted(read_run(out / "cqadupstack" / "bm25.trec"))[0] == "android/1"


def test_irds(run: Callable[..., Any], documents: list[dict[str, str]]) -> None:
    from ir_datasets.formats import (
        BaseDocs,
        BaseQrels,
        BaseQueries,
        GenericDoc,
        GenericQuery,
        TrecQrel,
    )

    class Docs(BaseDocs):  # type: ignore[misc]
        def docs_iter(self) -> Any:
            return iter(
                [GenericDoc(d["id"], f"{d['title']} {d['text']}".strip()) for d in documents]
            )

        def docs_count(self) -> int:
            return len(documents)

    class Queries(BaseQueries):  # type: ignore[misc]
        def queries_iter(self) -> Any:
            return iter([GenericQuery(*query) for query in QUERIES])

    class Qrels(BaseQrels):  # type: ignore[misc]
        def qrels_iter(self) -> Any:
            rows = (line.split("\t") for line in QRELS.splitlines())
            return iter([TrecQrel(q, d, int(grade), "0") for q, d, grade in rows])

    name = "lsr-test/trec-dl-2019/judged"
    with registered({name: (Docs(), Queries(), Qrels()), "lsr-test/docs": (Docs(),)}):
        answer = run("eval", f"irds:{name}", "--encoder", "bm25", "--json")
        assert answer.code == 0
        assert answer.json["dataset"] == name
        assert list(answer.json["measures"]) == [
            "nDCG@10", "R(rel=2)@100", "RR(rel=2)@10", "AP(rel=2)",
        ]  # fmt: skip
        assert answer.json["measures"]["R(rel=2)@100"] == pytest.approx(1 / 3)
        assert answer.json["counts"]["judgments"] == 5
        assert "Encoding" not in run("eval", f"irds:{name}", "--encoder", "bm25").err
        answer = run("eval", "irds:lsr-test/docs", "--encoder", "bm25")
        assert answer.code == 1
        assert answer.error.startswith("irds:lsr-test/docs has no queries; name one of its subsets")
    answer = run("eval", "irds:lsr-test/docs")
    assert answer.error.startswith("ir_datasets knows no dataset 'lsr-test/docs'")


def test_documents_queries_and_judgments_from_three_files(
    run: Callable[..., Any], data: Callable[..., Path], tmp_path: Path
) -> None:
    folder = data("vaswani") / "vaswani"
    trec = tmp_path / "judged.txt"
    trec.write_text("".join("{} 0 {} {}\n".format(*r.split("\t")) for r in QRELS.splitlines()))
    command = ["--encoder", "bm25", "--json"]
    answer = run(
        "eval",
        folder / "corpus.jsonl",
        "--queries",
        folder / "queries.jsonl",
        "--qrels",
        trec,
        *command,
    )
    assert answer.json["measures"] == run("eval", folder, *command).json["measures"]
    assert answer.json["dataset"] == "corpus"
    assert list(answer.json["provenance"]["dataset"]["md5"]) == [
        "corpus.jsonl", "queries.jsonl", "judged.txt",
    ]  # fmt: skip


def test_a_run_of_its_own(
    run: Callable[..., Any], data: Callable[..., Path], tmp_path: Path
) -> None:
    folder = data("vaswani") / "vaswani"
    out = tmp_path / "own.trec"
    measured = run("eval", folder, "--encoder", "bm25", "--run", out, "--json").json
    with zipfile.ZipFile(tmp_path / "vaswani.zip", "w") as archive:
        archive.write(folder / "qrels" / "test.tsv", "vaswani/qrels/test.tsv")
    for qrels in (folder, tmp_path / "vaswani.zip", folder / "qrels" / "test.tsv"):
        answer = run("eval", "--run-file", out, "--qrels", qrels, "--json")
        assert (answer.code, answer.err) == (0, "")
        assert answer.json["measures"] == measured["measures"]
        assert answer.json["encoder"] == "own"
    assert run("eval", "--run-file", out, "--qrels", folder).out.splitlines()[0] == (
        "vaswani, own, 3 queries"
    )
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(line for line in lines if line[0] != "2") + "9 Q0 d103 1 1.0 t\n")
    answer = run("eval", "--run-file", out, "--qrels", folder, "--json")
    assert answer.err.splitlines() == [
        f"{out}: 1 of 3 queries have no judgments and are left out, the first '9'.",
        f"{out}: 1 of 3 judged queries are not in the run and count as not answered, "
        "the first '2'.",
    ]
    counts = answer.json["counts"]
    assert counts["queries_without_judgments"] == counts["judged_queries_missing"] == 1
    out.write_text("9 Q0 d103 1 1.0 t\n")
    answer = run("eval", "--run-file", out, "--qrels", folder)
    assert answer.error.startswith(f"{out} answers none of the 3 queries judged in {folder}; ")
    out.write_text("1 Q0 d103 1 1.0 t\n1 Q0 d103 2 0.5 t\n")
    answer = run("eval", "--run-file", out, "--qrels", folder)
    assert answer.error == (
        f"{out}, line 2 repeats the document 'd103' for query '1'; keep it once"
    )


def test_what_does_not_fit_together_is_named(
    run: Callable[..., Any], data: Callable[..., Path]
) -> None:
    qrels = "1\td103\t2\n1\tnone1\t1\n8\td222\t1\n9\td222\t1\n2\tnone1\t1\n2\tnone2\t0\n"
    folder = data("vaswani", qrels=qrels) / "vaswani"
    answer = run("eval", folder, "--encoder", "bm25", "--measures", "R@1000", "--json")
    assert answer.code == 0
    file = folder / "qrels" / "test.tsv"
    assert answer.err.splitlines()[-1] == (
        "vaswani: 1 of 3 queries have no judgments and are left out; 2 of 4 judged queries are "
        f"not among the queries and are left out, the first '8' ({file}, line 4); 2 judged "
        "documents are not in the collection and count as not found, the first 'none1' "
        f"({file}, line 3)."
    )
    assert answer.json["counts"] == {
        "queries": 2,
        "judgments": 4,
        "queries_without_judgments": 1,
        "judged_queries_missing": 2,
        "judged_documents_missing": 2,
    }
    assert answer.json["measures"]["R@1000"] == (1 / 2 + 0) / 2
    file.write_text("query\tdoc\tscore\n1\td103\t1\n")
    answer = run("eval", folder, "--encoder", "bm25")
    assert answer.code == 1
    assert answer.error.startswith(f"{file}, line 1 is 'query\\tdoc\\tscore' instead of the header")
    file.write_text(f"{HEADER}1\td103\t1\n")
    corpus = folder / "corpus.jsonl"
    corpus.write_text(corpus.read_text() + '{"id": "d103", "text": "again"}\n')
    answer = run("eval", folder, "--encoder", "bm25:atire")
    assert answer.code == 1
    assert f"{corpus}, line 145: the id 'd103' is repeated" in answer.err


def test_per_query_values(
    run: Callable[..., Any], data: Callable[..., Path], tmp_path: Path
) -> None:
    data("cranfield")
    command = ["eval", "cranfield", "vaswani", "--data", data("vaswani"), "--encoder", "bm25"]
    out = tmp_path / "values.parquet"
    answer = run(*command, "--measures", "RR AP", "--per-query", out, "--json")
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == 2 * 2 * 3
    assert rows[0] == {
        "dataset": "cranfield",
        "encoder": "bm25",
        "query": "1",
        "measure": "RR",
        "value": rows[0]["value"],
    }
    for found in answer.json:
        for measure, mean in found["measures"].items():
            values = [
                row["value"]
                for row in rows
                if (row["dataset"], row["measure"]) == (found["dataset"], measure)
            ]
            assert sum(values) / 3 == pytest.approx(mean)
    answer = run(*command, "--per-query", tmp_path / "no" / "values.parquet")
    assert (answer.code, "its folder does not exist" in answer.error) == (1, True)


def test_a_report(
    run: Callable[..., Any],
    data: Callable[..., Path],
    tmp_path: Path,
) -> None:
    place = tmp_path / "report"
    command = ["eval", "vaswani", "--data", data("vaswani"), "--encoder", "bm25"]
    answer = run(*command, "--report", place)
    assert answer.code == 0
    report = json.loads((place / "results.json").read_text())
    assert [result["encoder"] for result in report["results"]] == ["bm25"]
    assert report["command"] == f"lsr {' '.join(map(str, command))} --report {place}"
    assert report["results"][0]["provenance"]["command"] == report["command"]
    assert (place / "report.html").exists()
    assert len(lsr.open(place / "indexes" / "vaswani" / "bm25")) == 144
    (tmp_path / "file").touch()
    answer = run(*command, "--report", tmp_path / "file")
    assert (answer.code, answer.err.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give a DATASET, --suite NAME, or --run-file FILE with --qrels."),
        (["--run-file", "r"], "--run-file needs --qrels FILE|ZIP."),
        (["x", "--run-file", "r", "--qrels", "q"], "measures an existing run; leave out DATASET."),
        (["--run-file", "r", "--qrels", "q", "-k", "3"], "leave out -k."),
        (["--run-file", "r", "--qrels", "q", "--report", "d"], "leave out --report."),
        (["vaswani", "vaswani", "--data", "D"], "vaswani is given twice; give each dataset once."),
        (["a", "b", "--qrels", "q"], "--queries and --qrels apply to a single DATASET."),
        (
            ["vaswani", "--data", "D", "--encoder", "bm25", "--encoder", "bm25:lucene", "--weights",
             "bm25=1"],
            "--weights apply to a single --encoder.",
        ),
    ],
)  # fmt: skip
def test_wrong_usage(
    run: Callable[..., Any],
    data: Callable[..., Path],
    arguments: list[str],
    message: str,
) -> None:
    folder = data("vaswani")
    answer = run("eval", *(folder if argument == "D" else argument for argument in arguments))
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_what_is_wrong_is_found_before_any_work(
    run: Callable[..., Any], data: Callable[..., Path]
) -> None:
    folder = data("vaswani")
    answer = run("eval", "vaswani", "nope", "--data", folder, "--encoder", "bm25")
    assert answer.code == 1
    assert answer.error.startswith("nope does not exist and is not a known dataset (msmarco,")
    answer = run("eval", "vaswani", "--data", folder, "--encoder", "bm25", "--encoder", "bm25:no")
    assert answer.code == 1
    assert "bm25:no" in answer.error or "'no'" in answer.error
    answer = run("eval", "cranfield", "--data", folder)
    assert (answer.code, answer.error) == (
        1,
        f"cranfield cannot be downloaded, and {folder} has neither cranfield.zip nor a folder "
        "cranfield; give its folder with --data DIR",
    )
