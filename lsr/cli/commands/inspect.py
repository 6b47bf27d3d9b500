"""`lsr info` and `lsr verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from lsr.cli.options import json_option
from lsr.terminal import cell, echo, note, write_json


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
@json_option
def info(index: Path, as_json: bool) -> None:
    """Show the contents of INDEX: counts, sizes by part, active terms, its encoder.

    \b
    lsr info nfcorpus
    lsr info nfcorpus --json
    """
    from lsr.index.segments.schema import CONTENTS, OLD_CONTENTS
    from lsr.retrieval.index import Index

    facts = Index.open(index).info()
    if as_json:
        write_json(facts)
        return
    active = facts["active_terms"]
    rows: list[tuple[str, str]] = [
        ("documents", f"{facts['documents']:,}"),
        ("postings", f"{facts['postings']:,}, {_weights(facts)}"),
        (
            "active terms",
            f"{active['mean']:.1f} a document; median {active['median']:.0f}, "
            f"p99 {active['p99']:.0f}, largest {active['largest']:,}",
        ),
        ("vocabulary", f"{facts['vocabulary']:,} words"),
        ("segments", f"{len(facts['segments'])}"),
    ]
    _print_rows(rows)
    echo("\nsize")
    total = sum(facts["sizes"].values())
    postings = max(1, facts["postings"])
    contents = CONTENTS | OLD_CONTENTS
    for part, size in sorted(facts["sizes"].items(), key=lambda item: -item[1]):
        echo(
            f"  {part:<16} {size / 1e6:10,.2f} MB {size / postings:7.2f} bytes a posting   "
            f"{contents.get(part, '')}".rstrip()
        )
    echo(f"  {'in all':<16} {total / 1e6:10,.2f} MB {total / postings:7.2f}")
    echo("\nencoder")
    if facts["encoder"] is None:
        echo("  none: built from vectors")
    else:
        _print_encoder(facts["encoder"])
    dense = facts["dense"]
    if dense is not None:
        echo("\ndense side")
        if "problem" in dense:
            echo(f"  {cell(dense['problem'])}")
            return
        _print_rows(
            [
                ("vectors", f"{dense['documents']:,} of {dense['dimensions']:,} dimensions"),
                ("faiss index", dense["kind"]),
                *((name, f"{size / 1e6:,.2f} MB") for name, size in dense["sizes"].items()),
            ]
        )
        _print_encoder(dense["encoder"])


def _weights(facts: dict[str, Any]) -> str:
    if facts["bits"] == 1:
        return f"no weights: each is {facts['step']:g}"
    return f"{facts['bits']} bits a weight"


def _print_encoder(encoder: dict[str, Any]) -> None:
    parts = encoder.get("parts", [])
    _print_rows([(key, v) for key, v in encoder.items() if v is not None and key != "parts"])
    for part in parts:
        echo(f"\npart {cell(part['name'])}, as of the build")
        _print_rows([(key, f"{part[key]:.4g}") for key in ("weight", "mean_best", "scale")])
        _print_rows([("words", f"{part['size']:,}")])
        _print_encoder(part["encoder"])


def _print_rows(rows: list[tuple[str, Any]]) -> None:
    for name, value in rows:
        echo(f"  {name:<16} {cell(str(_words(value)))}")


def _words(value: Any) -> Any:
    """The settings of one side of an encoder, without those that are off; others as they are."""
    if not isinstance(value, dict):
        return value
    named = {key: setting for key, setting in value.items() if setting and setting != "all"}
    return ", ".join(
        v if isinstance(v, str) and key != "phrases" else f"{key}={v}" for key, v in named.items()
    )


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
def verify(index: Path) -> None:
    """Check every byte and every structure of INDEX; exit with 1 if it is damaged.

    \b
    lsr verify nfcorpus
    """
    from itertools import chain

    from lsr.index.dense import side as dense
    from lsr.index.verify import problems
    from lsr.retrieval.named import learned_problems

    count = 0
    for problem in chain(problems(index), dense.problems(index), learned_problems(index)):
        count += 1
        note(problem)
    if count:
        note(f"{index} is damaged.")
        sys.exit(1)
    echo(f"{cell(str(index))} is sound.")
