"""`lsr search`: one question."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import lsr
from lsr.cli.hits import print_table, snippet


@pytest.mark.parametrize("name", ["bm25_index", "splade_index"])
def test_json(run: Callable[..., Any], name: str, request: pytest.FixtureRequest) -> None:
    index: lsr.Index = request.getfixturevalue(name)
    hits = index.search("who repairs tidal mills", k=4)
    answer = run("search", index.path, "who repairs tidal mills", "-k", 4, "--json", "--explain")
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.json) == ["query", "hits"]
    assert answer.json["query"] == "who repairs tidal mills"
    assert len(answer.json["hits"]) == 4
    for shown, hit in zip(answer.json["hits"], hits, strict=True):
        assert list(shown) == ["id", "score", "title", "text", "terms"]
        assert shown["id"] == hit.id
        assert shown["score"] == hit.score == sum(term["product"] for term in shown["terms"])
        assert (shown["title"], shown["text"]) == (hit.title, hit.text)
        for term, match in zip(shown["terms"], hit.explain().terms, strict=True):
            assert term == {
                "term": match.term,
                "query_weight": match.query_weight,
                "document_weight": match.document_weight,
                "product": match.product,
                "kind": match.kind,
            }
    bare = run("search", index.path, "who repairs tidal mills", "-k", 4, "--json").json
    assert [{**hit, "terms": []} for hit in bare["hits"]] == [
        {**hit, "terms": []} for hit in answer.json["hits"]
    ]
    assert all("terms" not in hit for hit in bare["hits"])


def test_plain_lines_in_a_pipe(run: Callable[..., Any], bm25_index: lsr.Index) -> None:
    hits = bm25_index.search("repair glass bees", k=3)
    lines = run("search", bm25_index.path, "repair glass bees", "-k", 3).out.splitlines()
    assert lines[0::2] == [
        f"{rank}\t{hit.score:.4f}\t{hit.id}\t{hit.title}" for rank, hit in enumerate(hits, 1)
    ]
    assert lines[1::2] == [f"\t{hit.text}" for hit in hits]
    explained = run("search", bm25_index.path, "repair glass bees", "-k", 1, "--explain").out
    assert "\x1b" not in explained
    assert [line.split()[0] for line in explained.splitlines()[2:]] == [
        match.term for match in hits[0].explain().terms
    ]


def test_where_the_time_went(run: Callable[..., Any], bm25_index: lsr.Index) -> None:
    answer = run("search", bm25_index.path, "glass", "--profile")
    assert answer.out == run("search", bm25_index.path, "glass").out
    laps = [line.split(maxsplit=2) for line in answer.err.splitlines()]
    assert [what for _, _, what in laps] == [
        "starting Python",
        "opening the index",
        "loading the encoder",
        "encoding the question",
        "searching",
        "explaining and printing",
        "in all",
    ]
    *parts, whole = [float(milliseconds) for milliseconds, _, _ in laps]
    assert min(parts) >= 0
    assert whole == pytest.approx(sum(parts), abs=0.5)


@pytest.mark.parametrize("columns", [60, 100])
def test_a_table_on_a_terminal(
    run: Callable[..., Any], splade_index: lsr.Index, terminal: Callable[..., Any], columns: int
) -> None:
    hit = splade_index.search("repair glass bees", k=1)[0]
    why = hit.explain()
    screen = terminal(columns)
    assert run("search", splade_index.path, "repair glass bees", "-k", 1, "--explain").code == 0
    shown = click.unstyle(screen.getvalue())
    lines = [line.split() for line in shown.splitlines()]
    assert max(map(len, shown.splitlines())) <= columns
    assert "…" not in shown
    for match in why.terms:
        numbers = [match.query_weight, match.document_weight, match.product]
        row = [match.term, match.kind, *(f"{number:.3f}" for number in numbers)]
        assert row in [line[:5] for line in lines]
    assert ["sum", f"{why.score:.3f}"] in lines
    assert ("█" * 20 in shown) == (columns == 100)


@pytest.mark.parametrize("columns", [40, 50, 60, 80, 120])
@pytest.mark.parametrize("name", ["splade_index", "composite_index"])
def test_an_explanation_fits_every_terminal(
    run: Callable[..., Any],
    request: pytest.FixtureRequest,
    terminal: Callable[..., Any],
    name: str,
    columns: int,
) -> None:
    """Bars go first, then weights, then kinds; terms, products and the sum stay."""
    index: lsr.Index = request.getfixturevalue(name)
    why = index.search("repair glass bees", k=1)[0].explain()
    screen = terminal(columns)
    assert run("search", index.path, "repair glass bees", "-k", 1, "--explain").code == 0
    shown = click.unstyle(screen.getvalue())
    lines = [line.split() for line in shown.splitlines()]
    assert max(map(len, shown.splitlines())) <= columns
    for match in why.terms:
        assert any(line[:1] == [match.term] and f"{match.product:.3f}" in line for line in lines), (
            match
        )
    assert ["sum", f"{why.score:.3f}"] in lines
    (head,) = [line for line in lines if line[:1] == ["term"]]
    assert head[0] == "term"
    assert head[-1] == "product"
    # What is left out of the middle, and the bars, go in this order.
    assert head[1:-1] in (["kind", "query", "document"], ["kind"], [])
    assert ("█" in shown) <= ("query" in head) <= ("kind" in head)
    assert ("█" in shown) == (columns >= 80)


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_long_terms_are_broken(
    run: Callable[..., Any], terminal: Callable[..., Any], tmp_path: Path, columns: int
) -> None:
    word = "q" * 30 + "z" * 30
    index = lsr.Index.build(tmp_path / "i", [{"id": "a", "text": word}], "bm25")
    (match,) = index.search(word)[0].explain().terms
    screen = terminal(columns)
    assert run("search", index.path, word, "--explain").code == 0
    shown = click.unstyle(screen.getvalue())
    table = shown[shown.index("term") :]
    assert (table.count("q"), table.count("z")) == (30 + table.count("query"), 30)
    assert f"{match.product:.3f}" in table
    assert "…" not in table


def test_terms_and_texts_are_not_markup(
    run: Callable[..., Any], tmp_path: Path, terminal: Callable[..., Any]
) -> None:
    from lsr.data.corpus import Chunk
    from lsr.data.vectors.folder import VectorFolder, write_vectors
    from lsr.indexing.build import build  # an index whose word looks like rich's markup

    text = "[bold]loud[/bold] [/] [link=x]"
    chunk = Chunk(["[red]"], [text], [text], lsr.SparseVectors([0, 1], [0], [1]))
    write_vectors(tmp_path / "v", [chunk], words=["[/red]"])
    build(tmp_path / "i", VectorFolder.open(tmp_path / "v"))
    index = lsr.open(tmp_path / "i")
    (hits,) = index.search_vectors(lsr.SparseVectors([0, 1], [0], [1]))
    screen = terminal(100)
    print_table(hits, explain=True)
    assert screen.getvalue().count(text) == 2
    assert "[/red]" in screen.getvalue()


UNTOLD = "The question has no terms that the index knows.\n"


@pytest.mark.parametrize("question", ["zyzzyva", "", " ", "?!", "😀", "the"])
def test_questions_without_terms(
    run: Callable[..., Any], bm25_index: lsr.Index, terminal: Callable[..., Any], question: str
) -> None:
    answer = run("search", bm25_index.path, question, "--explain")
    assert (answer.code, answer.out, answer.err) == (0, "", UNTOLD)
    answer = run("search", bm25_index.path, question, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == {"query": question, "hits": []}
    screen = terminal(80)
    assert run("search", bm25_index.path, question, "--explain").code == 0
    assert screen.getvalue() == UNTOLD


@pytest.mark.parametrize("question", ["", "?!", "😀", "ᚠᚢᚦ"])
def test_a_model_answers_no_empty_question(
    run: Callable[..., Any], composite_index: lsr.Index, question: str
) -> None:
    for options in ([], ["--prf", "rocchio"]):
        answer = run("search", composite_index.path, question, *options)
        assert (answer.code, answer.out, answer.err) == (0, "", UNTOLD)
    answer = run("encode", "--text", question)
    assert (answer.code, answer.out) == (0, "splade-tiny: no terms\n")


def test_nothing_found(run: Callable[..., Any], tmp_path: Path) -> None:
    words = [{"id": "a", "text": "red"}, {"id": "b", "text": "red"}]
    lsr.Index.build(tmp_path / "i", words, "bm25:atire")  # by which a word of all weighs nothing
    answer = run("search", tmp_path / "i", "red")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "No document shares a term with the question.\n"


def test_every_method_and_kernel_gives_the_same(
    run: Callable[..., Any], bm25_index: lsr.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lsr.kernels import ISAS

    wanted = run("search", bm25_index.path, "winter wheat", "--json", "-k", 50).json
    for method in ("auto", "scan", "pruned"):
        for isa in ISAS["index"]:
            monkeypatch.setenv("LSR_ISA", isa)
            command = ("search", bm25_index.path, "winter wheat", "--json", "-k", 50)
            assert run(*command, "--method", method).json == wanted
    exact = run("search", bm25_index.path, "winter wheat", "--json", "--exact-floats").json
    assert exact["hits"][0]["score"] == pytest.approx(wanted["hits"][0]["score"], abs=0.05)
    monkeypatch.setenv("LSR_ISA", "mmx")
    answer = run("search", bm25_index.path, "winter wheat")
    assert answer.code == 2
    assert answer.error.startswith("LSR_ISA=mmx cannot be used here: this machine has scalar")


@pytest.mark.parametrize(
    "arguments",
    [
        ["text", "-k", "0"],
        ["text", "-k", "-1"],
        ["text", "-k", "many"],
        ["text", "--method", "wand"],
        ["text", "--threads", "0"],
        ["text", "--no-such-option"],
        [],
        ["text", "more"],
        ["text", "--queries", "q.jsonl", "--run", "r.trec"],
        ["--queries", "q.jsonl"],
        ["text", "--run", "r.trec"],
    ],
)
def test_bad_usage(run: Callable[..., Any], bm25_index: lsr.Index, arguments: list[str]) -> None:
    answer = run("search", bm25_index.path, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: lsr search [OPTIONS] INDEX [QUESTION]\n")
    assert answer.err.splitlines()[-1].startswith("Error: ")


def test_what_is_no_index(run: Callable[..., Any], tmp_path: Path, corpus: Path) -> None:
    for place in (tmp_path / "none", tmp_path, corpus):
        for command in (["search", place, "x"], ["info", place], ["verify", place]):
            answer = run(*command)
            assert (answer.code, answer.out) == (1, "")
            assert answer.error == (
                f"{place} is not an index: it has no manifest.json; build one with `lsr index`"
            )


def test_words_cannot_search_vectors(run: Callable[..., Any], tmp_path: Path) -> None:
    one = lsr.SparseVectors([0, 1], [1], [1])
    index = lsr.Index.from_vectors(tmp_path / "v", ["a"], one)
    answer = run("search", index.path, "text")
    assert answer.code == 1
    assert "built from vectors without an encoder; search it with vectors" in answer.error


def test_another_encoder_is_refused(run: Callable[..., Any], bm25_index: lsr.Index) -> None:
    answer = run("search", bm25_index.path, "text", "--encoder", "splade-tiny")
    assert answer.code == 1
    assert "is of the kind 'learned'; give the encoder the index was built with" in answer.error


def test_info(run: Callable[..., Any], bm25_index: lsr.Index, tmp_path: Path) -> None:
    facts = run("info", bm25_index.path, "--json").json
    assert facts == bm25_index.info()
    assert (facts["documents"], facts["bits"], facts["kept"]) == (144, 8, ["floats", "text"])
    assert facts["encoder"]["name"] == "bm25"
    sizes = sum(f.stat().st_size for f in bm25_index.path.rglob("*.arrow"))
    assert sum(facts["sizes"].values()) == sizes
    text = run("info", bm25_index.path).out
    assert f"documents        144\n  postings         {facts['postings']:,}, 8 bits" in text
    vectors = lsr.Index.from_vectors(tmp_path / "v", [], lsr.SparseVectors([0], [], []))
    assert "none: built from vectors" in run("info", vectors.path).out


def test_a_snippet_is_around_the_first_word() -> None:
    text = "lead " * 100 + "copper\n wire " + "tail " * 100
    piece = snippet(text, ["wire", "copper"])
    assert piece.startswith("… lead")
    assert piece.endswith("tail …")
    assert "copper wire" in piece
    assert len(piece) <= 244
    assert snippet(text, []).startswith("lead lead")
    assert snippet("a  short\ttext", ["text"]) == "a short text"
    assert snippet("x" * 999, []) == "x" * 240 + " …"
    assert len(snippet("x" * 999 + " copper", ["copper"])) <= 244
    assert snippet(text, ["(", "[x"]).startswith("lead")  # words are no patterns


def test_parts_as_text_json_and_table(
    run: Callable[..., Any], composite_index: lsr.Index, terminal: Callable[..., Any]
) -> None:
    command = ["search", composite_index.path, "who repairs tidal mills", "-k", 1, "--explain"]
    (hit,) = run(*command, "--json").json["hits"]
    assert sorted(hit["parts"]) == ["bm25", "splade-tiny"]
    assert sum(hit["parts"].values()) == hit["score"]
    for name, total in hit["parts"].items():
        assert total == sum(term["product"] for term in hit["terms"] if term["part"] == name)
    why = str(composite_index.search("who repairs tidal mills", k=1)[0].explain())
    plain = run(*command).out.splitlines()[2:]
    assert plain == [f"\t{line.removeprefix('  ')}" for line in why.splitlines()[1:]]
    weighed = run(*command, "--json", "--weights", "bm25=1,splade-tiny=0").json["hits"]
    assert [*weighed[0]["parts"]] == ["bm25"]
    screen = terminal(100)
    run(*command)
    table = re.sub(r"\x1b\[\d*m", "", screen.getvalue()).splitlines()
    for name, total in hit["parts"].items():
        (line,) = [line for line in table if line.split()[:1] == [name]]
        assert line.split()[1:] == [f"{total:.3f}"]


def test_the_parts_of_an_index(run: Callable[..., Any], composite_index: lsr.Index) -> None:
    lines = [line.strip() for line in run("info", composite_index.path).out.splitlines()]
    for name in ("bm25", "splade-tiny"):
        start = lines.index(f"part {name}, as of the build")
        assert lines[start + 1].split() == ["weight", "0.5"]
        assert "name" in [line.partition(" ")[0] for line in lines[start:]]
    sides = [line.split(maxsplit=1) for line in lines if line.startswith(("query ", "document "))]
    assert sides == [["query", "mlm, log1p, max"], ["document", "mlm, log1p, max"]]


def test_snippets_of_other_scripts() -> None:
    chinese = "天地玄黄" * 90 + "猫喜欢鱼" + "宇宙洪荒" * 90
    piece = snippet(chinese, ["喜欢"])
    assert "猫喜欢鱼" in piece
    assert piece.startswith("… ")
    assert piece.endswith(" …")
    assert len(piece) <= 244
    thai = "กุ้งน้ำ" * 90 + "แมว" + "ที่นี่" * 90
    for length in range(200, 210):
        piece = snippet(thai, ["แม"], length)
        assert "แมว" in piece
        # no mark without its letter, at either end
        assert not any(unicodedata.category(piece[place])[0] == "M" for place in (2, 0))
        whole = thai[thai.index(piece[2:-2]) + len(piece) - 4 :]
        assert unicodedata.category(whole[0])[0] != "M"
    hindi = "शब्द " * 100 + "हिन्दी भाषा" + " शब्द" * 100
    assert "हिन्दी" in snippet(hindi, ["हिन्दी"])
