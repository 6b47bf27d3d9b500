"""Every method against its formula on plain tensors, written out here for one text at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import lsr
from lsr.encoders import load_encoder, restore_encoder
from lsr.encoders.methods import METHODS
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors
from support.decoders import add_residual

MakeCheckpoint = Callable[..., Path]
Dense = npt.NDArray[np.float32]
ROWS = 40
LENGTH = 24
TEXTS = [
    "red",
    "the reddish planet, saturns rings. " * 8,
    "",
    "mars is mars",
    "venus " * 30,
    "qq a",
]
BACKBONES = ["bert", "roberta", "distilbert", "modernbert", "xlm-roberta"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def dense(vectors: SparseVectors) -> Dense:
    matrix = np.zeros((len(vectors), ROWS), np.float32)
    for row, vector in enumerate(vectors):
        assert (np.diff(vector.terms.astype(np.int64)) > 0).all()
        matrix[row, vector.terms] = vector.weights
    assert (vectors.weights > 0).all()
    return matrix


class Plain:
    """A folder through transformers alone, one text at a time."""

    def __init__(self, folder: Path, head: str = "mlm") -> None:
        import torch
        from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

        self.torch: Any = torch
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        kind = AutoModelForMaskedLM if head == "mlm" else AutoModel
        self.model = kind.from_pretrained(folder).float().eval()
        self.special = set(self.tokenizer.convert_tokens_to_ids(SPECIAL))

    def ids(self, text: str, special: bool = True) -> list[int]:
        found = self.tokenizer(text, truncation=True, max_length=LENGTH, add_special_tokens=special)
        return list(found["input_ids"])

    def run(self, text: str) -> Any:
        """Logits or hidden states, shape (positions, width)."""
        with self.torch.inference_mode():
            output = self.model(self.torch.tensor([self.ids(text)]))
        return output.logits[0] if "logits" in output else output.last_hidden_state[0]

    def bag(self, text: str, special: bool = False) -> Any:
        bag = self.torch.zeros(ROWS)
        for token in self.ids(text, special):
            if token not in self.special:
                bag[token] = 1
        return bag

    def splade(self, text: str, pool: str = "max", twice: bool = False) -> Any:
        weights = self.torch.log(1 + self.torch.clamp(self.run(text), min=0))
        if twice:
            weights = self.torch.log(1 + weights)
        return weights.sum(0) if pool == "sum" else weights.max(0).values

    def on_tokens(self, text: str, weigh: Callable[[Any], Any], pool: str) -> Any:
        out = self.torch.zeros(ROWS)
        for token, state in zip(self.ids(text), self.run(text), strict=True):
            weight = max(0.0, float(weigh(state)))
            if token not in self.special:
                out[token] = out[token] + weight if pool == "sum" else max(out[token], weight)
        return out


def check(encoder: Any, query: Callable[[str], Any], document: Callable[[str], Any]) -> None:
    for encode, formula in ((encoder.encode_queries, query), (encoder.encode_documents, document)):
        expected = np.stack([np.asarray(formula(text), np.float32) for text in TEXTS])
        expected[TEXTS.index("")] = 0  # which says nothing, whatever [CLS] and [SEP] expand to
        assert (expected > 0).any()
        assert (expected == 0).any()
        assert np.abs(dense(encode(TEXTS)) - expected).max() < 1e-4


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("method", ["splade-max", "splade-sum", "splade-doc", "splade-lexical"])
def test_splade(make_checkpoint: MakeCheckpoint, kind: str, method: str) -> None:
    folder = make_checkpoint(kind)
    plain = Plain(folder)
    pool = "sum" if method == "splade-sum" else "max"
    query = {
        "splade-doc": plain.bag,
        "splade-lexical": lambda text: plain.splade(text) * plain.bag(text, special=True),
    }.get(method, lambda text: plain.splade(text, pool))
    encoder = load_encoder(f"{method}:{folder}", max_length=LENGTH)
    check(encoder, query, lambda text: plain.splade(text, pool))
    assert encoder.name == f"{method}:tiny"


def test_efficient_splade(make_checkpoint: MakeCheckpoint) -> None:
    documents, queries = make_checkpoint("bert"), make_checkpoint("distilbert", "queries")
    encoder = load_encoder(f"efficient-splade:{documents},{queries}", max_length=LENGTH)
    check(encoder, Plain(queries).splade, Plain(documents).splade)
    identity = json.loads(json.dumps(encoder.identity))
    again = restore_encoder(identity, encoder.vocabulary, {})
    assert again.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    source = f"efficient-splade:{queries},{documents}"
    with pytest.raises(EncoderMismatch, match="content hash"):
        restore_encoder(identity, encoder.vocabulary, {}, source=source)


def test_a_pair_shares_its_words(make_checkpoint: MakeCheckpoint) -> None:
    names = f"{make_checkpoint('bert')},{make_checkpoint('roberta', 'other')}"
    with pytest.raises(EncoderError, match="have different words"):
        load_encoder(f"efficient-splade:{names}", max_length=LENGTH)


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("method", ["inference-free", "inference-free-l0"])
def test_inference_free(make_checkpoint: MakeCheckpoint, kind: str, method: str) -> None:
    folder = make_checkpoint(kind)
    plain = Plain(folder)
    tokens = plain.tokenizer.get_vocab()
    idf = {token: 0.25 * number for number, token in enumerate(sorted(tokens)) if number != 9}
    (folder / "idf.json").write_text(json.dumps(idf))
    table = np.zeros(ROWS, np.float32)
    for token, weight in idf.items():
        table[tokens[token]] = weight
    encoder = load_encoder(f"{method}:{folder}", max_length=LENGTH)
    check(
        encoder,
        lambda text: plain.bag(text).numpy() * table,
        lambda text: plain.splade(text, twice=method == "inference-free-l0"),
    )
    pruned = load_encoder(f"{method}:{folder}", max_length=LENGTH, prune_ratio=0.4)
    whole, kept = dense(encoder.encode_documents(TEXTS)), dense(pruned.encode_documents(TEXTS))
    strong = whole > 0.4 * whole.max(1, keepdims=True)
    assert 0 < strong.sum() < (whole > 0).sum()
    assert kept == pytest.approx(np.where(strong, whole, 0), abs=1e-6)
    assert pruned.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)


@pytest.mark.parametrize("kind", BACKBONES)
def test_methods_with_a_weight_a_token(make_checkpoint: MakeCheckpoint, kind: str) -> None:
    import torch
    from safetensors.torch import load_file

    for method in ("unicoil", "deepimpact", "bge-m3"):
        folder = make_checkpoint(kind, method, head=method)
        plain = Plain(folder, "mlp")
        if method == "bge-m3":
            head = torch.load(folder / "sparse_linear.pt")

            def weigh(state: Any, head: Any = head) -> Any:
                return head["weight"][0] @ state + head["bias"][0]
        else:
            head = load_file(folder / "model.safetensors")

            def weigh(state: Any, head: Any = head) -> Any:
                if "tok_proj.weight" in head:
                    return head["tok_proj.weight"][0] @ state + head["tok_proj.bias"][0]
                name = "impact_score_encoder"
                inner = head[f"{name}.0.weight"] @ state + head[f"{name}.0.bias"]
                inner = torch.clamp(inner, min=0)
                return head[f"{name}.2.weight"][0] @ inner + head[f"{name}.2.bias"][0]

        pool = "sum" if method == "unicoil" else "max"

        def query(text: str, plain: Plain = plain, weigh: Any = weigh, pool: str = pool) -> Any:
            return plain.on_tokens(text, weigh, pool)

        def document(text: str, plain: Plain = plain, weigh: Any = weigh) -> Any:
            return plain.on_tokens(text, weigh, "max")

        check(
            load_encoder(str(folder), max_length=LENGTH),
            plain.bag if method == "deepimpact" else query,
            document,
        )


@pytest.mark.parametrize("kind", BACKBONES)
def test_echo_and_last_of_masked_models(make_checkpoint: MakeCheckpoint, kind: str) -> None:
    folder = make_checkpoint(kind)
    plain = Plain(folder)

    def echo(text: str) -> Any:
        first, *words, last = plain.ids(text)
        with plain.torch.inference_mode():
            given = plain.torch.tensor([[first, *words, *words, last]])
            logits = plain.model(given).logits[0, 1 + len(words) :]
        return plain.torch.log(1 + plain.torch.clamp(logits, min=0)).max(0).values

    def last(text: str) -> Any:
        return plain.torch.log(1 + plain.torch.clamp(plain.run(text)[-1], min=0))

    sides = {"query": {"head": "mlm", "positions": "last"}}
    sides["document"] = {"head": "mlm", "positions": "echo"}
    (folder / "lsr.json").write_text(json.dumps(sides))
    check(load_encoder(str(folder), max_length=LENGTH), last, echo)


# Methods with a form of checkpoint of their own.
HEADS = ["unicoil", "deepimpact", "bge-m3", "deepct", "tildev2", "sparta", "epic"]


@pytest.mark.parametrize("method", METHODS)
def test_saved_loaded_indexed_and_explained(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, method: str
) -> None:
    folder = make_checkpoint("bert", head=method if method in HEADS else "mlm")
    (folder / "idf.json").write_text(json.dumps({"red": 1.5, "planet": 2.0, "mars": 0.5}))
    if method == "prosper":
        add_residual(folder, rows=ROWS)
    name = f"{method}:{folder}"
    if METHODS[method].pair:
        head = METHODS[method].query.head
        own = "unicoil" if head == "mlp" else head
        name += f",{make_checkpoint('distilbert', 'queries', head=own)}"
    encoder: Any = load_encoder(name, max_length=LENGTH, prune_ratio=0.1)
    encoder.save(tmp_path / "saved")
    saved = load_encoder(str(tmp_path / "saved"), max_length=LENGTH)
    assert saved.identity["query"] == encoder.identity["query"]
    assert saved.identity["document"] == encoder.identity["document"]
    for side in ("encode_queries", "encode_documents"):
        assert getattr(saved, side)(TEXTS) == getattr(encoder, side)(TEXTS)
    with pytest.raises(EncoderError, match="already exists"):
        encoder.save(tmp_path / "saved")
    assert sorted(path.name for path in tmp_path.glob("saved*")) == ["saved"]

    documents = [{"id": str(n), "text": text} for n, text in enumerate([*TEXTS, "red planet"])]
    built = lsr.Index.build(tmp_path / "index", documents, saved, keep_floats=True)
    del built
    index = lsr.open(tmp_path / "index")
    hits = index.search("the red planet mars", 5, exact_floats=True)
    query = saved.encode_queries(["the red planet mars"])
    vectors = saved.encode_documents([str(document["text"]) for document in documents])
    scores = dense(vectors) @ dense(query)[0]
    assert hits.scores == pytest.approx(np.sort(scores)[::-1][: len(hits.scores)], rel=1e-5)
    best = index.search("the red planet mars", 1)[0]
    explained = best.explain()
    assert sum(match.product for match in explained.terms) == best.score
    assert {match.term for match in explained.terms} <= {
        index.reader.word(int(term)) for term in query.terms
    }


def test_queries_without_a_model_import_no_torch(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    folder = make_checkpoint()
    (folder / "idf.json").write_text(json.dumps({"red": 1.5, "planet": 2.0}))
    documents = [{"id": "a", "text": "the red planet"}, {"id": "b", "text": "venus"}]
    for method in ("inference-free", "splade-doc"):
        path = tmp_path / method
        lsr.Index.build(path, documents, f"{method}:{folder}", max_length=LENGTH)
        program = (
            f"import sys, lsr; hits = lsr.open({str(path)!r}).search('red planet'); "
            "assert len(hits), hits; "
            "heavy = {'torch', 'transformers', 'numba'} & set(sys.modules); assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def run_code_once(path: Path) -> Any:
    """An object whose pickle creates `path` when it is read."""

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (path,)

    return Trap()


def test_a_pickle_with_code_is_not_run(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    import torch

    folder = make_checkpoint("xlm-roberta", head="bge-m3")
    touched = tmp_path / "touched"
    torch.save({"weight": run_code_once(touched)}, folder / "sparse_linear.pt")
    with pytest.raises(EncoderError, match=r"sparse_linear.pt cannot be loaded") as raised:
        load_encoder(str(folder), max_length=LENGTH)
    assert "\n" not in str(raised.value)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"weight": [[1.0]]}, "lacks|cannot be loaded"),
        ({"weight": (2, 16), "bias": (2,)}, "no network"),
        ({"weight": (1, 16), "bias": (3,)}, "no network"),
        ({"weight": float("nan"), "bias": (1,)}, "no network"),
    ],
)
def test_heads_that_do_not_fit(
    make_checkpoint: MakeCheckpoint, state: dict[str, Any], said: str
) -> None:
    import torch

    def tensor(value: Any) -> Any:
        if isinstance(value, float):
            return torch.full((1, 16), value)
        return torch.ones(value) if isinstance(value, tuple) else value

    folder = make_checkpoint("xlm-roberta", head="bge-m3")
    torch.save({key: tensor(value) for key, value in state.items()}, folder / "sparse_linear.pt")
    with pytest.raises(EncoderError, match=said):
        load_encoder(str(folder), max_length=LENGTH)


def test_a_table_of_another_model_is_refused(make_checkpoint: MakeCheckpoint) -> None:
    from safetensors.numpy import save_file

    folder = make_checkpoint()
    (folder / "idf.json").write_text(json.dumps({"red": 1.5}))
    encoder: Any = load_encoder(str(folder), max_length=LENGTH)
    saved = folder.parent / "saved"
    encoder.save(saved)
    table = saved / "query_0_SparseStaticEmbedding" / "model.safetensors"
    save_file({"weight": np.ones(41, np.float32)}, table)
    with pytest.raises(EncoderError, match="weighs 41 terms but the model has 40"):
        load_encoder(str(saved), max_length=LENGTH)


def test_a_long_text_costs_what_is_read_of_it(make_checkpoint: MakeCheckpoint) -> None:
    encoder = load_encoder(f"splade-doc:{make_checkpoint()}", max_length=LENGTH)
    start = "the red planet mars, " * 40
    assert encoder.encode_documents([start * 50_000]) == encoder.encode_documents([start])
    alone = "red" * 400_000  # one word, which must be read to its end
    assert encoder.encode_queries([alone]).terms.size == 0
    assert encoder.encode_queries([" " * 10_000_000 + "red"]) == encoder.encode_queries(["red"])


def test_a_table_in_another_folder_is_written_by_sentence_transformers_form_alone(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    folder = make_checkpoint("bert")
    (folder / "idf.json").write_text(json.dumps({"red": 1.5, "planet": 2.0}))
    declared = {"query": {"head": "table", "unit": True}, "document": {"head": "mlm", "top": 9}}
    load_encoder(str(folder), max_length=LENGTH).save(tmp_path / "router")
    for source in (folder, tmp_path / "router"):
        (source / "lsr.json").write_text(json.dumps(declared))
    encoder: Any = load_encoder(str(folder), max_length=LENGTH)
    encoder.save(tmp_path / "plain")
    saved = load_encoder(str(tmp_path / "plain"), max_length=LENGTH)
    assert saved.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    assert saved.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)
    apart: Any = load_encoder(str(tmp_path / "router"), max_length=LENGTH)
    assert apart.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    with pytest.raises(EncoderError, match="cannot be written as one folder"):
        apart.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
