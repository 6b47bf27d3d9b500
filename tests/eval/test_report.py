"""Reports: the figures in them, what they say of odd results, and that nothing leaves the page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lsr.errors import LsrError, QueryError
from lsr.eval.comparison import QueryDifference
from lsr.eval.published import Reference
from lsr.eval.report.cards import cards
from lsr.eval.report.figures import signed, span
from lsr.eval.report.render import markdown as markdown_of
from lsr.eval.report.render import page as page_of
from lsr.eval.report.report import write_report
from lsr.eval.report.summary import Summary, summarize
from lsr.eval.results import Result, Scores
from lsr.eval.runs import read_run
from lsr.eval.statistics import bootstrap_interval, compare

COMMAND = "lsr eval --report here"
NDCG = [0.0, 0.2, 0.4, 0.8]  # mean .35


def result(
    dataset: str = "one",
    encoder: str = "a",
    values: Sequence[float] = NDCG,
    *,
    recall: Sequence[float] | None = None,
    times: Sequence[float] = (1.0, 2.0, 3.0, 4.0),
    provenance: Mapping[str, Any] | None = None,
) -> Result:
    queries = {f"q{place}": f"question {place}" for place in range(len(values))}
    per_query = {"nDCG@10": dict(zip(queries, values, strict=True))}
    if recall is not None:
        per_query["R@100"] = dict(zip(queries, recall, strict=True))
    return Result(
        dataset,
        encoder,
        queries,
        {query: {"d1": 1.0, "d2": 2.5, "d0": 1.0} for query in queries},
        Scores({m: float(np.mean(list(v.values()))) for m, v in per_query.items()}, per_query),
        np.array(times, np.float64),
        {} if provenance is None else provenance,
    )


def higher(by: float, count: int = 8) -> list[float]:
    return [0.3 + 0.01 * place + by for place in range(count)]


def three() -> list[Result]:
    """On `one` b is above a by .1 and c below by .1 for each of 8 queries; on `two` c is missing.

    The exact p of 8 equal differences is 2 / 2**8, by Holm over three pairs .0234.
    """
    return [
        result("one", "a", higher(0), recall=[0.5] * 8),
        result("one", "b", higher(0.1), recall=[0.75] * 8),
        result("one", "c", higher(-0.1), recall=[0.25] * 8),
        result("two", "a", [0.5, 0.25], recall=[1, 0]),
        result("two", "b", [0.25, 0.5], recall=[1, 0]),
    ]


class Page(HTMLParser):
    """Reads a page strictly: every element is closed, and where, and keeps what asks for things."""

    VOID = ("meta", "link", "wbr", "rect", "path", "circle")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def written(place: Path, results: Sequence[Result]) -> tuple[Page, str, dict[str, Any]]:
    """The page, the Markdown and the JSON of a report, and that nothing else leaves the page."""
    write_report(place, results, COMMAND)
    html = (place / "report.html").read_text("utf-8")
    page = Page(html)
    assert_self_contained(html, page)
    assert sorted(path.name for path in place.iterdir()) == [
        "per_query.parquet", "report.html", "report.md", "results.json", "runs",
    ]  # fmt: skip
    return (
        page,
        (place / "report.md").read_text("utf-8"),
        json.loads((place / "results.json").read_text("utf-8")),
    )


def assert_self_contained(html: str, page: Page) -> None:
    assert not {"script", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert name not in ("src", "srcset", "xlink:href", "action", "data", "ping")
        assert not name.startswith("on")
        if name == "href":
            links = {"a": r"#[a-z]+|https://.*", "link": "data:,"}
            assert re.fullmatch(links[tag], value)
        if name == "style":
            assert re.fullmatch(r"color:var\(--c[0-8]\)", value)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    assert "default-src &#x27;none&#x27;" in html or "default-src 'none'" in html


def test_tables_hold_the_figures(tmp_path: Path) -> None:
    page, markdown, _ = written(tmp_path, three())
    ci = {
        (name, by): span(bootstrap_interval(higher(by)))
        for name, by in [("a", 0), ("b", 0.1), ("c", -0.1)]
    }
    two = span(bootstrap_interval([0.25, 0.5]))
    # .3 + .01 * (0 + … + 7) / 8 = .335
    assert page.rows[:4] == [
        ["", "a", "b", "c"],
        [
            "one8 queries",
            f".335{ci['a', 0]}",
            f"▲ .435{ci['b', 0.1]}",
            f"▼ .235{ci['c', -0.1]}",
        ],
        ["two2 queries", f".375{two}", f".375{two}", "\u2013"],
        ["mean", ".355", ".405", "\u2013"],
    ]
    assert f"| one | .335 {ci['a', 0]} | **.435** ▲ {ci['b', 0.1]} | .235 ▼" in markdown
    assert f"| two | **.375** {two} | **.375** {two} |  |" in markdown
    assert "| mean | .355 | **.405** |  |" in markdown
    assert "significantly above and below a, the first encoder" in page.text


def test_best_is_what_prints_highest() -> None:
    rows = (
        summarize(
            [
                result(encoder=e, values=[v])
                for e, v in [("a", 0.3001), ("b", 0.3004), ("c", 0.299)]
            ],
            "",
        )
        .tables[0]
        .rows["one"]
    )
    assert [cell.best for cell in rows if cell] == [True, True, False]
    alone = summarize([result()], "").tables[0]
    assert [cell.best for cell in alone.rows["one"] if cell] == [False]
    assert alone.mean == []


def test_marks_follow_the_corrected_tests(tmp_path: Path) -> None:
    """6 equal differences have p = 2 / 2**6 = .031, which Holm over three pairs takes above .05."""
    pair = [result(encoder=e, values=higher(by, 6)) for e, by in [("a", 0), ("b", 0.1)]]
    third = result(encoder="c", values=higher(0, 6))
    assert [c.sign for c in summarize(pair, "").tables[0].rows["one"] if c] == [0, 1]
    cells = summarize([*pair, third], "").tables[0].rows["one"]
    assert [cell.sign for cell in cells if cell] == [0, 0, 0]
    page, markdown, _ = written(tmp_path, [*pair, third])
    assert "| b against a | +.100 [+.100, +.100] | +∞ | \\<.001 | .031 | .094 |" in markdown
    assert "<b>.094" not in (tmp_path / "report.html").read_text()
    assert "▲" not in "".join(cell for row in page.rows for cell in row)


def test_marks_are_against_the_first_encoder_only() -> None:
    """c is surely above b, and no different from a, whose values go up and down."""
    values = {"a": [0.0, 0.8] * 4, "b": higher(0), "c": higher(0.1)}
    summary = summarize([result(encoder=e, values=v) for e, v in values.items()], "")
    assert [test.b for test in summary.tests["one"] if test.p_holm < 0.05] == ["c"]
    assert [cell.sign for cell in summary.tables[0].rows["one"] if cell] == [0, 0, 0]


def test_tests_are_those_of_statistics(tmp_path: Path) -> None:
    page, markdown, data = written(tmp_path, three())
    one = {r.encoder: r.scores for r in three() if r.dataset == "one"}
    expected = compare(one, ["nDCG@10", "R@100"])
    found = [test for test in data["tests"] if test["dataset"] == "one"]
    assert [(t["measure"], t["a"], t["b"], t["p_holm"]) for t in found] == [
        (t.measure, t.a, t.b, t.p_holm) for t in expected
    ]
    assert found[0]["ci"] == [expected[0].interval.low, expected[0].interval.high]
    assert found[0]["p_randomization"] == 2 / 2**8
    assert [test["measure"] for test in data["tests"] if test["dataset"] == "two"] == [
        "nDCG@10", "R@100",
    ]  # fmt: skip
    row = ["b against a", "+.100[+.100, +.100]", "+∞", "<.001", ".008", ".023", "8 / 0 / 0"]
    assert row in page.rows
    assert (
        "| b against a | +.100 [+.100, +.100] | +∞ | \\<.001 | .008 | **.023** | 8 / 0 / 0 |"
        in (markdown)
    )
    assert ["b against a", f".000[{signed(-0.25)}, +.250]", ".000", "1", "1", "1", "1 / 0 / 1"] in (
        page.rows
    )


def test_data_files(tmp_path: Path) -> None:
    results = three()
    _, _, data = written(tmp_path, results)
    assert data["command"] == COMMAND
    first = data["results"][0]
    interval = bootstrap_interval(higher(0))
    assert first == {
        "dataset": "one",
        "encoder": "a",
        "queries": 8,
        "measures": {"nDCG@10": results[0].scores.means["nDCG@10"], "R@100": 0.5},
        "ci": {"nDCG@10": [interval.low, interval.high], "R@100": [0.5, 0.5]},
        "milliseconds": {"median": 2.5, "p99": pytest.approx(3.97)},
        "provenance": {},
    }
    rows = pq.read_table(tmp_path / "per_query.parquet").to_pylist()
    assert len(rows) == (3 * 8 + 2 * 2) * 2
    assert rows[-1] == {
        "dataset": "two", "encoder": "b", "query": "q1", "measure": "R@100", "value": 0.0,
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "one.a.trec", "one.b.trec", "one.c.trec", "two.a.trec", "two.b.trec",
    ]  # fmt: skip
    run = tmp_path / "runs" / "two.b.trec"
    assert run.read_text().splitlines()[:3] == [
        "q0 Q0 d2 1 2.5 b",
        "q0 Q0 d1 2 1.0 b",
        "q0 Q0 d0 3 1.0 b",
    ]
    assert read_run(run) == results[-1].run


def test_queries_won_and_lost(tmp_path: Path) -> None:
    values = [0.5] * 14
    other = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.55, 0.4, 0.3, 0.2, 0.1, 0.0, 0.45, 0.2]
    results = [result(values=values), result(encoder="b", values=other)]
    (pair,) = summarize(results, "").pairs
    assert [change.query for change in pair.won] == ["q5", "q4", "q3", "q2", "q1"]
    assert [change.query for change in pair.lost] == ["q11", "q10", "q9", "q13", "q8"]
    assert pair.won[0] == QueryDifference("q5", "question 5", 0.5, 1.0)
    assert pair.counts() == (6, 1, 7)
    page, markdown, _ = written(tmp_path, results)
    assert "question 5" in page.texts
    assert "question 6" not in page.texts
    place = page.texts.index("question 5")
    assert page.texts[place - 2 : place] == ["+.500", ".500 → 1.000"]
    assert "| +.500 | .500 | 1.000 | question 5 | q5 |" in markdown
    assert f"| {signed(-0.5)} | .500 | .000 | question 11 | q11 |" in markdown


def test_long_texts_are_cut(tmp_path: Path) -> None:
    text = "one  long\n" + "word " * 1000
    results = [replace(result(encoder=e, values=v), queries={"q0": text}) for e, v in
               [("a", [0.0]), ("b", [1.0])]]  # fmt: skip
    page, markdown, _ = written(tmp_path, results)
    (shown,) = [found for found in page.texts if found.startswith("one long word")]
    assert len(shown) == 402
    assert shown.endswith(" …")
    assert "| one long word" in markdown
    assert max(map(len, markdown.splitlines())) < 500


HOSTILE = "<script>alert('\"1\"')</script>&amp; 🦊 | *b* `c` [d](e) </svg> --> {x}"
HOSTILE_ID = '<img"src=x>'


def test_text_from_data_is_text(tmp_path: Path) -> None:
    ids = [HOSTILE_ID, *"abcdefg"]
    provenance = {HOSTILE: HOSTILE, "list": ["```", None], "half": "\ud800"}
    results = [
        replace(
            result(HOSTILE, f"{HOSTILE}{place}", provenance=provenance),
            queries={HOSTILE_ID: HOSTILE},
            run={},
            scores=Scores({"nDCG@10": 0.3}, {"nDCG@10": dict(zip(ids, higher(by), strict=True))}),
        )
        for place, by in enumerate([0.0, 0.5])
    ]
    write_report(tmp_path, results, f"lsr eval ``` {HOSTILE}")
    html = (tmp_path / "report.html").read_text("utf-8")
    page = Page(html)
    assert_self_contained(html, page)
    assert HOSTILE in page.texts  # the query, and the value in the card
    assert HOSTILE_ID in page.texts
    assert f"{HOSTILE}, nDCG@10" in page.texts
    assert ("span", "title", f"significantly above {HOSTILE}0") in page.attributes
    assert any(f"{HOSTILE}1" in text for text in page.texts)
    assert f"lsr eval ``` {HOSTILE}" in page.texts
    markdown = (tmp_path / "report.md").read_text("utf-8")
    unfenced = re.sub(r"(?ms)^(`{3,})\n.*?\n\1$", "", markdown)
    assert "script" in unfenced
    assert not re.search(r"(?<!\\)[<*`\[]script|(?<!\\)<|(?<!\\)`|[^|] (?<!\\)\| \\\*b", unfenced)
    heads = [line for line in unfenced.splitlines() if "c\\`" in line and line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in heads} <= {4, 6, 8}
    assert "````\nlsr eval ```" in markdown
    names = [path.name for path in (tmp_path / "runs").iterdir()]
    assert len(names) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9._+=,@~-]+\.trec", name) for name in names)


@pytest.mark.parametrize(
    ("dataset", "encoder", "name"),
    [
        ("irds:beir/nfcorpus/test", "org/model@abc", "irds_beir_nfcorpus_test.org_model@abc.trec"),
        ("..", "../../x", "_._.._x.trec"),
        ("d", "bm25:lucene,k1=.9", "d.bm25_lucene,k1=.9.trec"),
        ("x" * 300, "y" * 300, f"{'x' * 60}.{'y' * 60}.trec"),
    ],
)
def test_names_of_runs(tmp_path: Path, dataset: str, encoder: str, name: str) -> None:
    write_report(tmp_path / "report", [result(dataset, encoder)], COMMAND)
    assert [path.name for path in (tmp_path / "report" / "runs").iterdir()] == [name]
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_runs_whose_names_meet_are_all_kept(tmp_path: Path) -> None:
    encoders = ["a/b", "a_b", "A:b", "a_b~2"]
    write_report(tmp_path, [result(encoder=encoder) for encoder in encoders], COMMAND)
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert len({name.lower() for name in names}) == 4


def odd_results() -> dict[str, list[Result]]:
    silent = replace(result(encoder="b"), run={}, milliseconds=np.zeros(0))
    return {
        "one query": [result(values=[0.5]), result(encoder="b", values=[0.75])],
        "one result": [result()],
        "equal encoders": [result(), result(encoder="b"), result(encoder="c")],
        "nothing found": [result(), silent],
        "nothing timed": [silent],
        "times of 0 and no number": [result(times=[0.0, 0.0]), result("two", times=[np.nan])],
        "the first missing": [result("one", "a"), result("two", "b"), result("two", "c")],
        "disjoint": [result("one", "a"), result("two", "b")],
        "other measures": [result(), result(encoder="b", recall=NDCG)],
        "all zero": [result(values=[0.0, 0.0]), result(encoder="b", values=[0.0, 0.0])],
        "counts": [result(values=[1000, 20.0]), result(encoder="b", values=[1200.0, 3])],
        "twelve encoders": [result(encoder=f"e{n}", recall=NDCG) for n in range(12)],
        "only recall": [
            replace(r, scores=Scores({"R@100": 0.5}, {"R@100": {"q0": 0.5}}), queries={"q0": "?"})
            for r in [result(), result(encoder="b")]
        ],
    }


@pytest.mark.parametrize("which", odd_results())
def test_odd_results(tmp_path: Path, which: str) -> None:
    page, markdown, data = written(tmp_path, odd_results()[which])
    for text in (page.text, markdown):
        assert not re.search(r"\b(nan|inf|None)\b", text)
    assert len(data["results"]) == len(odd_results()[which])


def test_what_is_said_of_odd_results(tmp_path: Path) -> None:
    odd = odd_results()
    equal, _, data = written(tmp_path / "equal", odd["equal encoders"])
    assert {test["p_holm"] for test in data["tests"]} == {1.0}
    assert "Queries won and lost" not in equal.text
    alone, _, _ = written(tmp_path / "alone", odd["one result"])
    assert "significantly" not in alone.text
    assert "Paired tests" not in alone.text
    assert "nDCG@10 against milliseconds a query" in [v for _, _, v in alone.attributes]
    untimed, _, data = written(tmp_path / "untimed", odd["nothing timed"])
    assert "Latency" not in untimed.text
    assert data["results"][0]["milliseconds"] is None
    assert (tmp_path / "untimed" / "runs" / "one.b.trec").read_bytes() == b""
    other = summarize(odd["other measures"], "")
    assert other.measures == ["nDCG@10", "R@100"]
    assert other.recall == "R@100"
    assert [point is None for point in other.latencies["one"]] == [True, False]


def test_latency_is_drawn_against_the_first_recall(tmp_path: Path) -> None:
    summary = summarize([result(recall=[0, 0.25, 0.5, 0.25], times=[4, 2, 1, np.inf])], "")
    (point,) = summary.latencies["one"]
    assert point is not None
    assert (point.median, point.recall) == (2, 0.25)
    assert point.p99 == pytest.approx(3.96)
    for name in ("R(rel=2)@10", "R@5"):
        named = result(recall=NDCG)
        scores = {name if m == "R@100" else m: v for m, v in named.scores.per_query.items()}
        means = {name if m == "R@100" else m: v for m, v in named.scores.means.items()}
        named = replace(named, scores=Scores({"RR@10": 0.0, **means}, {"RR@10": {}, **scores}))
        assert summarize([named], "").recall == name


def test_published_figures() -> None:
    known = {
        ("one", "nDCG@10"): [
            Reference("S", 0.3, "a <paper>", 'https://example.org/?a=1&b%22">'),
            Reference("T", 0.4, "hearsay", "javascript:alert(1)"),
        ],
        ("two", "nDCG@10"): [Reference("S", 0.4, "a <paper>", 'https://example.org/?a=1&b%22">')],
    }

    def summary(results: Sequence[Result]) -> Summary:
        return summarize(results, "", references=lambda *key: known.get(key, []))

    html, markdown = page_of(summary(three())), markdown_of(summary(three()))
    page = Page(html)
    assert_self_contained(html, page)
    assert [row for row in page.rows if "Sa <paper>" in row] == [
        ["onenDCG@10", "Sa <paper>", ".300", "+.035", "+.135", signed(-0.065)],
        ["twonDCG@10", "Sa <paper>", ".400", signed(-0.025), signed(-0.025), "\u2013"],
        ["meannDCG@10", "Sa <paper>", ".350", "+.005", "+.055", "\u2013"],
    ]
    assert [row[0] for row in page.rows if row[1:] and row[1].startswith("Thearsay")] == [
        "onenDCG@10"
    ]
    alone = Page(page_of(summary(three()[:3])))
    assert ["meannDCG@10"] not in [row[:1] for row in alone.rows]
    assert ("a", "href", 'https://example.org/?a=1&b%22">') in page.attributes
    assert f"| one, nDCG@10 | .300 | +.035 | +.135 | {signed(-0.065)} | S: a \\<paper\\> |" in (
        markdown
    )


def test_each_entry_of_the_card_is_said_once() -> None:
    def at(dataset: str, encoder: str, **more: Any) -> Result:
        entries = {"lsr": "1", "model": {"digest": encoder * 2}, "md5": dataset * 2, **more}
        return result(dataset, encoder, provenance=entries)

    found = cards([at("x", "a"), at("x", "b", seed=7), at("y", "a"), at("y", "b", seed=[8])])
    assert [(card.holds_for, card.entries) for card in found] == [
        ("all results", [("lsr", "1")]),
        ("a", [("model.digest", "aa")]),
        ("b", [("model.digest", "bb")]),
        ("x", [("md5", "xx")]),
        ("y", [("md5", "yy")]),
        ("b on x", [("seed", "7")]),
        ("b on y", [("seed", "[8]")]),
    ]
    nested = {"a": {"b": None, "c": {}}, "d": True, "parts": [{"k": 1}, ["x"]], "plain": ["ä", 2]}
    (card,) = cards([result(provenance=nested)])
    assert card.entries == [
        ("a.b", "null"), ("a.c", "{}"), ("d", "true"), ("parts.0.k", "1"), ("parts.1", '["x"]'),
        ("plain", '["ä", 2]'),
    ]  # fmt: skip
    assert cards([result()]) == []


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    for place in ("x", "y"):
        write_report(tmp_path / place, three(), COMMAND)
    write_report(tmp_path / "y", three(), COMMAND)  # over what is there
    x, y = (
        {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "x", tmp_path / "y")
    )
    assert len(x) == 9
    assert x == y


@pytest.mark.parametrize("file", ["per_query.parquet", "results.json", "report.md", "report.html"])
def test_files_appear_complete_or_not_at_all(tmp_path: Path, file: str) -> None:
    write_report(tmp_path, [result()], COMMAND)
    page = (tmp_path / "report.html").read_bytes()
    names = {path.name for path in tmp_path.iterdir()}
    (tmp_path / file).unlink()
    (tmp_path / file).mkdir()
    with pytest.raises(LsrError, match=r"report cannot be written into .*: Is a directory"):
        write_report(tmp_path, three(), COMMAND)
    assert not list((tmp_path / file).iterdir())
    assert {path.name for path in tmp_path.iterdir()} == names
    # The page comes last, so that it never declares files that are not there.
    assert file == "report.html" or (tmp_path / "report.html").read_bytes() == page


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    with pytest.raises(LsrError, match="needs results"):
        write_report(tmp_path, [], COMMAND)
    with pytest.raises(LsrError, match="two results of encoder 'b' on 'one'"):
        write_report(tmp_path, [result(), result(encoder="b"), result(encoder="b")], COMMAND)
    with pytest.raises(QueryError, match="different queries"):
        write_report(tmp_path, [result(), result(encoder="b", values=[0.1])], COMMAND)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(LsrError, match="cannot be written into"):
        write_report(tmp_path / "file", [result()], COMMAND)
