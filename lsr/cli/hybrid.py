"""Options of hybrid search and feedback."""

from __future__ import annotations

from typing import Any

import click

from lsr.cli.options import add_options, given
from lsr.fusion import DEFAULT_FUSION, LEARNED, METHODS, MISSING
from lsr.retrieval import DEPTH, FEEDBACK_KINDS, INTERPOLATE

# Options that only apply to --hybrid.  Feedback also works without it.
_OF_FUSING = ("fusion", "weight", "retrievers", "missing", "depth", "rescore")
_OF_FEEDBACK = ("interpolate",)


class Weight(click.ParamType[float | str]):
    """The weight of the dense vectors, or NAME=WEIGHT,… of all retrievers."""

    name = "weight"

    def convert(self, value: Any, param: Any, ctx: Any) -> float | str:
        """A number, or a text for `parse_weights`."""
        try:
            return float(value)
        except ValueError:
            return str(value)


fusion_option = click.option(
    "--fusion",
    type=click.Choice([*METHODS, LEARNED]),
    default=DEFAULT_FUSION,
    show_default=True,
    help="Method that fuses the lists.",
)
retrievers_option = click.option(
    "--retrievers",
    default="terms,dense",
    show_default=True,
    metavar="NAMES",
    help="Lists to fuse: terms, dense, or encoders of the index such as bm25.",
)
missing_option = click.option(
    "--missing",
    type=click.Choice(MISSING),
    default="zero",
    show_default=True,
    help="Contribution of a list to documents that it lacks.",
)
hybrid_options = add_options(
    click.option("--hybrid", is_flag=True, help="Fuse the hits of the terms and dense vectors."),
    fusion_option,
    click.option(
        "--weight",
        type=Weight(),
        metavar="W",
        help="Weight of the dense list, 0 to 1 (default: .5), or NAME=W,… of all lists.",
    ),
    retrievers_option,
    missing_option,
    click.option(
        "--depth",
        type=click.IntRange(1),
        default=DEPTH,
        show_default=True,
        metavar="N",
        help="Documents of each list.",
    ),
    click.option(
        "--rescore", is_flag=True, help="Let every retriever score the documents of all lists."
    ),
    click.option(
        "--prf",
        type=click.Choice(FEEDBACK_KINDS),
        help="Pseudo-relevance feedback: search again with queries refined by the top documents; "
        "rm3 is for bm25.",
    ),
    click.option(
        "--interpolate",
        type=click.Choice(INTERPOLATE),
        default="both",
        show_default=True,
        help="With --prf and --hybrid: fuse the other lists before feedback, after it, or both.",
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
