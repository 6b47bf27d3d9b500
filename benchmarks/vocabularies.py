"""What a vocabulary's size costs: 30,522 terms of BERT, 131,072 of decoders, 2,000,000 of phrases.

    python -m benchmarks.vocabularies > vocabularies.md

A collection of vectors is made over each vocabulary, terms by Zipf's law (rank + 20)^-1, so that a
wider one spreads as many postings over more lists.  And a model of each vocabulary, random and
small (its layers cost little beside its head), encodes texts, which are indexed, searched and
explained.  Each measurement is a process of its own, on one thread; times are the processor's, so
that neighbours count little.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import click
import numpy as np

from benchmarks.machine import circumstances, memory
from lsr import Index, SparseVectors, load_encoder
from lsr import open as open_index

Row = dict[str, Any]

SIZES = (30_522, 131_072, 2_000_000)
TERMS, ASKED = 128, 24  # of a document, of a query
SHIFT = 20
PASSES = 3
WIDTH, WORDS = 64, 40  # of the models, of a text
ACTIVE, SPREAD = 300, 0.02  # terms of a text, deviation of weights


def zipfian(terms: int, rows: int, each: int, seed: int) -> SparseVectors:
    """Vectors whose terms follow Zipf's law: at most `each` distinct terms a row."""
    generator = np.random.default_rng(seed)
    ends = np.cumsum(1 / (np.arange(terms) + SHIFT))
    # Which term has which rank says nothing; neighbours in rank are none in number.
    names = np.random.default_rng(terms).permutation(terms).astype(np.uint32)
    made = []
    for _ in range(rows):
        drawn = np.unique(np.searchsorted(ends, generator.random(2 * each) * ends[-1]))
        own = np.sort(names[generator.permutation(drawn)[:each]])
        made.append((own, np.log1p(generator.exponential(2, own.size)).astype(np.float32)))
    return SparseVectors.from_rows(made)


def questions(documents: SparseVectors, count: int) -> SparseVectors:
    """Queries that find something: each a part of the terms of some document."""
    generator = np.random.default_rng(1)
    rows = []
    for document in generator.choice(len(documents), count, replace=False):
        own = documents[int(document)].terms
        chosen = np.sort(generator.permutation(own)[:ASKED])
        rows.append((chosen, generator.random(chosen.size).astype(np.float32) + 0.1))
    return SparseVectors.from_rows(rows)


def engine(terms: int, documents: int, asked: int, k: int, folder: Path) -> Row:
    """Build, open, search and explain over vectors of so many terms."""
    given = zipfian(terms, documents, TERMS, 0)
    queries = questions(given, asked)
    path, ids = folder / "index", [str(number) for number in range(documents)]
    start = time.process_time()
    Index.from_vectors(path, ids, given, threads=1)
    built = time.process_time() - start
    postings, present = given.terms.size, np.unique(given.terms).size
    del given
    gc.collect()
    start = time.process_time()
    index = open_index(path)
    opened = time.process_time() - start
    rows = list(queries)
    best = np.full(len(rows), np.inf)
    gc.disable()
    for number in range(PASSES + 1):
        times = np.array([timed(lambda row=row: index.search_vectors(row, k)) for row in rows])
        if number and times.sum() < best.sum():
            best = times
    hits = [index.search_vectors(row, k)[0] for row in rows[:100]]
    explained = [timed(lambda found=found: found.explain(0)) for found in hits]
    sizes = index.info()["sizes"]
    return {
        "terms": terms,
        "present": int(present),
        "build": built,
        "peak": memory(Path("/proc/self/status").read_text(), "VmHWM"),
        "open": opened,
        "bytes a posting": sum(sizes.values()) / postings,
        "median": float(np.median(best)),
        "p99": float(np.percentile(best, 99)),
        "explain": median(explained),
    }


def chain(terms: int, decoder: bool, texts: int, folder: Path) -> Row:
    """A random model of so many terms: load, encode, index, search, explain."""
    model = folder / "model"
    make_model(model, terms, decoder)
    generator = np.random.default_rng(2)
    documents = [
        {"id": str(number), "text": " ".join(f"w{term}" for term in own)}
        for number, own in enumerate(generator.integers(0, terms - 2, (texts, WORDS)))
    ]
    how: dict[str, Any] = {"max_length": 64, "document_terms": TERMS, "query_terms": ASKED}
    start = time.process_time()
    encoder: Any = load_encoder(f"splade-max:{model}", threads=1, device="cpu", **how)
    loaded = time.process_time() - start
    encoder.encode_documents([document["text"] for document in documents[:8]])  # wakes torch up
    contents = [str(document["text"]) for document in documents]
    seconds = timed(lambda: encoder.encode_documents(contents))
    start = time.process_time()
    Index.build(folder / "index", documents, encoder)
    built = time.process_time() - start
    index = open_index(folder / "index")
    question = str(documents[3]["text"])
    hits = index.search(question, 10)
    assert hits[0].id == "3"
    assert index.encoder.vocabulary.find(f"w{terms - 3}") == terms - 3
    best = hits[0].explain()
    assert abs(sum(match.product for match in best.terms) - best.score) < 1e-6
    peak = memory(Path("/proc/self/status").read_text(), "VmHWM")
    whole = load_encoder(f"splade-max:{model}", threads=1, device="cpu", max_length=64)
    active = whole.encode_documents(contents[:4]).terms.size // 4
    return {
        "model": f"{terms:,}, {'a decoder' if decoder else 'like BERT'}",
        "active": active,
        "load": loaded,
        "a text": seconds / texts,
        "index": built,
        "query": median(timed(lambda: index.search(question, 10)) for _ in range(5)),
        "peak": peak,
        "words": index.info()["sizes"]["vocabulary"],
    }


def make_model(folder: Path, terms: int, decoder: bool) -> None:
    """A random model whose words are w0, w1 and so on.

    A masked one has a bias that leaves a text some `ACTIVE` terms, as training would; a decoder's
    output layer has none, so half of its terms have a weight, which is the worst that can be.
    """
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    sizes: dict[str, Any] = {
        "vocab_size": terms,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
        "pad_token_id": None if decoder else terms - 1,
        "initializer_range": SPREAD,
    }
    torch.manual_seed(0)
    if decoder:
        config = transformers.MistralConfig(**sizes, num_key_value_heads=2)
        model: Any = transformers.MistralForCausalLM(config)
    else:
        model = transformers.BertForMaskedLM(transformers.BertConfig(**sizes))
        # A logit is a sum of WIDTH products of numbers whose deviations are 1 and SPREAD.
        rare = NormalDist().inv_cdf(1 - ACTIVE / (terms * WORDS))
        bias = model.get_output_embeddings().bias
        torch.nn.init.constant_(bias, -rare * SPREAD * WIDTH**0.5)
    model.save_pretrained(folder)
    words = {f"w{number}": number for number in range(terms - 2)}
    special = {"<unk>": terms - 2, "</s>": terms - 1}
    tokenizer = {
        "version": "1.0",
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words | special, "unk_token": "<unk>"},
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "special": True,
                **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
            }
            for token, number in special.items()
        ],
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def timed(work: Callable[[], object]) -> float:
    """Processor seconds that a piece of work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _alone(work: Callable[..., Row], *given: Any) -> Row:
    """What a function returns in a process of its own."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        return pool.apply(work, (*given, Path(scratch)))


def _table(heads: list[str], rows: Iterator[list[str]]) -> None:
    click.echo("\n| " + " | ".join(heads) + " |")
    click.echo("|---" * len(heads) + "|")
    for row in rows:
        click.echo("| " + " | ".join(row) + " |")


@click.command()
@click.option("--documents", default=100_000, show_default=True, help="Vectors of the engine.")
@click.option("--questions", "asked", default=1000, show_default=True, help="Its queries.")
@click.option("--texts", default=200, show_default=True, help="Texts of the decoder.")
@click.option("-k", default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print every figure.")
def main(documents: int, asked: int, texts: int, k: int, as_json: bool) -> None:
    """Print what each size of vocabulary costs, as Markdown."""
    vectors = [_alone(engine, size, documents, asked, k) for size in SIZES]
    kinds = [*((size, False) for size in SIZES), (SIZES[1], True)]
    models = [_alone(chain, *kind, texts) for kind in kinds]
    if as_json:
        where = circumstances("vocabularies", "torch", "transformers")
        click.echo(json.dumps({"vectors": vectors, "models": models, "where": where}, indent=2))
        return
    click.echo(
        f"{documents:,} vectors of at most {TERMS} terms by Zipf's law, {asked:,} queries of "
        f"{ASKED}, k = {k}"
    )
    _table(
        [
            "terms",
            "present",
            "build, s",
            "peak, MB",
            "open, ms",
            "bytes a posting",
            "median, µs",
            "p99, µs",
            "explain, ms",
        ],
        (
            [
                f"{row['terms']:,}",
                f"{row['present']:,}",
                f"{row['build']:.1f}",
                f"{row['peak'] / 1e6:,.0f}",
                f"{row['open'] * 1e3:.1f}",
                f"{row['bytes a posting']:.2f}",
                f"{row['median'] * 1e6:.0f}",
                f"{row['p99'] * 1e6:.0f}",
                f"{row['explain'] * 1e3:.2f}",
            ]
            for row in vectors
        ),
    )
    click.echo(f"\nRandom models of width {WIDTH}, {texts:,} texts of {WORDS} tokens")
    _table(
        [
            "vocabulary, model",
            "active terms",
            "load, s",
            "encode, ms a text",
            "index, s",
            "words, MB",
            "query, ms",
            "peak, MB",
        ],
        (
            [
                row["model"],
                f"{row['active']:,}",
                f"{row['load']:.1f}",
                f"{row['a text'] * 1e3:.1f}",
                f"{row['index']:.1f}",
                f"{row['words'] / 1e6:.1f}",
                f"{row['query'] * 1e3:.1f}",
                f"{row['peak'] / 1e6:,.0f}",
            ]
            for row in models
        ),
    )


if __name__ == "__main__":
    main()
