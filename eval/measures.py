"""Measures of a run against judgments, computed by ir-measures."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lsr.data.records import BadRecord, as_id
from lsr.errors import QueryError
from lsr.eval.results import Qrels, Run, Scores

if TYPE_CHECKING:
    from ir_measures import Measure

T = TypeVar("T")

# trec_eval's names -> ir-measures' own.
_TREC_NAMES = {
    "map": "AP",
    "map_cut": "AP",
    "ndcg": "nDCG",
    "ndcg_cut": "nDCG",
    "recall": "R",
    "recip_rank": "RR",
}
# name, (parameters), then @cutoff or trec_eval's .cutoff or _cutoff
_NAME = re.compile(r"([^\W\d]\w*?)(?:\((.*)\))?(?:[@._]([0-9]+(?:\.[0-9]+)?))?")
_LARGEST = float(np.finfo(np.float32).max)
_EXAMPLES = "use names such as nDCG@10, R@100, RR@10, AP, P(rel=2)@5 or ndcg_cut_10"


def parse_measures(names: Sequence[str]) -> list[Measure]:
    """The measures of these names: ir-measures' own, trec_eval's or BEIR's.

    "nDCG@10", "NDCG@10", "ndcg_cut.10" and "ndcg_cut_10" are one measure, printed as the
    first.  Raises `QueryError` for a name that is no measure.
    """
    return [_parse(name) for name in names]


def scores(qrels: Qrels, run: Run, measures: Sequence[str]) -> Scores:
    """Each measure for every judged query, and over all of them.

    A judged query that the run does not answer counts 0; answers to queries without
    judgments are ignored.  Values are those that ir-measures computes from the run's file:
    most measures rank by score as float32, then id descending, as trec_eval does; RR with a
    cutoff, id ascending, as MS MARCO's script does.

    Args:
        qrels: query id -> document id -> grade; 1 and more is relevant.
        run: query id -> document id -> score, higher is better, in any order.  Ids of both may be
            integers, see `as_id`.
        measures: names for `parse_measures`.

    Returns:
        `Scores` by ir-measures' names, in the order of `measures`.

    Raises `QueryError` for a name that is no measure, for what is no id, and for scores that are
    not finite.
    """
    import ir_measures

    parsed = parse_measures(measures)
    judged, answered = _by_id(qrels), _by_id(run)
    answers = {query: answered[query] for query in judged if answered.get(query)}
    _check_finite(answers)
    try:
        calculated = ir_measures.calc(parsed, judged, answers)
    except (ValueError, RuntimeError) as error:
        # Measures whose implementation is a package of its own.
        raise QueryError(f"ir_measures cannot compute {', '.join(measures)}: {error}") from error
    per_query: dict[str, dict[str, float]] = {str(m): dict.fromkeys(judged, 0.0) for m in parsed}
    for metric in calculated.per_query:
        per_query[str(metric.measure)][metric.query_id] = float(metric.value)
    return Scores({str(m): float(calculated.aggregated[m]) for m in parsed}, per_query)


def _by_id(rows: Mapping[Any, Mapping[Any, T]]) -> dict[str, dict[str, T]]:
    """Rows of documents by the ids of queries, as strings."""

    def name(value: Any) -> str:
        return value if type(value) is str else as_id(value)

    try:
        return {name(q): {name(d): value for d, value in row.items()} for q, row in rows.items()}
    except BadRecord as error:
        raise QueryError(f"a row of the run or of the judgments {error}") from None


def _check_finite(run: Run) -> None:
    """Scores must fit the float32 that trec_eval makes of them."""
    for query, row in run.items():
        values = np.fromiter(row.values(), np.float64, len(row))
        wrong = np.flatnonzero(~(np.abs(values) <= _LARGEST))
        if wrong.size:
            document = list(row)[int(wrong[0])]
            raise QueryError(
                f"the run gives document {document!r} of query {query!r} the score "
                f"{row[document]}; scores of a run must be finite and fit float32"
            )


def _parse(name: str) -> Measure:
    import ir_measures

    known: dict[str, Measure] = {
        key.lower(): measure for key, measure in ir_measures.measures.registry.items()
    }
    match = _NAME.fullmatch(name.strip())
    base = known.get(_TREC_NAMES.get(match[1].lower(), match[1]).lower()) if match else None
    if match is None or base is None:
        raise QueryError(f"{name!r} is not a measure; {_EXAMPLES}")
    try:
        parameters = _parameters(match[2] or "")
        if match[3]:
            parameters[base.AT_PARAM] = float(match[3]) if "." in match[3] else int(match[3])
        measure: Measure = base(**parameters)
        measure.validate_params()
        usable = measure.params.get("cutoff", 1) >= 1
    except (AssertionError, SyntaxError, TypeError, ValueError):
        usable = False
    if not usable:
        raise QueryError(f"{name!r} has a wrong or missing cutoff or parameter; {_EXAMPLES}")
    return measure


def _parameters(text: str) -> dict[str, Any]:
    """The values of "rel=2,judged_only=True"; literals only, nothing is evaluated."""
    call = ast.parse(f"f({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError("parameters are written name=value")
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
