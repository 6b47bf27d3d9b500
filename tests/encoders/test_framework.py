"""Methods and parts of the unified framework against their formulas on plain tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.encoders import load_encoder, restore_encoder
from lsr.encoders.methods import COMBINATIONS, METHODS, Side, find_method
from lsr.errors import EncoderError
from support.changed import change_config, change_weights

from .conftest import IN_TORCH
from .test_methods import BACKBONES, LENGTH, TEXTS, Plain, check, dense

MakeCheckpoint = Callable[..., Path]
Settings = dict[str, Any]


@pytest.fixture(params=["kernels", "torch"])
def runner(request: pytest.FixtureRequest) -> Settings:
    """The settings for what runs the models that both can."""
    return IN_TORCH if request.param == "torch" else {}


def tensors(folder: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def layer(folder: Path, name: str) -> Callable[[Any], Any]:
    """A linear layer to one number."""
    weights = tensors(folder)
    weight, bias = weights[f"{name}.weight"][0], weights[f"{name}.bias"][0]
    return lambda state: weight @ state + bias


@pytest.mark.parametrize("kind", BACKBONES)
def test_tilde(make_checkpoint: MakeCheckpoint, runner: Settings, kind: str) -> None:
    folder = make_checkpoint(kind)
    plain = Plain(folder)

    def document(text: str) -> Any:
        return plain.torch.log(1 + plain.torch.clamp(plain.run(text)[0], min=0))

    check(load_encoder(f"tilde:{folder}", max_length=LENGTH, **runner), plain.bag, document)


@pytest.mark.parametrize("kind", BACKBONES)
def test_tildev2(make_checkpoint: MakeCheckpoint, runner: Settings, kind: str) -> None:
    folder = make_checkpoint(kind, head="tildev2")
    plain, weigh = Plain(folder, "mlp"), layer(folder, "tok_proj")
    encoder = load_encoder(str(folder), max_length=LENGTH, **runner)
    assert encoder.identity["method"] == "tildev2"
    check(encoder, plain.bag, lambda text: plain.on_tokens(text, weigh, "max"))


@pytest.mark.parametrize("kind", BACKBONES)
def test_deepct(make_checkpoint: MakeCheckpoint, runner: Settings, kind: str) -> None:
    """Numbers below zero count where a token's are added up, and are no weights in the end."""
    folder = make_checkpoint(kind, head="deepct")
    change_weights(folder, lambda weights: weights["classifier.bias"].fill(0))
    plain, weigh = Plain(folder, "mlp"), layer(folder, "classifier")

    def pooled(text: str, pool: str) -> Any:
        numbers: dict[int, list[float]] = {}
        for token, state in zip(plain.ids(text), plain.run(text), strict=True):
            numbers.setdefault(token, []).append(float(weigh(state)))
        out = plain.bag(text, special=True)
        for token in out.nonzero().flatten().tolist():
            out[token] = max(0.0, sum(numbers[token]) if pool == "sum" else max(numbers[token]))
        return out

    encoder = load_encoder(f"deepct:{folder}", max_length=LENGTH, **runner)
    check(encoder, lambda text: pooled(text, "sum"), lambda text: pooled(text, "max"))
    if kind == "bert":  # where some of a token's numbers are above zero and some below
        cut = [plain.on_tokens(text, weigh, "sum").numpy() for text in TEXTS]
        assert np.abs(dense(encoder.encode_queries(TEXTS)) - np.stack(cut)).max() > 0.01


def test_a_folder_with_one_label_a_token_is_deepct(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint("bert", head="deepct")
    assert load_encoder(str(folder), max_length=LENGTH).identity["method"] == "deepct"
    change_weights(
        folder,
        lambda weights: weights.update(
            {"classifier.weight": np.ones((2, 16), np.float32), "classifier.bias": np.ones(2)}
        ),
    )
    with pytest.raises(EncoderError, match="no network, or not one alone"):
        load_encoder(str(folder), max_length=LENGTH)


def test_of_two_networks_none_is_guessed(make_checkpoint: MakeCheckpoint, runner: Settings) -> None:
    folder = make_checkpoint("bert", head="unicoil")
    other = {"classifier.weight": np.ones((1, 16), np.float32), "classifier.bias": np.ones(1)}
    change_weights(folder, lambda weights: weights.update(other))
    with pytest.raises(EncoderError, match="no network, or not one alone"):
        load_encoder(str(folder), max_length=LENGTH, **runner)


@pytest.mark.parametrize("kind", BACKBONES)
def test_sparta(make_checkpoint: MakeCheckpoint, runner: Settings, kind: str) -> None:
    folder = make_checkpoint(kind, head="sparta")
    plain = Plain(folder, "mlp")
    words = plain.model.get_input_embeddings().weight.detach().clone()
    words[sorted(plain.special)] = 0

    def document(text: str) -> Any:
        products = plain.run(text) @ words.T
        return plain.torch.log(1 + plain.torch.clamp(products.max(0).values, min=0))

    encoder = load_encoder(f"sparta:{folder}", max_length=LENGTH, **runner)
    check(encoder, plain.bag, document)
    found = encoder.encode_documents(TEXTS)
    assert not set(found.terms.tolist()) & plain.special


def test_a_tokenizer_with_more_words_than_sparta(
    make_checkpoint: MakeCheckpoint, runner: Settings
) -> None:
    folder = make_checkpoint("bert", head="sparta")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 45, "content": "[NEW]"})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(EncoderError, match="has 46 tokens but the model only 40"):
        load_encoder(f"sparta:{folder}", max_length=LENGTH, **runner)


def test_sparta_takes_no_model_with_an_output_layer(make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(EncoderError, match=r"\['BertForMaskedLM'\].*without an output layer"):
        load_encoder(f"sparta:{make_checkpoint()}", max_length=LENGTH)
    folder = make_checkpoint("bert", "body", head="sparta")
    with pytest.raises(EncoderError, match="needs one ending in ForMaskedLM"):
        load_encoder(str(folder), max_length=LENGTH)


def epic(folder: Path) -> tuple[Any, Callable[[str], Any], Callable[[str, str], Any]]:
    """The parts of EPIC's formula: the model, queries, documents by pooling."""
    import torch

    plain = Plain(folder)
    query, importance, quality = (
        layer(folder, name) for name in ("query_salience", "doc_salience", "doc_quality")
    )

    def g(x: Any) -> Any:
        return torch.log(1 + torch.log(1 + torch.exp(x)))

    def states(text: str) -> tuple[list[int], Any, Any]:
        ids = plain.ids(text)
        with torch.inference_mode():
            hidden = plain.model.base_model(torch.tensor([ids])).last_hidden_state[0]
        return ids, hidden, plain.run(text)

    def of_query(text: str) -> Any:
        out = torch.zeros(40)
        ids, hidden, _ = states(text)
        for token, state in zip(ids, hidden, strict=True):
            if token not in plain.special:
                out[token] += g(query(state))
        return out

    def of_document(text: str, pool: str = "max") -> Any:
        ids, hidden, logits = states(text)
        rows = [
            g(importance(state)) * g(row)
            for token, state, row in zip(ids, hidden, logits, strict=True)
            if token not in plain.special
        ]
        if not rows:
            return torch.zeros(40)
        together = torch.stack(rows)
        pooled = together.sum(0) if pool == "sum" else together.max(0).values
        return pooled / (1 + torch.exp(-quality(hidden[0])))

    return plain, of_query, of_document


@pytest.mark.parametrize("kind", BACKBONES)
def test_epic(
    make_checkpoint: MakeCheckpoint, monkeypatch: pytest.MonkeyPatch, runner: Settings, kind: str
) -> None:
    folder = make_checkpoint(kind, head="epic")
    _, query, document = epic(folder)
    encoder: Any = load_encoder(f"epic:{folder}", max_length=LENGTH, **runner)
    check(encoder, query, document)
    lengths = np.diff(encoder.encode_documents(TEXTS).indptr)
    assert lengths.tolist() == [39, 39, 0, 39, 39, 39]  # all terms but [UNK]
    # So that the model's 40 terms are several tiles, as 30,522 are.
    monkeypatch.setattr("lsr.encoders.models.epic._TILE", 7)
    pooled = load_encoder(f"epic:{folder}", max_length=LENGTH, pooling="sum", **runner)
    check(pooled, query, lambda text: document(text, "sum"))


def test_epic_keeps_the_largest(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint("bert", head="epic")
    _, _, document = epic(folder)
    whole = np.stack([document(text).numpy() for text in TEXTS])
    declared = {"query": {"head": "binary"}, "document": METHODS["epic"].document.to_json()}
    for changes, shown in (
        ({"top": 5}, np.ones(whole.shape, bool)),
        ({"top": 40}, np.ones(whole.shape, bool)),
        # Terms of the text itself come first, and the largest are of these.
        ({"top": 2, "own_terms": True}, np.stack([Plain(folder).bag(t, True) for t in TEXTS]) > 0),
    ):
        declared["document"] |= changes
        (folder / "lsr.json").write_text(json.dumps(declared))
        found = dense(load_encoder(str(folder), max_length=LENGTH).encode_documents(TEXTS))
        for row, expected, kept in zip(found, whole, shown, strict=True):
            best = sorted(expected[kept], reverse=True)[: declared["document"]["top"]]
            assert sorted(row[row > 0], reverse=True) == pytest.approx(
                [weight for weight in best if weight > 0], abs=1e-4
            )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("doc_quality.weight"), "cannot be loaded"),
        (lambda w: [w.pop(f"doc_quality.{k}") for k in ("weight", "bias")], "has no networks"),
        (
            lambda w: w.update(
                {"doc_salience.weight": np.ones((2, 16)), "doc_salience.bias": np.ones(2)}
            ),
            "has no networks",
        ),
        (lambda w: w.update({"doc_salience.weight": np.ones((1, 9))}), "not for hidden states"),
        (lambda w: w.update({"doc_salience.bias": np.full(1, np.inf)}), "has no networks"),
        (lambda w: w.update({"doc_salience.weight": np.full((1, 16), 3e38)}), "are not finite"),
        (lambda w: w.update({"more.bias": np.ones(1)}), r"left over more\.bias"),
    ],
)
def test_epic_without_its_networks(
    make_checkpoint: MakeCheckpoint, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    def changed(weights: dict[str, Any]) -> None:
        change(weights)
        weights |= {name: value.astype(np.float32) for name, value in weights.items()}

    folder = make_checkpoint("bert", head="epic")
    change_weights(folder, changed)
    with pytest.raises(EncoderError, match=said):
        load_encoder(f"epic:{folder}", max_length=LENGTH).encode_documents(TEXTS)


def test_networks_of_epic_are_left_over_elsewhere(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint("bert", head="epic")
    with pytest.raises(EncoderError, match="left over doc_quality"):
        load_encoder(str(folder), max_length=LENGTH)


@pytest.mark.parametrize("method", ["splade-max", "tilde", "sparta"])
def test_pooled_by_torch_as_on_a_gpu(
    make_checkpoint: MakeCheckpoint, pooled_by_torch: Callable[[], None], method: str
) -> None:
    folder = make_checkpoint("distilbert", head="sparta" if method == "sparta" else "mlm")
    name = f"{method}:{folder}"
    expected = dense(load_encoder(name, max_length=LENGTH).encode_documents(TEXTS))
    pooled_by_torch()
    found = load_encoder(name, max_length=LENGTH, **IN_TORCH).encode_documents(TEXTS)
    assert np.abs(dense(found) - expected).max() < 1e-4


def test_combinations_are_those_of_the_framework() -> None:
    parts = ("bin", "mlp", "lex", "mlm")
    assert tuple(f"q{q}-d{d}" for q, d in product(parts, parts)) == tuple(COMBINATIONS)
    assert find_method("qmlp-dmlm") is METHODS["qmlp-dmlm"]
    for same, name in (
        ("qmlm-dmlm", "splade-max"),
        ("qbin-dmlm", "splade-doc"),
        ("qlex-dmlm", "splade-lexical"),
    ):
        found, known = find_method(same), find_method(name)
        assert found is not None
        assert known is not None
        assert (found.query, found.document) == (known.query, known.document)
    assert find_method("qtable-dmlm") is None
    assert find_method("qbin") is None


@pytest.mark.parametrize("name", COMBINATIONS)
def test_combinations(make_checkpoint: MakeCheckpoint, tmp_path: Path, name: str) -> None:
    """Each against its formula; saved, loaded and restored."""
    parts = dict(zip(("queries", "documents"), (part[1:] for part in name.split("-")), strict=True))
    folders = {
        side: make_checkpoint("bert", side, head="unicoil" if part == "mlp" else "mlm")
        for side, part in parts.items()
    }

    def formula(side: str) -> Callable[[str], Any]:
        part, folder = parts[side], folders[side]
        if part == "mlp":
            plain, weigh = Plain(folder, "mlp"), layer(folder, "tok_proj")
            pool = "sum" if side == "queries" else "max"

            def log1p(state: Any) -> Any:
                return plain.torch.log(1 + plain.torch.clamp(weigh(state), min=0))

            return lambda text: plain.on_tokens(text, log1p, pool)
        plain = Plain(folders["documents"] if part == "bin" else folder)
        if part == "bin":
            return plain.bag
        if part == "lex":
            return lambda text: plain.splade(text) * plain.bag(text, special=True)
        return plain.splade

    names = f"{folders['documents']},{folders['queries']}"
    encoder: Any = load_encoder(f"{name}:{names}", max_length=LENGTH)
    check(encoder, formula("queries"), formula("documents"))
    identity = json.loads(json.dumps(encoder.identity))
    assert identity["method"] == name
    encoder.save(tmp_path / "saved")
    again = [
        load_encoder(str(tmp_path / "saved"), max_length=LENGTH),
        restore_encoder(identity, encoder.vocabulary, {}),
    ]
    for other in again:
        assert other.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
        assert other.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)


def test_parts_of_one_model(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """Documents without a model are indexed, searched and explained."""
    folder = make_checkpoint()
    documents = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]
    for name in ("qbin-dbin", "qmlm-dbin", "qbin-dlex"):
        encoder = load_encoder(f"{name}:{folder}", max_length=LENGTH)
        assert len(encoder.vocabulary) == (23 if name == "qbin-dbin" else 40)
        steps: list[int] = []
        encoder.collect(TEXTS, steps.append)
        assert sum(steps) == len(TEXTS)
        lsr.Index.build(tmp_path / name, documents, encoder)
        hits = lsr.open(tmp_path / name).search("mars", 6)
        assert len(hits)
        for hit in hits:
            explained = hit.explain()
            assert sum(match.product for match in explained.terms) == hit.score
            own = encoder.literal_terms(TEXTS[int(hit.id)])
            assert {match.term for match in explained.terms} <= {
                encoder.vocabulary[int(term)] for term in own
            }
        if name.startswith("qbin"):
            assert [hit.id for hit in hits] == ["3"]


def test_a_pair_in_one_folder_needs_no_second(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    documents, queries = make_checkpoint(), make_checkpoint("bert", "queries", head="unicoil")
    with pytest.raises(EncoderError, match="give qmlp-dmlm:DOCUMENTS,QUERIES"):
        load_encoder(f"qmlp-dmlm:{documents}", max_length=LENGTH)
    encoder: Any = load_encoder(f"qmlp-dmlm:{documents},{queries}", max_length=LENGTH)
    encoder.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "modules.json").exists()  # it would be another method there
    again = load_encoder(f"qmlp-dmlm:{tmp_path / 'saved'}", max_length=LENGTH)
    assert again.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    change_config(tmp_path / "saved" / "queries", hidden_act="relu")
    with pytest.raises(EncoderError, match="content hash"):
        restore_encoder(encoder.identity, encoder.vocabulary, {}, source=str(tmp_path / "saved"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"activation": "identity"}, "the head mlm has no activation identity"),
        ({"head": "cls-mlm", "activation": "log1p-softplus"}, "the head cls-mlm has no"),
        ({"head": "embeddings", "activation": "identity"}, "the head embeddings has no"),
        ({"top": 0}, "top must be a whole number of at least 1, not 0"),
        ({"top": True}, "top must be a whole number"),
        ({"top": 2.0}, "top must be a whole number"),
    ],
)
def test_sides_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(EncoderError, match=said):
        Side(**{"head": "mlm", **fields})


def test_documents_have_no_table(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint()
    declared = {"query": {"head": "binary"}, "document": {"head": "table"}}
    (folder / "lsr.json").write_text(json.dumps(declared))
    with pytest.raises(EncoderError, match="declares a table for documents; tables are for"):
        load_encoder(str(folder), max_length=LENGTH)


def test_binary_documents_beside_a_table(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint()
    (folder / "idf.json").write_text(json.dumps({"red": 1.5, "planet": 2.0}))
    declared = {"query": {"head": "table"}, "document": {"head": "binary"}}
    (folder / "lsr.json").write_text(json.dumps(declared))
    encoder = load_encoder(str(folder), max_length=LENGTH)
    assert sorted(encoder.encode_documents(["red mars"]).weights) == [1, 1]
    assert encoder.encode_queries(["red mars"]).weights.tolist() == [1.5]


@pytest.mark.parametrize("method", ["tilde", "epic"])
def test_what_needs_a_language_model(make_checkpoint: MakeCheckpoint, method: str) -> None:
    folder = make_checkpoint("bert", head="unicoil")
    with pytest.raises(EncoderError, match="needs one ending in ForMaskedLM"):
        load_encoder(f"{method}:{folder}", max_length=LENGTH)


def test_two_checkpoints_with_the_same_sides_are_both_saved(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    documents = make_checkpoint("bert", "documents", head="unicoil")
    queries = make_checkpoint("distilbert", "queries", head="unicoil")
    encoder: Any = load_encoder(f"unicoil:{documents},{queries}", max_length=LENGTH)
    encoder.save(tmp_path / "saved")
    again = load_encoder(str(tmp_path / "saved"), max_length=LENGTH)
    assert again.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    assert again.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)
