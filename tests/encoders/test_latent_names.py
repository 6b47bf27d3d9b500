"""Names of latents: by an independent formula, all different, and readable."""

from __future__ import annotations

import numpy as np
import pytest

from lsr.encoders.latent.latent_names import LatentNames
from lsr.vectors import SparseVectors


def latents(*rows: dict[int, float]) -> SparseVectors:
    return SparseVectors.from_rows([([*row], [*row.values()]) for row in rows])


def named(texts: list[str], activations: SparseVectors, count: int) -> list[str]:
    names = LatentNames(count)
    half = len(texts) // 2
    names.add(texts[:half], activations[:half])
    names.add(texts[half:], activations[half:])
    return names.names()


def test_by_the_formula() -> None:
    texts = [
        "glass bees, glass bees and copper",
        "copper kettles of glass",
        "the tidal mill and the tidal mills",
        "mills by copper rivers",
        "rivers of bees",
        "kettles, rivers",
    ]
    activations = latents(
        {0: 2.0, 1: 0.5}, {0: 1.0}, {1: 3.0}, {1: 1.0, 2: 1.0}, {2: 2.0}, {2: 1.0}
    )
    words = {
        "glass": [2, 1, 0, 0, 0, 0],
        "bees": [2, 0, 0, 0, 1, 0],
        "copper": [1, 1, 0, 1, 0, 0],
        "kettles": [0, 1, 0, 0, 0, 1],
        "mills": [0, 0, 2, 1, 0, 0],  # "mill" has the same stem and is rarer
        "rivers": [0, 0, 0, 1, 1, 1],
        # "tidal" is in one document only; "by" and "of" are stop words
    }
    counts = np.array(list(words.values()), float).T
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
    weights *= np.log(6 / (counts > 0).sum(axis=0))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    dense = np.zeros((6, 3))
    dense[np.repeat(np.arange(6), np.diff(activations.indptr)), activations.terms] = (
        activations.weights
    )
    for latent, name in enumerate(named(texts, activations, 3)):
        stand = dense[:, latent] @ weights / dense[:, latent].sum() - weights.mean(axis=0)
        best = [list(words)[i] for i in np.argsort(-stand) if stand[i] > 0][:3]
        assert name == "/".join(best)


@pytest.mark.parametrize("seed", range(5))
def test_by_the_formula_on_random_texts(seed: int) -> None:
    random = np.random.default_rng(seed)
    words = ["glass", "hum", "copper", "tin", "mill", "river", "tide", "wheat", "map", "rain"]
    counts = random.integers(0, 9, (30, 10)) * (random.random((30, 10)) < 0.4)
    counts[:, :3] *= 4
    texts = [" ".join(" ".join([w] * n) for w, n in zip(words, r, strict=True)) for r in counts]
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
    weights = weights * np.log(30 / np.maximum((counts > 0).sum(axis=0), 1))
    weights = weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-9)
    active = random.random((30, 6)) * (random.random((30, 6)) < 0.3)
    rows = [{int(i): float(row[i]) for i in np.flatnonzero(row)} for row in active]
    for latent, name in enumerate(named(texts, latents(*rows), 6)):
        shares = active[:, latent] / active[:, latent].sum()
        stand = shares @ weights - weights.mean(axis=0)
        best = [words[i] for i in np.argsort(-stand) if stand[i] > 0]
        assert name == "/".join(best[: max(3, name.count("/") + 1)])


def test_all_are_different() -> None:
    texts = ["glass bees hum", "glass bees hum", "copper kettles sing", "copper kettles sing"] * 3
    both = {0: 1.0, 1: 1.0, 2: 1.0}
    rows = [both, both, {3: 1.0}, {3: 1.0}] * 3
    names = named(texts, latents(*rows), 6)
    assert len(set(names)) == 6
    assert names[0] == "glass/bees/hum"
    assert names[1:3] == ["glass/bees/hum#2", "glass/bees/hum#3"]
    assert names[4:] == ["unnamed", "unnamed#2"]  # no document activates them


def test_a_fourth_word_where_three_do_not_tell() -> None:
    alike = "glass " * 20 + "bees " * 20 + "hum " * 20
    texts = [*[f"{alike} tidal"] * 2, *[f"{alike} wheat"] * 2, *[f"other{n}" for n in range(12)]]
    rows = [{0: 1.0}, {0: 1.0}, {1: 1.0}, {1: 1.0}, *[{2: 1.0}] * 12]
    names = named(texts, latents(*rows), 3)
    assert names[:2] == ["glass/bees/hum", "glass/bees/hum/wheat"]
    assert names[2] == "unnamed"  # its words are in one document each


def test_numbers_name_nothing() -> None:
    texts = ["1999 95 copper ci95", "1999 95 copper ci95", "tin 7", "tin 7"]
    names = named(texts, latents({0: 1.0}, {0: 1.0}, {1: 1.0}, {1: 1.0}), 2)
    assert set(names[0].split("/")) == {"copper", "ci95"}
    assert names[1] == "tin"


def test_the_commonest_form_of_a_word_stands_for_it() -> None:
    texts = ["running runs", "run run", "mills", "mills"]
    names = named(texts, latents({0: 1.0}, {0: 1.0}, {1: 1.0}, {1: 1.0}), 2)
    assert names[0] == "run"
    same = named(["runs", "run", "tin", "tin"], latents({0: 1.0}, {0: 1.0}, {1: 1.0}, {1: 1.0}), 2)
    assert same[0] == "run"  # as common, and before it in the alphabet


def test_how_many_are_unused() -> None:
    names = LatentNames(5)
    names.add(["a b", "c d"], latents({0: 1.0, 3: 1.0}, {0: 2.0}))
    assert names.unused == 3


def test_no_documents_or_words_at_all() -> None:
    assert LatentNames(2).names() == ["unnamed", "unnamed#2"]
    names = LatentNames(1)
    names.add(["", "of the"], latents({0: 1.0}, {}))
    assert names.names() == ["unnamed"]


@pytest.mark.parametrize("count", [255, 256, 257, 600])
def test_more_latents_than_are_named_at_once(count: int) -> None:
    texts = [f"w{n}x " for n in range(count) for _ in (0, 1)]
    rows = latents(*({n: 1.0} for n in range(count) for _ in (0, 1)))
    assert named(texts, rows, count) == [texts[2 * n].strip() for n in range(count)]
