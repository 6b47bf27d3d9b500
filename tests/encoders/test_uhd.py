"""UHD: winners of wide layers, against the formula on plain tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import lsr
from lsr.cli import cli
from lsr.encoders import load_encoder, restore_encoder
from lsr.encoders.latent.buckets import BucketVocabulary, winners_of
from lsr.encoders.latent.uhd import UhdEncoder
from lsr.errors import EncoderError, EncoderMismatch
from support.changed import ABSENT, change_config

MakeCheckpoint = Callable[..., Path]
LENGTH = 24
SIZES = {1: 90, 2: 70}
TEXTS = ["red", "the reddish planet, saturns rings. " * 8, "", "mars is mars", "qq a venus"]
WIDTH = 16


def add_buckets(folder: Path, sizes: dict[int, int] = SIZES, winners: int = 6) -> Path:
    """Make a model folder a checkpoint of UHD, with random layers."""
    random = np.random.default_rng(3)
    tensors = {}
    for layer, size in sizes.items():
        tensors[f"layer.{layer}.weight"] = random.normal(size=(size, WIDTH)).astype(np.float32)
        tensors[f"layer.{layer}.bias"] = random.normal(size=size).astype(np.float32)
    save_file(tensors, folder / "buckets.safetensors")
    (folder / "lsr.json").write_text(json.dumps({"method": "uhd", "winners": winners}))
    return folder


@pytest.fixture
def checkpoint(make_checkpoint: MakeCheckpoint) -> Path:
    return add_buckets(make_checkpoint())


def formula(folder: Path, text: str, winners: int) -> set[int]:
    """The terms of a text, by transformers and plain tensors."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).float().eval()
    ids = tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"]
    with torch.inference_mode():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    buckets, terms, first = load_file(folder / "buckets.safetensors"), set[int](), 0
    for layer in sorted({int(name.split(".")[1]) for name in buckets}):
        weight = torch.from_numpy(buckets[f"layer.{layer}.weight"])
        bias = torch.from_numpy(buckets[f"layer.{layer}.bias"])
        values = (states[layer][0] @ weight.T + bias).max(0).values
        ranked = sorted(range(len(values)), key=lambda d, v=values: (-float(v[d]), d))
        terms |= {first + d for d in ranked[:winners]}
        first += len(values)
    return terms


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "xlm-roberta"])
@pytest.mark.parametrize("sizes", [SIZES, {2: 200}, {1: 50}])
def test_the_winners_are_those_of_the_formula(
    make_checkpoint: MakeCheckpoint, kind: str, sizes: dict[int, int]
) -> None:
    folder = add_buckets(make_checkpoint(kind), sizes)
    encoder = load_encoder(str(folder), max_length=LENGTH, threads=2)
    vectors = encoder.encode_documents(TEXTS)
    assert encoder.encode_queries(TEXTS) == vectors
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert set(vector.terms.tolist()) == (formula(folder, text, 6) if text else set())
        assert vector.terms.size == (6 * len(sizes) if text else 0)
        assert vector.weights.tolist() == [1.0] * vector.terms.size
    assert len(encoder.vocabulary) == sum(sizes.values())


def test_a_text_has_the_same_winners_in_any_company(checkpoint: Path) -> None:
    encoder = load_encoder(str(checkpoint), max_length=LENGTH)
    together = encoder.encode_documents(TEXTS * 40)  # 256 positions go through at once
    for number, vector in enumerate(together):
        assert vector == encoder.encode_documents([TEXTS[number % len(TEXTS)]])[0]


values = st.lists(
    st.sampled_from([-1.0, 0.0, 1.0, 2.0]) | st.floats(-5, 5, width=32), min_size=1, max_size=60
)


@given(values, st.data())
def test_there_are_exactly_as_many_winners_as_asked_for(numbers: list[float], data: Any) -> None:
    winners = data.draw(st.integers(1, len(numbers)))
    ranked = sorted(range(len(numbers)), key=lambda d: (-numbers[d], d))
    found = winners_of(np.array(numbers, np.float32), winners)
    assert found.tolist() == sorted(ranked[:winners])
    assert found.dtype == np.uint32


def test_of_equal_dimensions_the_first_win(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "buckets.safetensors")
    for name, values in tensors.items():
        values[:] = values[7]  # all dimensions alike
        tensors[name] = values
    save_file(tensors, checkpoint / "buckets.safetensors")
    encoder = load_encoder(str(checkpoint), max_length=LENGTH)
    assert encoder.encode_documents(["red"]).terms.tolist() == [*range(6), *range(90, 96)]


def test_latent_terms_have_names() -> None:
    vocabulary = BucketVocabulary([3, 12], [20, 5])
    words = [vocabulary[term] for term in range(25)]
    assert words == [*(f"3:{d}" for d in range(20)), *(f"12:{d}" for d in range(5))]
    assert [vocabulary.find(word) for word in words] == list(range(25))
    for word in ("3:20", "4:1", "3:", "3:01", "3", "12:5", "3:x", "3:-1", ""):
        assert vocabulary.find(word) is None
    with pytest.raises(IndexError):
        vocabulary[25]


def test_saved_loaded_indexed_searched_and_explained(checkpoint: Path, tmp_path: Path) -> None:
    first: Any = load_encoder(f"uhd:{checkpoint}", max_length=LENGTH)
    first.save(tmp_path / "saved")
    saved = load_encoder(str(tmp_path / "saved"), max_length=LENGTH)
    assert isinstance(saved, UhdEncoder)
    assert saved.encode_documents(TEXTS) == first.encode_documents(TEXTS)
    with pytest.raises(EncoderError, match="already exists"):
        first.save(tmp_path / "saved")
    assert sorted(path.name for path in tmp_path.glob("saved*")) == ["saved"]

    corpus = tmp_path / "corpus.jsonl"
    texts = [*TEXTS, "the red planet", "saturn has rings", "venus is known as a planet"]
    records = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    corpus.write_text("\n".join(map(json.dumps, records)))
    call = ["index", str(corpus), "-o", str(tmp_path / "index"), "--encoder", str(checkpoint)]
    made = CliRunner().invoke(cli, [*call, "--max-length", str(LENGTH), "--bits", "1"])
    assert made.exit_code == 0, made.output
    index = lsr.open(tmp_path / "index")
    query, documents = "the red planet mars", saved.encode_documents(texts)
    own = set(saved.encode_queries([query]).terms.tolist())
    shared = [len(own & set(row.terms.tolist())) for row in documents]
    best = sorted(range(len(texts)), key=lambda d: (-shared[d], d))
    best = [d for d in best if shared[d]]
    for method in ("pruned", "reference"):
        hits = index.search(query, len(texts), method=method)
        assert hits.ids.tolist() == [str(d) for d in best]
        assert hits.scores.tolist() == [shared[d] for d in best]
    explained = hits[0].explain()
    assert [match.product for match in explained.terms] == [1.0] * shared[best[0]]
    assert {match.term for match in explained.terms} == {
        saved.vocabulary[term] for term in own & set(documents[best[0]].terms.tolist())
    }
    assert index.info()["bits"] == 1
    assert index.info()["encoder"]["buckets"] == {"1": 90, "2": 70}
    for argument in (str(tmp_path / "index"), str(tmp_path / "index/nothing")):
        sound = CliRunner().invoke(cli, ["verify", argument])
        assert sound.exit_code == (0 if argument.endswith("index") else 1)
    shown = CliRunner().invoke(cli, ["info", str(tmp_path / "index")]).output
    assert "no weights: each is 1" in shown
    assert "which documents have a term" in shown


def test_another_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    encoder = load_encoder(str(checkpoint), max_length=LENGTH)
    identity = json.loads(json.dumps(encoder.identity))
    again = restore_encoder(identity, encoder.vocabulary, {})
    assert again.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    (checkpoint / "lsr.json").write_text(json.dumps({"method": "uhd", "winners": 5}))
    with pytest.raises(EncoderMismatch, match="winners 6"):
        restore_encoder(identity, encoder.vocabulary, {})
    add_buckets(checkpoint, {1: 90, 2: 71})
    with pytest.raises(EncoderMismatch, match="content hash"):
        restore_encoder(identity, encoder.vocabulary, {})
    checkpoint.rename(tmp_path / "elsewhere")
    with pytest.raises(EncoderError, match="cannot be found where it was"):
        restore_encoder(identity, encoder.vocabulary, {})
    add_buckets(tmp_path / "elsewhere")
    moved = restore_encoder(identity, encoder.vocabulary, {}, source=str(tmp_path / "elsewhere"))
    assert moved.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    with pytest.raises(EncoderError, match="lacks 'max_length'"):
        restore_encoder({"kind": "uhd", "name": "x", "source": "y"}, encoder.vocabulary, {})


def damage(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / "buckets.safetensors")
        change(tensors)
        save_file(tensors, folder / "buckets.safetensors")

    return apply


def declare(value: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / "lsr.json").write_text(json.dumps(value)) and None


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no declaration": (lambda folder: (folder / "lsr.json").unlink(), "has no lsr.json"),
    "another method": (declare({"method": "csr", "winners": 3}), 'must declare the method "uhd"'),
    "no winners": (declare({"method": "uhd", "winners": 0}), "winners of at least 1"),
    "true winners": (declare({"method": "uhd", "winners": True}), "winners of at least 1"),
    "too many winners": (declare({"method": "uhd", "winners": 71}), "71 winners, .* 70 dimensions"),
    "no tensors": (damage(lambda t: t.clear()), "must hold tensors layer.N.weight"),
    "another tensor": (damage(lambda t: t.update(x=np.ones(1))), "must hold tensors"),
    "layer 0": (damage(lambda t: t.update({"layer.0.bias": np.ones(1)})), "must hold tensors"),
    "no bias": (damage(lambda t: t.pop("layer.1.bias")), "lacks layer.1.bias"),
    "another width": (
        damage(lambda t: t.update({"layer.1.weight": np.ones((90, 15), np.float32)})),
        "other shapes for layer.1.weight",
    ),
    "a layer too many": (
        damage(
            lambda t: t.update(
                {
                    "layer.3.bias": np.ones(9, np.float32),
                    "layer.3.weight": np.ones((9, 16), np.float32),
                }
            )
        ),
        "bucket for layer 3 and the model has 2",
    ),
    "float64": (damage(lambda t: t.update({"layer.1.bias": np.ones(90)})), "other types"),
    "not finite": (
        damage(lambda t: t.update({"layer.1.bias": np.full(90, np.nan, np.float32)})),
        "not finite in layer.1.bias",
    ),
    "no safetensors": (
        lambda folder: (folder / "buckets.safetensors").write_bytes(b"x" * 99),
        "cannot be loaded",
    ),
    "another model": (lambda folder: change_config(folder, hidden_act="relu"), "UHD runs on BERT"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        "with weights in float32",
    ),
    "no model type": (lambda folder: change_config(folder, model_type=ABSENT), "UHD runs on BERT"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_checkpoint_is_named(checkpoint: Path, name: str) -> None:
    change, said = BAD[name]
    change(checkpoint)
    with pytest.raises(EncoderError, match=said) as raised:
        load_encoder(f"uhd:{checkpoint}", max_length=LENGTH)
    assert "\n" not in str(raised.value)


def test_settings_that_cannot_be(checkpoint: Path, make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(EncoderError, match="max_length 65 is not possible"):
        load_encoder(str(checkpoint), max_length=65)
    with pytest.raises(EncoderError, match="runs on a CPU"):
        load_encoder(str(checkpoint), max_length=LENGTH, device="cuda:0")
    with pytest.raises(EncoderError, match="is not a checkpoint of UHD"):
        load_encoder(f"uhd:{make_checkpoint(name='other')}", max_length=LENGTH)


def test_numbers_that_overflow_are_an_error(checkpoint: Path) -> None:
    damage(lambda t: t.update({"layer.1.weight": np.full((90, 16), 3e38, np.float32)}))(checkpoint)
    encoder = load_encoder(str(checkpoint), max_length=LENGTH)
    with pytest.raises(EncoderError, match="not finite"):
        encoder.encode_documents(["red"])


def test_layers_that_do_not_ascend_are_refused(checkpoint: Path) -> None:
    from lsr.encoders.models.bert import load_body

    body = load_body(checkpoint)
    assert body is not None
    ids = [np.array([2, 5, 3], np.uint32), np.array([2, 3], np.uint32)]
    both = body.hidden_after(ids, [1, 2])
    assert both.shape == (2, 5, WIDTH)
    assert (both[1] == body.hidden(ids)).all()
    assert (both[0] == body.hidden_after(ids, [1])[0]).all()
    assert not np.allclose(both[0], both[1])
    for layers in ([0], [2, 1], [1, 1], [3]):
        with pytest.raises(ValueError, match="do not ascend"):
            body.hidden_after(ids, layers)


def test_a_model_that_is_loaded_late_is_the_one_that_was_named(checkpoint: Path) -> None:
    loaded = load_encoder(str(checkpoint), max_length=LENGTH)
    encoder = restore_encoder(loaded.identity, loaded.vocabulary, loaded.term_columns())
    tensors = load_file(checkpoint / "buckets.safetensors")
    save_file(
        {name: tensor + 1 for name, tensor in tensors.items()}, checkpoint / "buckets.safetensors"
    )
    with pytest.raises(EncoderMismatch, match="was replaced after this encoder was made of it"):
        encoder.encode_documents(["red planet"])
