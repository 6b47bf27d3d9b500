"""Cost of a vocabulary's size: 30,522 terms of BERT, 131,072 of decoders, 2,000,000 of phrases.

A collection of vectors is made over each vocabulary, terms by Zipf's law (rank + 20)^-1, so that a
wider one spreads as many postings over more lists.  And a model of each vocabulary, random and
small (its layers cost little beside its head), encodes texts, which are indexed, searched and
explained.  Each measurement is a process of its own, on one thread; times are the processor's, so
that other processes matter little.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import click
import numpy as np

from benchmarks.commands import Row, column_table, command, option
from benchmarks.machine import alone, circumstances, peak_memory
from benchmarks.timing import passes
from lsr import Index, SparseVectors, load_encoder
from lsr import open as open_index

SIZES = (30_522, 131_072, 2_000_000)
DOCUMENT_TERMS, QUERY_TERMS = 128, 24
SHIFT = 20  # of the ranks in Zipf's law
PASSES = 3
WIDTH, WORDS = 64, 40  # of the models, of a text
ACTIVE, SPREAD = 300, 0.02  # terms of a text, standard deviation of weights

# Column: key of a row, format of its value, factor of its unit.
VECTOR_COLUMNS = {
    "terms": ("terms", ",", 1),
    "present": ("present", ",", 1),
    "build, s": ("build", ".1f", 1),
    "peak, MB": ("peak", ",.0f", 1e-6),
    "open, ms": ("open", ".1f", 1e3),
    "bytes a posting": ("bytes a posting", ".2f", 1),
    "median, µs": ("median", ".0f", 1e6),
    "p99, µs": ("p99", ".0f", 1e6),
    "explain, ms": ("explain", ".2f", 1e3),
}
MODEL_COLUMNS = {
    "vocabulary, model": ("model", "", 1),
    "active terms": ("active", ",", 1),
    "load, s": ("load", ".1f", 1),
    "encode, ms a text": ("a text", ".1f", 1e3),
    "index, s": ("index", ".1f", 1),
    "words, MB": ("words", ".1f", 1e-6),
    "query, ms": ("query", ".1f", 1e3),
    "peak, MB": ("peak", ",.0f", 1e-6),
}


@dataclass(frozen=True)
class Options:
    documents: int = option("Number of vectors to index.", 100_000)
    questions: int = option("Number of vectors to search for.", 1000)
    texts: int = option("Number of texts for each model.", 200)
    k: int = option("Number of hits.", 10)
    sizes: tuple[int, ...] = option("Numbers of terms of the vocabularies.", SIZES)
    json: bool = option("Print every figure as JSON.")


@command(Options)
def main(options: Options) -> None:
    """Print the cost of each vocabulary size: to encode, index, open, search and explain.

    Vectors and models are random.  Each measurement is a process of its own, on one thread; times
    are the processor's.

    \b
    python -m benchmarks.vocabularies > vocabularies.md
    """
    vectors = [alone(engine, size, options) for size in options.sizes]
    models = [alone(chain, size, False, options.texts) for size in options.sizes]
    models.append(alone(chain, options.sizes[min(1, len(options.sizes) - 1)], True, options.texts))
    if options.json:
        run = circumstances("vocabularies", "torch", "transformers")
        click.echo(json.dumps({"vectors": vectors, "models": models, "run": run}, indent=2))
        return
    click.echo(
        f"{options.documents:,} vectors of at most {DOCUMENT_TERMS} terms by Zipf's law, "
        f"{options.questions:,} queries of {QUERY_TERMS}, k = {options.k}\n"
    )
    click.echo(column_table(VECTOR_COLUMNS, vectors))
    click.echo(f"\nRandom models of width {WIDTH}, {options.texts:,} texts of {WORDS} tokens\n")
    click.echo(column_table(MODEL_COLUMNS, models))


def engine(size: int, options: Options) -> Row:
    """Build, open, search and explain over vectors of a vocabulary."""
    documents = zipfian(size, options.documents)
    queries = sample_queries(documents, options.questions)
    postings, present = documents.terms.size, np.unique(documents.terms).size
    with tempfile.TemporaryDirectory() as folder:
        path, ids = Path(folder) / "index", [str(number) for number in range(options.documents)]
        built = timed(partial(Index.from_vectors, path, ids, documents, threads=1))
        del documents
        gc.collect()
        start = time.process_time()
        index = open_index(path)
        opened = time.process_time() - start
        calls = [(lambda row: index.search_vectors(row, options.k), row) for row in queries]
        _, *timed_passes = passes(calls, PASSES + 1, time.process_time_ns)
        best = min((timed_pass.times for timed_pass in timed_passes), key=np.sum) / 1e6
        hits = [index.search_vectors(row, options.k)[0] for row in queries[:100]]
        explained = [timed(lambda answer=answer: answer.explain(0)) for answer in hits]
        return {
            "terms": size,
            "present": int(present),
            "build": built,
            "peak": peak_memory(),
            "open": opened,
            "bytes a posting": sum(index.info()["sizes"].values()) / postings,
            "median": float(np.median(best)),
            "p99": float(np.percentile(best, 99)),
            "explain": median(explained),
        }


def zipfian(terms: int, rows: int) -> SparseVectors:
    """Vectors whose terms follow Zipf's law: at most `DOCUMENT_TERMS` distinct terms a row."""
    generator = np.random.default_rng(0)
    ends = np.cumsum(1 / (np.arange(terms) + SHIFT))
    # Ranks are independent of term numbers, so neighbours in rank have distant numbers.
    names = np.random.default_rng(terms).permutation(terms).astype(np.uint32)
    vectors = []
    for _ in range(rows):
        points = generator.random(2 * DOCUMENT_TERMS) * ends[-1]
        ranks = np.unique(np.searchsorted(ends, points))
        row = np.sort(names[generator.permutation(ranks)[:DOCUMENT_TERMS]])
        vectors.append((row, np.log1p(generator.exponential(2, row.size)).astype(np.float32)))
    return SparseVectors.from_rows(vectors)


def sample_queries(documents: SparseVectors, count: int) -> SparseVectors:
    """Queries with hits: each has some of the terms of some document."""
    generator = np.random.default_rng(1)
    rows = []
    for document in generator.choice(len(documents), count, replace=count > len(documents)):
        terms = np.sort(generator.permutation(documents[int(document)].terms)[:QUERY_TERMS])
        rows.append((terms, generator.random(terms.size).astype(np.float32) + 0.1))
    return SparseVectors.from_rows(rows)


def chain(size: int, decoder: bool, texts: int) -> Row:
    """Load, encode, index, search and explain with a random model of a vocabulary."""
    generator = np.random.default_rng(2)
    contents = [
        " ".join(f"w{term}" for term in row)
        for row in generator.integers(0, size - 2, (texts, WORDS))
    ]
    documents = [{"id": str(number), "text": text} for number, text in enumerate(contents)]
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder) / "model", size, decoder)
        name, device = f"splade-max:{folder}/model", {"threads": 1, "device": "cpu"}
        cuts: dict[str, Any] = {"document_terms": DOCUMENT_TERMS, "query_terms": QUERY_TERMS}
        start = time.process_time()
        encoder: Any = load_encoder(name, max_length=64, **device, **cuts)
        loaded = time.process_time() - start
        encoder.encode_documents(contents[:8])  # wakes torch up
        encoded = timed(lambda: encoder.encode_documents(contents))
        built = timed(lambda: Index.build(Path(folder) / "index", documents, encoder))
        index = open_index(Path(folder) / "index")
        hits = index.search(contents[3], 10)
        assert hits[0].id == "3"
        assert index.encoder.vocabulary.find(f"w{size - 3}") == size - 3
        best = hits[0].explain()
        assert abs(sum(match.product for match in best.terms) - best.score) < 1e-6
        peak = peak_memory()
        uncut = load_encoder(name, max_length=64, **device)
        return {
            "model": f"{size:,}, {'a decoder' if decoder else 'like BERT'}",
            "active": uncut.encode_documents(contents[:4]).terms.size // 4,
            "load": loaded,
            "a text": encoded / texts,
            "index": built,
            "query": median(timed(lambda: index.search(contents[3], 10)) for _ in range(5)),
            "peak": peak,
            "words": index.info()["sizes"]["vocabulary"],
        }


def timed(work: Callable[[], object]) -> float:
    """Processor seconds that a piece of work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def make_model(folder: Path, terms: int, decoder: bool) -> None:
    """Write a random model whose words are w0, w1 and so on.

    A masked model has a bias that leaves a text some `ACTIVE` terms, as training would; a decoder's
    output layer has none, so half of its terms have a weight, which is the worst case.
    """
    import tokenizers
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
    vocabulary = words | {"<unk>": terms - 2, "</s>": terms - 1}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<unk>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    main()
