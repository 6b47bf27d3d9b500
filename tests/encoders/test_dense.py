"""Dense encoders against sentence-transformers, on the folders that it writes."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from lsr import kernels
from lsr.data.builtin import model_path
from lsr.encoders.dense.encoder import load_dense, restore_dense
from lsr.encoders.dense.layout import read_dense_layout
from lsr.encoders.dense.model import DenseModel
from lsr.encoders.models.bert import load_body
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError, EncoderMismatch
from support.changed import change_config

from .conftest import by_kernels

pytest.importorskip("sentence_transformers", reason="the library to agree with is not installed")

MakeCheckpoint = Callable[..., Path]
TEXTS = ["red", "the reddish planet, saturns rings. " * 8, "mars is mars", "venus " * 30, "q a", ""]
LENGTH = 24
POOLINGS = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """That library and its own warnings are not under test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def save(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> Callable[..., tuple[Path, Any]]:
    """save("bert", Pooling(...), ...) -> the folder that sentence-transformers wrote, its model."""

    def make(kind: str, *modules: Any, length: int = LENGTH, **settings: Any) -> tuple[Path, Any]:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Transformer

        torch.manual_seed(3)
        body = Transformer(str(make_checkpoint(kind)), max_seq_length=length)
        made = [module() if isinstance(module, type) else module for module in modules]
        peer = SentenceTransformer(modules=[body, *made], device="cpu", **settings)
        peer.save_pretrained(str(tmp_path / "saved"))
        return tmp_path / "saved", peer

    return make


def pooling(*modes: str) -> Any:
    from sentence_transformers.sentence_transformer.modules import Pooling

    return Pooling(16, modes)


def dense(width: int, columns: int, **settings: Any) -> Any:
    from sentence_transformers.base.modules import Dense

    return Dense(width, columns, **settings)


def normalize() -> Any:
    from sentence_transformers.base.modules import Normalize

    return Normalize()


def agree(folder: Path, peer: Any, **settings: Any) -> Any:
    """Both sides of our encoder of the folder give what that library gives."""
    ours = load_dense(str(folder), **settings)
    options = {"show_progress_bar": False, "normalize_embeddings": peer.similarity_fn_name != "dot"}
    for found, theirs in (
        (ours.encode_documents(TEXTS), peer.encode_document(TEXTS, **options)),
        (ours.encode_queries(TEXTS), peer.encode_query(TEXTS, **options)),
    ):
        assert found.dtype == np.float32
        assert found.shape == theirs.shape == (len(TEXTS), ours.dimensions)
        assert np.abs(found).max() > 0.1
        assert np.abs(found - theirs).max() < 1e-5
    return ours


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "xlm-roberta"])
@pytest.mark.parametrize("mode", POOLINGS)
def test_every_pooling_of_every_family(save: Any, kind: str, mode: str) -> None:
    folder, peer = save(kind, pooling(mode), similarity_fn_name="dot")
    ours = agree(folder, peer)
    assert by_kernels(ours)
    assert ours.max_length == LENGTH


def test_poolings_side_by_side_layers_and_unit_length(save: Any) -> None:
    import torch

    folder, peer = save(
        "bert",
        pooling("mean", "max"),
        dense(32, 24),
        dense(24, 8, bias=False, activation_function=torch.nn.Identity()),
        normalize(),
    )
    ours = agree(folder, peer)
    assert by_kernels(ours)
    assert ours.dimensions == 8


def test_vectors_compared_by_cosine_have_unit_length(save: Any) -> None:
    folder, peer = save("bert", pooling("mean"))
    ours = agree(folder, peer)
    found = ours.encode_queries(TEXTS)
    assert np.abs(found @ found.T - peer.similarity(*[peer.encode(TEXTS)] * 2).numpy()).max() < 1e-5
    settings = folder / "config_sentence_transformers.json"
    settings.unlink()  # as the oldest releases; that library takes cosine, too
    assert np.array_equal(load_dense(str(folder)).encode_queries(TEXTS), found)


def test_prompts_are_put_before_texts(save: Any) -> None:
    prompts = {"query": "the red ", "document": "mars: "}
    folder, peer = save("bert", pooling("mean"), prompts=prompts)
    ours = agree(folder, peer)
    assert not np.allclose(ours.encode_queries(TEXTS), ours.encode_documents(TEXTS), atol=1e-3)
    about = json.loads((folder / "config_sentence_transformers.json").read_text())
    for name in ("passage", "corpus"):
        about["prompts"] = {"query": "the red ", "document": "", name: "mars: "}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(about))
        other = load_dense(str(folder))
        assert np.array_equal(other.encode_documents(TEXTS), ours.encode_documents(TEXTS))


@pytest.mark.parametrize("case", ["modernbert", "prompt left out", "residual", "lower case"])
def test_the_rest_is_left_to_that_library(save: Any, case: str) -> None:
    kind = "modernbert" if case == "modernbert" else "bert"
    modules = [dense(16, 16, use_residual=True)] if case == "residual" else []
    folder, peer = save(
        kind, pooling("mean"), *modules, prompts={"query": "the red ", "document": ""}
    )
    if case == "prompt left out":
        peer.set_pooling_include_prompt(False)
        peer.save_pretrained(str(folder))
    if case == "lower case":
        settings = json.loads((folder / "sentence_bert_config.json").read_text())
        settings["do_lower_case"] = True
        (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    ours = agree(folder, peer)
    assert not by_kernels(ours)


def test_a_static_model(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(make_checkpoint() / "tokenizer.json"))
    torch.manual_seed(3)
    table = StaticEmbedding(tokenizer, embedding_dim=12)
    peer = SentenceTransformer(modules=[table], device="cpu")
    peer.save_pretrained(str(tmp_path / "static"))
    ours = agree(tmp_path / "static", peer)
    assert ours.max_length is None
    again = restore_dense(ours.identity)
    assert np.array_equal(again.encode_queries(TEXTS), ours.encode_queries(TEXTS))


def test_the_settings_of_older_releases(save: Any) -> None:
    folder, _ = save("bert", pooling("mean"), normalize())
    before = load_dense(str(folder)).encode_documents(TEXTS)
    modules = json.loads((folder / "modules.json").read_text())
    for module in modules:
        module["type"] = f"sentence_transformers.models.{module['type'].rpartition('.')[2]}"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": LENGTH, "do_lower_case": False})
    )
    flags = {f"pooling_mode_{name}_tokens": name == "mean" for name in ("max", "mean")}
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, "pooling_mode_cls_token": False, **flags})
    )
    (folder / "2_Normalize" / "config.json").unlink()
    (folder / "2_Normalize").rmdir()
    ours = load_dense(str(folder))
    assert by_kernels(ours)
    assert np.array_equal(ours.encode_documents(TEXTS), before)


def test_the_length(save: Any) -> None:
    folder, peer = save("bert", pooling("mean"), length=LENGTH)
    peer.max_seq_length = 6
    assert agree(folder, peer, max_length=6).max_length == 6
    for wrong in (2, 65):
        with pytest.raises(EncoderError, match=rf"max_length {wrong} .* reads 3 to 64 tokens"):
            load_dense(str(folder), max_length=wrong)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_max_length"] = int(1e30)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    peer.max_seq_length = 64
    assert agree(folder, peer).max_length == 64


def test_a_vector_does_not_depend_on_the_texts_beside(save: Any) -> None:
    folder, _ = save("bert", pooling("mean", "weightedmean"), dense(32, 24), normalize())
    texts = [f"{text} {number}" for number in range(40) for text in TEXTS]
    done: list[int] = []
    many = load_dense(str(folder), threads=3).encode_documents(texts, done.append)
    assert sum(done) == len(texts)
    assert len(done) > 1
    one = load_dense(str(folder), threads=1)
    for number in range(0, len(texts), 7):
        assert np.array_equal(one.encode_documents([texts[number]])[0], many[number])
    assert one.encode_documents([]).shape == (0, 24)


def test_what_is_no_text(save: Any) -> None:
    folder, _ = save("bert", pooling("mean"))
    for wrong in ([b"red"], "red", [None]):
        with pytest.raises(EncoderError):
            load_dense(str(folder)).encode_queries(wrong)  # type: ignore[arg-type]


def test_an_encoder_is_restored(save: Any, tmp_path: Path) -> None:
    folder, _ = save("bert", pooling("mean"), prompts={"query": "the red ", "document": ""})
    ours = load_dense(str(folder), max_length=9)
    identity = json.loads(json.dumps(ours.identity))
    again = restore_dense(identity)
    assert again.identity == ours.identity
    assert np.array_equal(again.encode_queries(TEXTS), ours.encode_queries(TEXTS))
    moved = tmp_path / "moved"
    folder.rename(moved)
    with pytest.raises(EncoderError, match=r"cannot be found where it was, .*saved"):
        restore_dense(identity)
    assert restore_dense(identity, source=str(moved)).max_length == 9
    about = json.loads((moved / "config_sentence_transformers.json").read_text())
    about["prompts"]["query"] = "the "
    (moved / "config_sentence_transformers.json").write_text(json.dumps(about))
    with pytest.raises(EncoderMismatch, match=r"'saved' \(query prompt the red \), but"):
        restore_dense(identity, source=str(moved))


def test_other_weights_are_another_encoder(save: Any) -> None:
    from safetensors.numpy import load_file, save_file

    folder, _ = save("bert", pooling("mean"), dense(16, 8))
    identity = load_dense(str(folder)).identity
    layer = load_file(folder / "2_Dense" / "model.safetensors")
    layer["linear.weight"][0, 0] += 1
    save_file(layer, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(EncoderMismatch, match="content hash"):
        restore_dense(identity)


def test_a_checkpoint_with_its_language_model(save: Any, make_checkpoint: MakeCheckpoint) -> None:
    """As sentence-transformers, what a model was trained with besides is passed over."""
    folder, _ = save("bert", pooling("mean"))
    before = load_dense(str(folder)).encode_queries(TEXTS)
    whole = make_checkpoint("bert", "whole")
    (folder / "model.safetensors").write_bytes((whole / "model.safetensors").read_bytes())
    ours = load_dense(str(folder))
    assert by_kernels(ours)
    assert np.array_equal(ours.encode_queries(TEXTS), before)


BAD = {
    "no modules": ("it has no modules.json", lambda f: (f / "modules.json").unlink()),
    "modules of another kind": (
        "describe no model",
        lambda f: (f / "modules.json").write_text('[{"path": ""}]'),
    ),
    "a list of nothing": ("does not read text", lambda f: (f / "modules.json").write_text("[]")),
    "code": (
        "which is not supported",
        lambda f: (f / "modules.json").write_text('[{"type": "custom.Transformer", "path": ""}]'),
    ),
    "another folder": (
        "not inside it",
        lambda f: (f / "modules.json").write_text(
            '[{"type": "sentence_transformers.models.Transformer", "path": "../tiny"}]'
        ),
    ),
    "pickled weights": (
        "never loaded",
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
    ),
    "a pickled layer": (
        "never loaded",
        lambda f: (f / "2_Dense" / "model.safetensors").rename(f / "2_Dense" / "pytorch_model.bin"),
    ),
    "no layer": ("lacks linear.weight", lambda f: (f / "2_Dense" / "model.safetensors").unlink()),
    "no tokenizer": ("has no tokenizer", lambda f: (f / "tokenizer.json").unlink()),
    "a distance": (
        "'euclidean', which no inner product can",
        lambda f: (f / "config_sentence_transformers.json").write_text(
            '{"similarity_fn_name": "euclidean"}'
        ),
    ),
    "a pooling": (
        "no pooling_mode 'sum'",
        lambda f: (f / "1_Pooling" / "config.json").write_text('{"pooling_mode": "sum"}'),
    ),
    "a prompt": (
        "a prompt is not text",
        lambda f: (f / "config_sentence_transformers.json").write_text('{"prompts": {"query": 3}}'),
    ),
    "no JSON": ("cannot be read", lambda f: (f / "modules.json").write_text("{")),
    "half a model": (
        "cannot be loaded",
        lambda f: (f / "model.safetensors").write_bytes(
            (f / "model.safetensors").read_bytes()[:-4]
        ),
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_folders_that_are_unfit_are_named(save: Any, what: str) -> None:
    folder, _ = save("bert", pooling("mean"), dense(16, 8))
    said, spoil = BAD[what]
    spoil(folder)
    with pytest.raises(EncoderError, match=said) as error:
        load_dense(str(folder))
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_names_that_are_none() -> None:
    with pytest.raises(EncoderError, match="no dense encoder 'nothing'; give minilm, a folder"):
        load_dense("nothing")
    with pytest.raises(EncoderError, match="splade-tiny is not a dense model"):
        load_dense("splade-tiny")


@pytest.mark.parametrize("isa", kernels.ISAS["encoders"])
def test_minilm_is_close_to_the_float_model(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """minilm.jsonl has vectors that sentence-transformers makes of all-MiniLM-L6-v2, rounded to
    four decimals.  Sets of instructions round floats differently before they become bytes, so
    each has vectors of its own, which are as close as the others'."""
    monkeypatch.setattr(kernels, "instruction_set", lambda part: isa)
    lines = (Path(__file__).parent / "minilm.jsonl").read_text("utf-8").splitlines()
    golden = [json.loads(line) for line in lines]
    theirs = np.array([line["vector"] for line in golden], np.float32)
    minilm = load_dense("minilm")
    assert (minilm.name, minilm.dimensions, minilm.max_length) == ("minilm", 384, 256)
    ours = minilm.encode_documents([line["text"] for line in golden])
    cosines = np.einsum("td,td->t", ours, theirs)
    assert cosines.min() > 0.99
    assert cosines.mean() > 0.995
    assert restore_dense(minilm.identity).identity == minilm.identity


def test_rounded_rows_use_all_integers() -> None:
    """So the kernels pack them as they are, without another rounding."""
    folder = model_path("minilm")
    assert folder is not None
    with safe_open(folder / "model.safetensors", "np") as file:
        for name in file.keys():  # noqa: SIM118 - the file is no mapping
            if file.get_slice(name).get_dtype() == "I8":
                assert (np.abs(file.get_tensor(name).astype(int)).max(axis=1) == 64).all()


def test_rounded_models_are_multiplied_in_integers_on_the_cpu() -> None:
    folder = model_path("minilm")
    assert folder is not None
    body = load_body(folder, "int8")
    assert body is not None
    texts = ["glass bees repair maps", "red"]
    model = DenseModel(body, read_dense_layout(folder))
    expected = np.stack(model.rows(None, Tokens(folder, 256).encode(texts)))
    for device in (None, "cpu", "cuda:0"):
        encoder = load_dense("minilm", device=device)
        assert np.array_equal(encoder.encode_documents(texts), expected)
        assert np.array_equal(encoder.encode_queries(texts), expected)


def test_quantized_models_that_are_not_read(save: Any) -> None:
    folder, _ = save("modernbert", pooling("mean"))
    change_config(folder, quantization_config={"quant_method": "compressed-tensors"})
    with pytest.raises(EncoderError, match=r"lsr reads those of BERT's family"):
        load_dense(str(folder))
    change_config(folder, quantization_config={"quant_method": "gptq"})
    with pytest.raises(EncoderError, match=r"only as dense encoders and in the format compressed"):
        load_dense(str(folder))


def test_models_like_bert_need_no_torch(save: Any) -> None:
    folder, _ = save("bert", pooling("mean"), dense(16, 8), normalize())
    code = (
        "import sys; from lsr.encoders.dense.encoder import load_dense; "
        f"load_dense({str(folder)!r}).encode_queries(['red']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "sentence_transformers", "faiss"}
    assert heavy & set(done.stdout.split()) == set()
