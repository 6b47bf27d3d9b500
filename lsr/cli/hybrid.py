"""Options of a search by several retrievers."""

from __future__ import annotations

from typing import Any

import click

from lsr.cli.options import F, given

# Those that say how to fuse, and so need --hybrid; feedback also goes without.
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
    type=click.Choice(["minmax", "rrf", "zscore", "tmm", "none", "learned"]),
    default="minmax",
    show_default=True,
    help="How lists become one.",
)
retrievers_option = click.option(
    "--retrievers",
    default="terms,dense",
    show_default=True,
    metavar="NAMES",
    help="Whose lists: terms, dense, or encoders of the index such as bm25.",
)
missing_option = click.option(
    "--missing",
    type=click.Choice(["zero", "lowest"]),
    default="zero",
    show_default=True,
    help="What a document gets from a list without it.",
)


def hybrid_options(function: F) -> F:
    """How lists are made and fused; `hybrid_of` makes arguments for `Index.hybrid` of them."""
    for option in reversed(
        [
            click.option(
                "--hybrid", is_flag=True, help="Fuse what the terms and the dense vectors find."
            ),
            fusion_option,
            click.option(
                "--weight",
                type=Weight(),
                metavar="W",
                help="Of the dense list, 0 to 1 (default: .5), or NAME=W,… of all lists.",
            ),
            retrievers_option,
            missing_option,
            click.option(
                "--depth",
                type=click.IntRange(1),
                default=1000,
                show_default=True,
                metavar="N",
                help="Documents of a list.",
            ),
            click.option(
                "--rescore", is_flag=True, help="Let all retrievers score what any of them found."
            ),
            click.option(
                "--prf",
                type=click.Choice(["average", "rocchio", "rm3"]),
                help="Search again with the query changed by the first documents; rm3 is for bm25.",
            ),
            click.option(
                "--interpolate",
                type=click.Choice(["none", "before", "after", "both"]),
                default="both",
                show_default=True,
                help="With --prf and --hybrid: where the other lists come in.",
            ),
        ]
    ):
        function = option(function)
    return function


def hybrid_of(context: click.Context, asked: dict[str, Any]) -> dict[str, Any] | None:
    """Takes these options out of all; the arguments for `Index.hybrid`, JSON values.

    None when the terms alone are searched, without feedback.
    """
    names = ("hybrid", *_OF_FUSING, "prf", *_OF_FEEDBACK)
    own = {name: asked.pop(name) for name in names}
    hybrid, prf = own.pop("hybrid"), own["prf"]
    if not hybrid:
        option = given(context, *_OF_FUSING, *_OF_FEEDBACK)
        if option is not None:
            raise click.UsageError(f"{option} says how lists are fused; add --hybrid.")
        return None if prf is None else {"fusion": "none", "retrievers": "terms", "prf": prf}
    if prf is None and given(context, *_OF_FEEDBACK):
        raise click.UsageError("--interpolate is part of feedback; add --prf.")
    own["weights"] = own.pop("weight")
    return own
