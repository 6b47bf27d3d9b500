"""Options of hybrid search and feedback."""

from __future__ import annotations

from typing import Any

import click

from lsr.cli.options import add_options, choice_option, flag, given, number_option
from lsr.fusion import DEFAULT_FUSION, LEARNED, METHODS, MISSING
from lsr.retrieval import DEPTH, FEEDBACK_KINDS, INTERPOLATE

# Options that only apply to --hybrid.  Feedback also works without it.
_OF_FUSING = ("fusion", "weight", "retrievers", "missing", "depth", "rescore")
_OF_FEEDBACK = ("interpolate",)


def _weight(value: str) -> float | str:
    """The weight of the dense vectors, or NAME=WEIGHT,… of all retrievers for `parse_weights`."""
    try:
        return float(value)
    except ValueError:
        return value


fusion_option = choice_option(
    "--fusion", "Method that fuses the lists.", (*METHODS, LEARNED), DEFAULT_FUSION
)
retrievers_option = click.option(
    "--retrievers",
    default="terms,dense",
    show_default=True,
    metavar="NAMES",
    help="Lists to fuse: terms, dense, or encoders of the index such as bm25.",
)
missing_option = choice_option(
    "--missing", "Contribution of a list to documents that it lacks.", MISSING, "zero"
)
hybrid_options = add_options(
    flag("--hybrid", "Fuse the hits of the terms and dense vectors."),
    fusion_option,
    click.option(
        "--weight",
        type=_weight,
        metavar="W",
        help="Weight of the dense list, 0 to 1 (default: .5), or NAME=W,… of all lists.",
    ),
    retrievers_option,
    missing_option,
    number_option("--depth", "Documents of each list.", DEPTH),
    flag("--rescore", "Let every retriever score the documents of all lists."),
    choice_option(
        "--prf",
        "Pseudo-relevance feedback: search again with queries refined by the top documents; rm3 is "
        "for bm25.",
        FEEDBACK_KINDS,
    ),
    choice_option(
        "--interpolate",
        "With --prf and --hybrid: fuse the other lists before feedback, after it, or both.",
        INTERPOLATE,
        "both",
    ),
)


def hybrid_of(context: click.Context, values: dict[str, Any]) -> dict[str, Any] | None:
    """Take these options out of all; the arguments for `Index.hybrid`, JSON values.

    None when the terms alone are searched, without feedback.
    """
    names = ("hybrid", *_OF_FUSING, "prf", *_OF_FEEDBACK)
    settings = {name: values.pop(name) for name in names}
    hybrid, prf = settings.pop("hybrid"), settings["prf"]
    if not hybrid:
        option = given(context, *_OF_FUSING, *_OF_FEEDBACK)
        if option is not None:
            raise click.UsageError(f"{option} only applies to --hybrid; add --hybrid.")
        return None if prf is None else {"fusion": "none", "retrievers": "terms", "prf": prf}
    if prf is None and given(context, *_OF_FEEDBACK):
        raise click.UsageError("--interpolate only applies to --prf; add --prf.")
    settings["weights"] = settings.pop("weight")
    return settings
