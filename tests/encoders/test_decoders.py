"""Decoders: Echo-Mistral-SPLADE and PROSPER against their formulas on plain tensors."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import lsr
from lsr.encoders import load_encoder
from lsr.encoders.methods import Side
from lsr.encoders.models.torch_loading import load_torch
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors
from support.decoders import BOS, ROWS, add_residual, make_adapter, make_decoder

LENGTH = 12
TEXTS = [
    "red",
    "the reddish planet, saturn's rings " * 8,
    "",
    "mars is mars",
    " mars",
    "le thé\n火星",
]
FRAMES = ["<s> $A", "$A", "<s> $A </s>", "$A </s>"]
Dense = npt.NDArray[np.float32]


def dense(vectors: SparseVectors) -> Dense:
    matrix = np.zeros((len(vectors), ROWS), np.float32)
    for row, vector in enumerate(vectors):
        assert (np.diff(vector.terms.astype(np.int64)) > 0).all()
        matrix[row, vector.terms] = vector.weights
    assert (vectors.weights > 0).all()
    return matrix


class Plain:
    """A folder through transformers alone, one text at a time, without padding."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch: Any = torch
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder).float().eval()

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"])

    def literal(self, text: str) -> Any:
        found = self.torch.zeros(ROWS)
        for token in set(self.ids(text)) - set(self.tokenizer.all_special_ids):
            found[token] = 1
        return found

    def run(self, ids: list[int]) -> tuple[Any, Any]:
        """Logits and last hidden states, shapes (positions, …)."""
        with self.torch.inference_mode():
            output = self.model(self.torch.tensor([ids]), output_hidden_states=True)
        return output.logits[0], output.hidden_states[-1][0]

    def echo(self, text: str) -> Any:
        """The words twice, in one pair of special tokens; the second copy is pooled."""
        special = set(self.tokenizer.all_special_ids)
        ids = self.ids(text)
        words = [token for token in ids if token not in special]
        before = list(itertools.takewhile(special.__contains__, ids)) if words else []
        after = ids[len(before) + len(words) :] if words else []
        if not words:
            return self.nothing(ids)
        logits, _ = self.run([*before, *words, *words, *after])
        return self.saturated(logits[len(before) + len(words) :]).amax(0)

    def nothing(self, ids: list[int]) -> Any:
        """A text without words: what stands after them speaks, if anything does."""
        end = [token for token in ids if token == self.tokenizer.eos_token_id]
        if not end:
            return self.torch.zeros(ROWS)
        logits, _ = self.run(ids)
        return self.saturated(logits[-1:]).amax(0)

    def saturated(self, values: Any) -> Any:
        return self.torch.log(1 + self.torch.clamp(values, min=0))

    def prosper(self, text: str, network: dict[str, Any], top: int) -> Any:
        ids = self.ids(text)
        if not ids:
            return self.torch.zeros(ROWS)
        logits, hidden = self.run(ids)
        base = self.saturated(logits[-1])
        strength = network["weight"] @ self.saturated(hidden[-1])
        if "bias" in network:
            strength = strength + network["bias"]
        whole = base + self.literal(text) * (strength.max() - strength)
        kept = whole.argsort(descending=True)[:top]
        cut = self.torch.zeros(ROWS)
        cut[kept] = whole[kept]
        return cut


def check(vectors: SparseVectors, wanted: list[Any]) -> None:
    expected = np.stack([np.asarray(vector, np.float32) for vector in wanted])
    expected[TEXTS.index("")] = 0  # which says nothing, whatever special tokens expand to
    assert (expected > 0).any()
    assert (expected == 0).any()
    assert np.abs(dense(vectors) - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "tied", "frame"),
    [
        *[("mistral", True, frame) for frame in FRAMES],
        ("mistral", False, "<s> $A"),
        ("llama", False, "<s> $A"),
        ("qwen2", True, "$A"),
    ],
)
def test_echo(tmp_path: Path, kind: str, tied: bool, frame: str) -> None:
    folder = make_decoder(tmp_path / "tiny", kind, tied, frame)
    plain = Plain(folder)
    if tied:
        embeddings = plain.model.get_input_embeddings().weight
        assert plain.model.get_output_embeddings().weight is embeddings
    encoder = load_encoder(f"echo-mistral-splade:{folder}", max_length=LENGTH)
    for encode in (encoder.encode_documents, encoder.encode_queries):
        check(encode(TEXTS), [plain.echo(text) for text in TEXTS])


@pytest.mark.parametrize("kind", ["mistral", "llama", "qwen2"])
def test_one_direction_alone_is_splade_of_a_decoder(tmp_path: Path, kind: str) -> None:
    folder = make_decoder(tmp_path / "tiny", kind)
    plain = Plain(folder)
    encoder = load_encoder(f"splade-max:{folder}", max_length=LENGTH)
    wanted = [plain.saturated(plain.run(plain.ids(text))[0]).amax(0) for text in TEXTS]
    check(encoder.encode_documents(TEXTS), wanted)
    echo = load_encoder(f"echo-mistral-splade:{folder}", max_length=LENGTH)
    assert np.abs(dense(echo.encode_documents(TEXTS)) - np.stack(wanted)).max() > 0.01


@pytest.mark.parametrize(
    ("kind", "bias", "frame"),
    [("qwen2", True, "$A"), ("qwen2", False, "<s> $A </s>"), ("mistral", True, "<s> $A")],
)
def test_prosper(tmp_path: Path, kind: str, bias: bool, frame: str) -> None:
    from safetensors.torch import load_file

    folder = make_decoder(tmp_path / "tiny", kind, frame=frame)
    add_residual(folder, bias)
    plain = Plain(folder)
    network = load_file(folder / "literal_residual.safetensors")
    encoder: Any = load_encoder(str(folder), max_length=LENGTH)
    assert encoder.identity["method"] == "prosper"
    check(encoder.encode_documents(TEXTS), [plain.prosper(text, network, 512) for text in TEXTS])
    queries = []
    for text in TEXTS:
        cut = plain.prosper(text, network, 256)
        queries.append(cut / max(float(cut.norm()), 1e-9))
    check(encoder.encode_queries(TEXTS), queries)


def declare(folder: Path, query: dict[str, Any], document: dict[str, Any]) -> None:
    (folder / "lsr.json").write_text(json.dumps({"query": query, "document": document}))


@pytest.mark.parametrize("top", [1, 7, 319])
def test_top_and_length(tmp_path: Path, top: int) -> None:
    """Few enough to bind: the numbers in the table of methods are larger than tiny vocabularies."""
    folder = make_decoder(tmp_path / "tiny")
    declare(
        folder,
        {"head": "mlm", "positions": "last", "top": top, "unit": True},
        {"head": "mlm", "positions": "last", "top": top},
    )
    whole = load_encoder(f"splade-max:{folder}", max_length=LENGTH)
    declared: Any = load_encoder(str(folder), max_length=LENGTH)
    assert declared.identity["document"]["top"] == top
    documents = dense(declared.encode_documents(TEXTS))
    plain = Plain(folder)
    for row, text in zip(documents, TEXTS, strict=True):
        if not text:
            continue
        last = np.asarray(plain.saturated(plain.run(plain.ids(text))[0][-1]))
        kept = np.sort(last)[::-1][:top]
        assert np.sort(row)[::-1][:top] == pytest.approx(kept, abs=1e-4)
        assert (row > 0).sum() == (kept > 0).sum()
    lengths = np.linalg.norm(documents, axis=1, keepdims=True)
    queries = dense(declared.encode_queries(TEXTS))
    assert queries == pytest.approx(documents / np.maximum(lengths, 1e-9), abs=1e-6)
    assert whole.encode_queries(TEXTS) == whole.encode_documents(TEXTS)


def test_own_query_terms_come_after_the_length(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "tiny")
    add_residual(folder)
    queries = [
        dense(load_encoder(str(folder), max_length=LENGTH, query_terms=n).encode_queries(TEXTS))
        for n in (5, 300)
    ]
    strongest = np.sort(queries[1], axis=1)[:, -5:]
    assert np.sort(queries[0], axis=1)[:, -5:] == pytest.approx(strongest)


@pytest.mark.parametrize("method", ["echo-mistral-splade", "prosper"])
def test_neither_batch_nor_padding_changes_a_vector(tmp_path: Path, method: str) -> None:
    folder = make_decoder(tmp_path / "tiny", "qwen2", frame="<s> $A </s>")
    add_residual(folder)
    rows = [
        dense(load_encoder(f"{method}:{folder}", max_length=LENGTH, **how).encode_documents(TEXTS))
        for how in ({"batch_size": 1}, {"batch_size": 4}, {})
    ]
    assert rows[1] == pytest.approx(rows[0], abs=1e-5)
    assert rows[2] == pytest.approx(rows[0], abs=1e-5)


@pytest.mark.parametrize("frame", FRAMES)
def test_max_length_counts_the_text_once(tmp_path: Path, frame: str) -> None:
    folder = make_decoder(tmp_path / "tiny", frame=frame)  # 64 positions
    added = frame.count("s>")
    most = (64 + added) // 2
    name = f"echo-mistral-splade:{folder}"
    long = "the red planet mars is often called " * 20
    encoder: Any = load_encoder(name, max_length=most)
    assert len(encoder.encode_documents([long]).terms)
    read = Tokens(folder, most).encode([long])[0]
    assert len(read) == most
    with pytest.raises(EncoderError, match=rf"max_length {most + 1} .* {added + 1} to {most} "):
        load_encoder(name, max_length=most + 1)
    # What stands beyond is not read, and a text that just fits is read to its end.
    shorter = dense(load_encoder(name, max_length=most - 1).encode_documents([long]))
    assert np.abs(shorter - dense(encoder.encode_documents([long]))).max() > 1e-3


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("echo-mistral-splade", {}),
        ("prosper", {}),
        ("splade-max", {"pooling": "sum"}),
        ("splade-doc", {}),
    ],
)
def test_saved_loaded_indexed_searched_and_explained(
    tmp_path: Path, method: str, settings: dict[str, Any]
) -> None:
    folder = make_decoder(tmp_path / "tiny", tied=True)
    if method == "prosper":
        add_residual(folder)
    encoder: Any = load_encoder(f"{method}:{folder}", max_length=LENGTH, **settings)
    encoder.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "modules.json").exists()  # it would say something else
    saved: Any = load_encoder(str(tmp_path / "saved"), max_length=LENGTH)
    for side in ("query", "document"):
        assert saved.identity[side] == encoder.identity[side]
    for encode in ("encode_queries", "encode_documents"):
        assert getattr(saved, encode)(TEXTS) == getattr(encoder, encode)(TEXTS)

    documents = [{"id": str(n), "text": text} for n, text in enumerate([*TEXTS, "the red planet"])]
    built = lsr.Index.build(tmp_path / "index", documents, saved, keep_floats=True)
    del built
    index = lsr.open(tmp_path / "index")
    question = "the red planet mars"
    hits = index.search(question, 5, exact_floats=True)
    vectors = saved.encode_documents([str(document["text"]) for document in documents])
    scores = dense(vectors) @ dense(saved.encode_queries([question]))[0]
    assert hits.scores == pytest.approx(np.sort(scores)[::-1][: len(hits)], rel=1e-5)
    best = index.search(question, 1)[0]
    explained = best.explain()
    assert sum(match.product for match in explained.terms) == best.score
    words = {match.term for match in explained.terms}
    assert words
    assert not any("Ġ" in word for word in words)


def test_words_are_readable_in_explanations(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "tiny")
    name, text = f"splade-doc:{folder}", "red planet, the red planet, thé\n火"
    lsr.Index.build(tmp_path / "index", [{"id": "a", "text": text}], name, max_length=64)
    index: Any = lsr.open(tmp_path / "index")
    raw = {index.reader.word(int(term)) for term in index.encoder.literal_terms(text)}
    assert {"Ġred", "Ġplanet", "Ċ"} <= raw  # as the tokenizer has them
    assert index.reader.find_term("Ġred") is not None
    shown = {term.word for term in lsr.show_terms(text, index.encoder, query=True).terms}
    assert {"▁red", "▁planet", r"\n"} <= shown
    assert any("é" in word for word in shown)
    assert any(word.startswith("\\x") for word in shown)  # bytes of 火, each a token
    assert not any(set("ĠĊÃ") & set(word) for word in shown)
    found = index.search(text, 1)[0].explain().terms
    assert found
    assert {match.term for match in found} <= shown
    both = lsr.Index.build(
        tmp_path / "both", [{"id": "a", "text": text}], f"bm25+{name}", max_length=64
    )
    parts = {(match.part, match.term) for match in both.search(text, 1)[0].explain().terms}
    assert ("bm25", "planet") in parts
    assert {match.term for match in found} == {term for part, term in parts if part != "bm25"}


def test_a_literal_term_is_a_token_with_its_space(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "tiny")
    tokens = Tokens(folder, LENGTH)

    def literal(text: str) -> set[str]:
        words = {term: word for word, term in tokens.vocabulary.items()}
        return {words[int(term)] for term in tokens.literal(text)}

    assert literal("planet planet") == {*literal("planet"), "Ġplanet"}
    assert BOS not in literal("planet")
    assert not literal("planet") & literal(" planet")


def merged_by_hand(folder: Path, tensors: dict[str, Any], scale: float) -> Plain:
    """A model with B A added to its weights, by their names."""
    import torch

    plain = Plain(folder)
    weights = dict(plain.model.state_dict())
    head = plain.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.data.clone())  # its own, where it was shared
    pre = "base_model.model."
    for name in (
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.mlp.down_proj",
        "lm_head",
    ):
        a, b = tensors[f"{pre}{name}.lora_A.weight"], tensors[f"{pre}{name}.lora_B.weight"]
        plain.model.get_submodule(name).weight.data = weights[f"{name}.weight"] + scale * b @ a
    a = tensors[f"{pre}model.embed_tokens.lora_embedding_A"]
    b = tensors[f"{pre}model.embed_tokens.lora_embedding_B"]
    embeddings = plain.model.get_input_embeddings()
    embeddings.weight.data = weights["model.embed_tokens.weight"] + scale * (b @ a).T
    plain.model.model.norm.weight.data = tensors[f"{pre}model.norm.weight"]
    return plain


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("changes", "scale"), [({}, 2.0), ({"use_rslora": True, "lora_alpha": 5}, 5 / math.sqrt(3))]
)
def test_an_adapter_is_merged(
    tmp_path: Path, tied: bool, changes: dict[str, Any], scale: float
) -> None:
    base = make_decoder(tmp_path / "base", tied=tied)
    adapter = tmp_path / "adapter"
    tensors = make_adapter(adapter, base, **changes)
    plain = merged_by_hand(base, tensors, scale)
    encoder: Any = load_encoder(f"echo-mistral-splade:{adapter}", max_length=LENGTH)
    check(encoder.encode_documents(TEXTS), [plain.echo(text) for text in TEXTS])
    without = load_encoder(f"echo-mistral-splade:{base}", max_length=LENGTH)
    assert without.encode_documents(TEXTS) != encoder.encode_documents(TEXTS)
    encoder.save(tmp_path / "saved")
    saved = load_encoder(str(tmp_path / "saved"), max_length=LENGTH)
    assert saved.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)


def test_an_index_knows_the_model_below_its_adapter(tmp_path: Path) -> None:
    base = make_decoder(tmp_path / "base")
    adapter = tmp_path / "adapter"
    make_adapter(adapter, base)
    name = f"echo-mistral-splade:{adapter}"
    lsr.Index.build(tmp_path / "index", [{"id": "a", "text": "mars"}], name, max_length=LENGTH)
    assert len(lsr.open(tmp_path / "index").search("mars"))
    other = make_decoder(tmp_path / "other", "mistral", tied=True)
    shutil.copyfile(other / "model.safetensors", base / "model.safetensors")
    with pytest.raises(EncoderMismatch, match="content hash"):
        lsr.open(tmp_path / "index").search("mars")


def drop(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        tensors.pop(name)
        save_file(tensors, path)

    return spoil


def put(name: str, *shape: int, value: float = 0.0) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        path = folder / "adapter_model.safetensors"
        save_file({**load_file(path), name: torch.full(shape, value)}, path)

    return spoil


def configured(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (configured(peft_type="IA3"), "peft_type 'IA3', and only plain LoRA"),
        (configured(use_dora=True), "use_dora True"),
        (configured(fan_in_fan_out=True), "fan_in_fan_out"),
        (configured(alpha_pattern={"q_proj": 3}), "alpha_pattern"),
        (configured(init_lora_weights="pissa"), "init_lora_weights 'pissa'"),
        (configured(bias="all"), "bias 'all'"),
        (configured(lora_alpha=None), "does not fit its model"),
        (configured(base_model_name_or_path=None), "does not say which model"),
        (configured(base_model_name_or_path="no/such-model"), "which is not here"),
        (drop(f"{Q}.lora_B.weight"), "does not fit its model .*KeyError"),
        (put(f"{Q}.lora_B.weight", 5, 3), "does not fit its model"),
        (put(f"{Q}.lora_B.weight", 16, 3, value=math.nan), "not finite"),
        (put(f"{Q}.lora_magnitude_vector", 16), "does not fit its model"),
        (put("base_model.model.model.embed_tokens.lora_A.weight", 3, 16), r"A\.weight too"),
        (put("base_model.model.model.nothing.lora_A.weight", 3, 16), "does not fit its model"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "does not fit its model"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x" * 9), "does not fit"),
    ],
)
def test_adapters_that_cannot_be_merged(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    base = make_decoder(tmp_path / "base")
    make_adapter(tmp_path / "adapter", base)
    spoil(tmp_path / "adapter")
    with pytest.raises(EncoderError, match=said) as raised:
        load_encoder(f"echo-mistral-splade:{tmp_path / 'adapter'}", max_length=LENGTH)
    assert "\n" not in str(raised.value)


def test_an_adapter_for_an_adapter_is_refused(tmp_path: Path) -> None:
    base = make_decoder(tmp_path / "base")
    make_adapter(tmp_path / "one", base)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    configured(base_model_name_or_path=str(tmp_path / "one"))(tmp_path / "two")
    with pytest.raises(EncoderError, match="holds an adapter itself"):
        load_encoder(f"echo-mistral-splade:{tmp_path / 'two'}", max_length=LENGTH)


def test_an_adapter_is_for_a_language_model(tmp_path: Path) -> None:
    base = make_decoder(tmp_path / "base")
    make_adapter(tmp_path / "adapter", base)
    with pytest.raises(EncoderError, match="merged for the head mlm alone"):
        load_encoder(f"unicoil:{tmp_path / 'adapter'}", max_length=LENGTH)


def test_a_pair_of_decoders_is_one_folder_when_saved(tmp_path: Path) -> None:
    tied = {"documents": True, "queries": False}
    folders = [make_decoder(tmp_path / name, tied=both) for name, both in tied.items()]
    encoder: Any = load_encoder(f"efficient-splade:{folders[0]},{folders[1]}", max_length=LENGTH)
    assert encoder.encode_queries(TEXTS) != encoder.encode_documents(TEXTS)
    encoder.save(tmp_path / "saved")
    saved = load_encoder(str(tmp_path / "saved"), max_length=LENGTH)
    assert saved.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    assert saved.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)


def test_a_text_read_twice_takes_twice_the_memory(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "tiny")
    once, twice = (
        load_torch(folder, Side("mlm", positions=positions), "cpu", "fp32", Tokens(folder, LENGTH))
        for positions in ("all", "echo")
    )
    assert twice.position_bytes == 2 * once.position_bytes


def test_sides_that_read_otherwise_have_models_of_their_own(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "tiny")
    declare(folder, {"head": "mlm"}, {"head": "mlm", "positions": "echo"})
    plain = Plain(folder)
    encoder = load_encoder(str(folder), max_length=LENGTH)
    check(encoder.encode_documents(TEXTS), [plain.echo(text) for text in TEXTS])
    once = [plain.saturated(plain.run(plain.ids(text))[0]).amax(0) for text in TEXTS]
    check(encoder.encode_queries(TEXTS), once)


def test_residual_networks_that_overflow(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder = make_decoder(tmp_path / "tiny")
    weight = torch.full((ROWS, 16), 3e38)
    weight[0] = -3e38
    save_file({"weight": weight}, folder / "literal_residual.safetensors")
    encoder = load_encoder(f"prosper:{folder}", max_length=LENGTH)
    with pytest.raises(EncoderError, match="not finite"):
        encoder.encode_documents(TEXTS)


def test_a_decoder_does_not_say_its_method(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "tiny")
    with pytest.raises(EncoderError, match=r"holds a decoder.*echo-mistral-splade:"):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: None, "cannot be loaded"),
        (lambda f: add_residual(f, rows=ROWS - 1), "must hold finite numbers"),
        (lambda f: add_residual(f, width=3), r"weight of shape \(320, 16\)"),
        (lambda f: (f / "literal_residual.safetensors").write_bytes(b"{}"), "cannot be loaded"),
    ],
)
def test_residual_networks_that_do_not_fit(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    folder = make_decoder(tmp_path / "tiny")
    make(folder)
    with pytest.raises(EncoderError, match=said):
        load_encoder(f"prosper:{folder}", max_length=LENGTH)


@pytest.mark.parametrize("method", ["echo-mistral-splade", "prosper", "splade-max"])
def test_pooled_as_on_a_gpu(
    tmp_path: Path, pooled_by_torch: Callable[[], None], method: str
) -> None:
    folder = make_decoder(tmp_path / "tiny", frame="<s> $A")
    add_residual(folder)
    name = f"{method}:{folder}"
    wanted = dense(load_encoder(name, max_length=LENGTH).encode_documents(TEXTS))
    pooled_by_torch()
    found = dense(load_encoder(name, max_length=LENGTH).encode_documents(TEXTS))
    assert found == pytest.approx(wanted, abs=1e-4)
