"""`lsr compare` on small runs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsr.cli.commands.compare import _chance, _figure

RANKS = {"one": [1, 2, 0, 1], "two": [1, 1, 2, 0], "three": [1, 2, 0, 1]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Judgments of five queries, in BEIR's form, and runs that answer four of them and another."""
    place = tmp_path / "scifact"
    (place / "qrels").mkdir(parents=True)
    lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\thit\t1" for n in range(5))]
    (place / "qrels" / "test.tsv").write_text("\n".join(lines))
    texts = [{"_id": f"q{n}", "text": f"question\n {n} " + "long " * 40} for n in range(5)]
    (place / "queries.jsonl").write_text("\n".join(map(json.dumps, texts)))
    for name, ranks in RANKS.items():
        rows = [
            f"q{n} Q0 {'hit' if place == rank else f'd{place}'} {place} {9 - place} t\n"
            for n, rank in enumerate(ranks)
            for place in (1, 2, 3)
        ]
        (tmp_path / f"{name}.trec").write_text("".join([*rows, "other Q0 d 1 1 t\n"]))
    return place


def files(folder: Path, *names: str) -> list[Path]:
    return [folder.parent / f"{name}.trec" for name in names]


def test_the_tables(run: Callable[..., Any], folder: Path) -> None:
    answer = run("compare", *files(folder, *RANKS), "--qrels", folder, "--queries", 2)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert " ".join(lines[0].split()) == "nDCG@10, 5 queries of scifact mean 95 % interval"
    # Two queries at rank 1 and one at rank 2 give 1 + 1 + 1 / log2(3) over five queries.
    assert lines[1].split()[:3] == ["[1]", "one", ".5262"]
    assert lines[2].split()[:3] == ["[2]", "two", ".5262"]
    assert lines[4].split()[:4] == ["diff.", "95", "%", "interval"]
    assert [line.split()[0] for line in lines[5:8]] == ["[2]-[1]", "[3]-[1]", "[3]-[2]"]
    tied = "[3]-[1] +.0000 +.0000 +.0000 +0.00 1.0000 1.0000 1.0000 0/5/0"
    assert " ".join(lines[6].split()) == tied
    assert lines[5].split()[-1] == "2/2/1"
    assert lines[8].split() == ["difference", "from", "published", "[1]", "[2]", "[3]"]
    flat = next(line for line in lines if "BM25 (flat)" in line)
    assert flat.split()[2:] == [".6789", "-.1527", "-.1527", "-.1527"]
    assert "R@100, 5 queries of scifact" in answer.out
    assert answer.out.count("difference from published") == 1
    won = lines.index("nDCG@10: largest gains of [2] over [1]")
    assert lines[won + 1].startswith("  +.6309  .0000 to .6309  q2  question 2 long")
    assert lines[won + 2].startswith("  +.3691  .6309 to 1.0000  q1  question 1 long")
    assert lines[won + 3] == ""
    lost = lines.index("nDCG@10: largest losses of [2] to [1]")
    assert lines[lost + 1].startswith("  -1.0000  1.0000 to .0000  q3  question 3")
    assert lines[lost + 1].endswith("…")
    assert max(map(len, lines)) == 100
    assert max(len(line) for line in lines if "…" not in line) <= 80
    assert not any(line != line.rstrip() for line in lines)
    assert "\x1b" not in answer.out


def test_what_runs_lack_is_reported(run: Callable[..., Any], folder: Path) -> None:
    answer = run("compare", *files(folder, "one", "two"), "--qrels", folder)
    assert answer.err.splitlines() == [
        "one: 1 of 5 judged queries have no line in the run and count as empty results",
        "one: 1 queries of the run have no judgments and are left out",
        "two: 1 of 5 judged queries have no line in the run and count as empty results",
        "two: 1 queries of the run have no judgments and are left out",
    ]


def test_json(run: Callable[..., Any], folder: Path) -> None:
    command = ["compare", *files(folder, "one", "two"), "--qrels", folder, "--json"]
    answer = run(*command, "--measures", "NDCG@10,RR", "--queries", 1)
    assert list(answer.json["measures"]) == ["nDCG@10", "RR"]
    assert answer.json["measures"]["RR"][0]["mean"] == pytest.approx(2.5 / 5)
    (test, _) = answer.json["tests"]
    assert (test["a"], test["b"], test["measure"]) == ("one", "two", "nDCG@10")
    # Sizes .37 .63 1 of the differences: six of the eight patterns reach the observed 0.
    assert test["p_randomization"] == 1
    assert [len(rows) for rows in answer.json["won"].values()] == [1, 1]
    assert answer.json["published"]["nDCG@10"] != []
    other = run(*command, "--dataset", "nfcorpus").json
    assert other["dataset"] == "nfcorpus"
    assert other["published"]["nDCG@10"][0]["value"] == 0.3218


def test_no_queries_and_no_differences(run: Callable[..., Any], folder: Path) -> None:
    command = ["compare", *files(folder, "one", "three"), "--qrels", folder, "--measures", "RR"]
    assert "queries that" not in run(*command, "--queries", 0).out
    assert run(*command).out.count("  none\n") == 2


def test_a_terminal(
    run: Callable[..., Any], folder: Path, terminal: Callable[..., io.StringIO]
) -> None:
    screen = terminal(60, colour=True)
    run("compare", *files(folder, "one", "two"), "--qrels", folder, "--measures", "RR")
    out = screen.getvalue()
    assert out.startswith("\x1b[1mRR, 5 queries")
    assert out.splitlines()[1].startswith("  [1] one")
    assert "\x1b" not in out.splitlines()[1]
    cut = [line for line in out.splitlines() if line.endswith("…")]
    assert len(cut) == 3
    assert {len(line) for line in cut} == {60}


def test_numbers() -> None:
    """By the functions themselves: no runs as small as these reach all of the numbers."""
    assert [_figure(value) for value in (0, 0.5, -0.25, 1, 10.05)] == [
        ".0000", ".5000", "-.2500", "1.0000", "10.0500"
    ]  # fmt: skip
    assert [_figure(value, "+") for value in (-1e-9, 0.5, -2)] == ["+.0000", "+.5000", "-2.0000"]
    assert [_chance(p) for p in (1e-9, 0.0001, 1)] == ["<.0001", ".0001", "1.0000"]


def test_bad_input(run: Callable[..., Any], folder: Path) -> None:
    one, two = files(folder, "one", "two")

    def fails(code: int, message: str, *arguments: str | Path) -> None:
        answer = run("compare", *arguments)
        assert (answer.code, answer.out) == (code, "")
        assert message in answer.err

    fails(2, "a comparison needs two runs or more", one, "--qrels", folder)
    fails(2, "two runs or more", "--qrels", folder)
    fails(2, "Missing option '--qrels'", one, two)
    fails(2, "'foo' is not a measure", one, two, "--qrels", folder, "--measures", "foo")
    fails(2, "no measure to compare by", one, two, "--qrels", folder, "--measures", " ")
    fails(1, "has no qrels/dev.tsv", one, two, "--qrels", folder, "--split", "dev")
    fails(1, "nothing.trec", one, "nothing.trec", "--qrels", folder)
    two.write_text("q0 Q0 hit 1 5 t\nq0 Q0 hit 2 4 t\n")
    fails(1, "two.trec, line 2 ", one, two, "--qrels", folder)


@pytest.mark.parametrize(("better", "shown"), [(True, "+∞"), (False, "-∞")])
def test_an_effect_without_a_deviation(
    run: Callable[..., Any], folder: Path, better: bool, shown: str
) -> None:
    """Every query moves by the same amount, so its deviation is 0."""
    for name, rank in (("high", 1), ("low", 2)):
        rows = (
            f"q{n} Q0 {'hit' if r == rank else f'd{r}'} {r} {9 - r} t\n"
            for n in range(5)
            for r in (1, 2)
        )
        (folder.parent / f"{name}.trec").write_text("".join(rows))
    runs = files(folder, *(("low", "high") if better else ("high", "low")))
    arguments = ["compare", *runs, "--qrels", folder, "--measures", "RR@10"]
    (line,) = [row for row in run(*arguments).out.splitlines() if "[2]-[1]" in row]
    assert line.split()[4:6] == [shown, "<.0001"]
    answer = run(*arguments, "--json")
    (test,) = json.loads(answer.out, parse_constant=pytest.fail)["tests"]
    assert test["effect"] is None
    assert test["difference"] == (0.5 if better else -0.5)
