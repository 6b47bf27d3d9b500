"""Boosting and muting terms of a query by name: the formula, names, and the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsr
from lsr.errors import QueryError
from lsr.retrieval.boosting import boost, parse_boosts
from lsr.vectors import SparseVectors


def weights(index: lsr.Index, vectors: SparseVectors) -> dict[str, float]:
    return {
        index.reader.word(t): float(w)
        for t, w in zip(vectors.terms.tolist(), vectors.weights.tolist(), strict=True)
    }


@pytest.fixture
def query(splade_index: lsr.Index) -> SparseVectors:
    return splade_index.encoder.encode_queries(["glass bees in rain"])


def test_a_term_of_the_query_is_multiplied(splade_index: lsr.Index, query: SparseVectors) -> None:
    before = weights(splade_index, query)
    changed = weights(splade_index, boost(splade_index, query, {"glass": 1.5, "rain": 0.25}))
    assert changed.keys() == before.keys()
    for word, weight in changed.items():
        factor = {"glass": 1.5, "rain": 0.25}.get(word, 1)
        assert weight == pytest.approx(before[word] * factor)


def test_0_mutes(splade_index: lsr.Index, query: SparseVectors) -> None:
    before = weights(splade_index, query)
    muted = boost(splade_index, query, {"glass": 0})
    assert weights(splade_index, muted).keys() == before.keys() - {"glass"}
    hits = splade_index.search_vectors(muted, 10)[0]
    assert all(match.term != "glass" for hit in hits for match in hit.explain().terms)


@pytest.mark.parametrize("factor", [0, 0.5, 1, 1.25, 3])
def test_a_term_that_the_query_lacks(
    splade_index: lsr.Index, query: SparseVectors, factor: float
) -> None:
    before = weights(splade_index, query)
    assert "volcano" not in before
    changed = weights(splade_index, boost(splade_index, query, {"volcano": factor}))
    if factor <= 1:
        assert changed == before
    else:
        mean = float(np.mean(list(before.values())))
        assert changed.pop("volcano") == pytest.approx((factor - 1) * mean)
        assert changed == before


def test_several_lacking_terms_do_not_count_each_other(
    splade_index: lsr.Index, query: SparseVectors
) -> None:
    one = weights(splade_index, boost(splade_index, query, {"volcano": 5}))["volcano"]
    two = weights(splade_index, boost(splade_index, query, {"castle": 9, "volcano": 5, "glass": 7}))
    assert two["volcano"] == one
    assert two["castle"] == pytest.approx(2 * one)


def test_each_row_by_its_own_weights(splade_index: lsr.Index) -> None:
    both = splade_index.encoder.encode_queries(["glass bees", "copper"])
    changed = boost(splade_index, both, {"volcano": 2, "copper": 0})
    for row in range(2):
        assert changed[row] == boost(splade_index, both[row], {"volcano": 2, "copper": 0})


def test_nothing_to_boost_changes_nothing(splade_index: lsr.Index, query: SparseVectors) -> None:
    assert boost(splade_index, query, {}) is query
    assert boost(splade_index, query, {"glass": 1, "volcano": 1}) == query


def test_an_empty_query_stays_empty(splade_index: lsr.Index) -> None:
    empty = SparseVectors.from_rows([([], [])])
    assert boost(splade_index, empty, {"volcano": 9}) == empty


def test_parts_have_names_and_means_of_their_own(composite_index: lsr.Index) -> None:
    query = composite_index.encoder.encode_queries(["copper bees"])
    before = weights(composite_index, query)
    mean = float(np.mean([w for word, w in before.items() if word.startswith("bm25:")]))
    # "pilot" is a stem of BM25's alone; the model has "pilots", too.
    assert composite_index.reader.find_term("bm25:pilot") is not None
    changed = weights(composite_index, boost(composite_index, query, {"bm25:pilot": 3}))
    assert changed.pop("bm25:pilot") == pytest.approx(2 * mean)
    assert changed == before
    with pytest.raises(
        QueryError, match=r"several parts .* give bm25:copper or splade-tiny:copper"
    ):
        boost(composite_index, query, {"copper": 2})
    only = next(
        w for w in ("tidal", "bees") if composite_index.reader.find_term(f"bm25:{w}") is None
    )
    changed = weights(composite_index, boost(composite_index, query, {only: 2}))
    assert changed.keys() >= {f"splade-tiny:{only}"}


def test_a_part_of_weight_0_has_no_mean(composite_index: lsr.Index) -> None:
    index = lsr.open(composite_index.path)
    index.use_encoder(None, weights={"bm25": 0, "splade-tiny": 1})
    query = index.encoder.encode_queries(["copper bees"])
    assert boost(index, query, {"bm25:pilot": 3}) == query


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 8), min_size=3, max_size=3))
def test_any_factors(splade_index: lsr.Index, factors: list[float]) -> None:
    query = splade_index.encoder.encode_queries(["glass bees in rain"])
    named = dict(zip(["glass", "volcano", "rain"], factors, strict=True))
    changed = boost(splade_index, query, named)
    SparseVectors(changed.indptr, changed.terms, changed.weights)  # keeps the rules
    own, found = weights(splade_index, query), weights(splade_index, changed)
    mean = float(np.mean(list(own.values())))
    for word, factor in named.items():
        expected = own[word] * factor if word in own else max(factor - 1, 0) * mean
        assert found.get(word, 0) == pytest.approx(expected, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("factor", [-0.5, float("nan"), float("inf")])
def test_factors_that_cannot_be(
    splade_index: lsr.Index, query: SparseVectors, factor: float
) -> None:
    for search in (
        lambda: splade_index.search("glass bees", boosts={"glass": factor}),
        lambda: splade_index.search_vectors(query, boosts={"glass": factor}),
        lambda: splade_index.hybrid("none", retrievers="terms", boosts={"glass": factor}),
    ):
        with pytest.raises(QueryError, match="factor of glass must be a finite number of at least"):
            search()


def test_names_that_are_not_there(splade_index: lsr.Index, query: SparseVectors) -> None:
    with pytest.raises(QueryError, match=r"no term 'Volcan' to boost; it has volcanic, volcano"):
        boost(splade_index, query, {"Volcan": 2})
    with pytest.raises(QueryError, match=r"no term 'qqqq' to boost; use a name"):
        boost(splade_index, query, {"qqqq": 2})


def test_a_term_under_two_names_is_an_error(composite_index: lsr.Index) -> None:
    query = composite_index.encoder.encode_queries(["copper bees"])
    only = next(
        w for w in ("tidal", "bees") if composite_index.reader.find_term(f"bm25:{w}") is None
    )
    with pytest.raises(QueryError, match="a term is boosted twice"):
        boost(composite_index, query, {only: 2, f"splade-tiny:{only}": 3})


def test_an_index_without_words(tmp_path: Path) -> None:
    vectors = SparseVectors.from_rows([([1, 2], [1.0, 2.0])])
    index = lsr.Index.from_vectors(tmp_path / "i", ["a"], vectors)
    with pytest.raises(QueryError, match="no term 'x' to boost; use"):
        boost(index, vectors, {"x": 2})


# As text, and in the command.


def test_texts() -> None:
    assert parse_boosts(["a/b=1.5", "c=d=0", "e=.5"]) == {"a/b": 1.5, "c=d": 0.0, "e": 0.5}
    assert parse_boosts([]) == {}


@pytest.mark.parametrize("texts", [["a"], ["=2"], ["a=x"], ["a="], ["a=1", "a=2"]])
def test_texts_that_boost_nothing(texts: list[str]) -> None:
    with pytest.raises(QueryError, match=f"{texts[-1]!r} is not a boost; write TERM=FACTOR"):
        parse_boosts(texts)


def test_the_command(run: Callable[..., Any], splade_index: lsr.Index) -> None:
    def answer(*boosts: str) -> Any:
        options = [part for one in boosts for part in ("--boost", one)]
        return run("search", splade_index.path, "bees", "--explain", "--json", *options)

    def of(found: Any, word: str) -> list[float]:
        terms = [term for hit in found.json["hits"] for term in hit["terms"]]
        return [term["query_weight"] for term in terms if term["term"] == word]

    plain, boosted = answer(), answer("bees=2", "wheat=3")
    assert of(boosted, "bees")[0] == pytest.approx(2 * of(plain, "bees")[0], rel=0.01)
    assert of(boosted, "wheat")
    assert not of(plain, "wheat")
    assert not of(answer("bees=0"), "bees")
    refused = answer("bees")
    assert (refused.code, refused.error.partition(";")[0]) == (2, "'bees' is not a boost")
    assert answer("qqqq=2").code == 2


def test_the_command_with_a_file_of_queries(
    run: Callable[..., Any],
    splade_index: lsr.Index,
    tmp_path: Path,
    write_jsonl: Callable[..., Path],
) -> None:
    queries = write_jsonl(tmp_path / "q.jsonl", [{"_id": "q", "text": "bees"}])
    runs = []
    for options in ([], ["--boost", "copper=9"]):
        out = tmp_path / f"{len(runs)}.trec"
        arguments = ["--queries", queries, "--run", out, *options]
        assert run("search", splade_index.path, *arguments).code == 0
        runs.append(out.read_text().splitlines())
    assert runs[0] != runs[1]
    query = boost(splade_index, splade_index.encoder.encode_queries(["bees"]), {"copper": 9})
    (hits,) = splade_index.search_vectors(query, 10)
    assert [line.split()[2] for line in runs[1]] == hits.ids.tolist()
