"""The published layouts of model folders, read and checked.

- a transformers folder `*ForMaskedLM`: SPLADE; with `idf.json` beside it an inference-free one;
- transformers folders of uniCOIL and TILDEv2 (`tok_proj`), DeepImpact (`impact_score_encoder`)
  and DeepCT (`*ForTokenClassification` with one label);
- a transformers folder without output layer, which only SPARTA takes;
- a BGE-M3 folder: an encoder and `sparse_linear.pt`;
- a transformers folder `*ForCausalLM`, or a LoRA adapter of PEFT for one: a decoder, whose method
  must be named unless `lsr.json` declares it; with `literal_residual.safetensors` PROSPER;
- a sentence-transformers SparseEncoder: Transformer (MLMTransformer) and SpladePooling, or a
  Router to such a chain for documents and to it, SparseStaticEmbedding (IDF) or all three
  for queries;
- a folder this library saved in one of these forms with `lsr.json`, which declares the method,
  and with the model of queries in `queries/` where it is another one.

Nothing in a folder is executed or unpickled: weights come from safetensors files, but for
`sparse_linear.pt`, which torch reads as bare tensors (`weights_only`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.encoders.checkpoints.adapters import base_of
from lsr.encoders.checkpoints.checkpoint import ADAPTER, TOKENIZER_FILES, matching, read_json
from lsr.encoders.methods import METHODS, OF_LOGITS, Activation, Method, Side, find_method
from lsr.errors import EncoderError, first_line

DECLARATION = "lsr.json"
QUERIES = "queries"
BGE_HEAD = "sparse_linear.pt"
RESIDUAL = "literal_residual.safetensors"
_IDF = "idf.json"
_ROUNDED = "compressed-tensors"
# sentence-transformers' names, and what they compute: its "relu" takes a logarithm as well.
ACTIVATIONS: dict[str, Activation] = {"relu": "log1p", "log1p_relu": "double-log1p"}
_MLM = ("Transformer", "MLMTransformer")  # new and old
_LANGUAGE_MODELS = ("ForMaskedLM", "ForCausalLM")
_TABLE = ("SparseStaticEmbedding", "IDF")  # new and old
_ARCHITECTURES = {
    "UniCoilEncoder": "unicoil",
    "DeepImpact": "deepimpact",
    "TILDEv2": "tildev2",
    "BertForTokenClassification": "deepct",
}


@dataclass(frozen=True)
class Layout:
    """Where the parts of an encoder are.

    Attributes:
        method: its name where it is known by one, else None.
        query, document: what they compute.
        document_folder: transformers' folder of the document model.
        query_folder: the same for queries; for a side without a model, its tokenizer's.
        table: the file with the weights of query terms, for the head "table".
    """

    method: str | None
    query: Side
    document: Side
    document_folder: Path
    query_folder: Path
    table: Path | None = None

    @property
    def pair(self) -> bool:
        """Whether queries have a folder of their own."""
        return self.query_folder != self.document_folder

    def side(self, queries: bool) -> tuple[Side, Path]:
        """The side of queries, or of documents, and its folder."""
        return (self.query, self.query_folder) if queries else (self.document, self.document_folder)

    @property
    def folders(self) -> list[Path]:
        """The folders that decide the vectors."""
        sides = (self.document_folder, self.query_folder)
        return list(dict.fromkeys((*sides, *map(base_of, sides))))


def read_layout(
    folder: Path, query_folder: Path | None, method: str | None, usual: str | None = None
) -> Layout:
    """The layout of a folder, or of a pair of folders.

    Args:
        query_folder: the second checkpoint of a pair.
        method: a key of `METHODS` that overrides what the folder looks like.
        usual: one that holds where the folder does not say, as people know the model by name.

    Raises `EncoderError` when the folder is of no known layout, or would be computed otherwise
    than by its own library.
    """
    if (folder / "modules.json").exists():
        try:
            layout = _sentence_transformers(folder)
        except (AttributeError, TypeError, ValueError) as error:
            raise EncoderError(
                f"{folder} has a modules.json or router_config.json that describes no model "
                f"({error}); get the published files again"
            ) from None
    elif (folder / BGE_HEAD).exists():
        layout = _plain("bge-m3", folder)
    else:
        known = [_ARCHITECTURES[name] for name in _architectures(folder) if name in _ARCHITECTURES]
        if (folder / RESIDUAL).exists():
            usual = "prosper"
        is_named = usual is not None or method is not None or (folder / DECLARATION).exists()
        if not is_named and is_causal(folder):
            raise EncoderError(
                f"{folder} holds a decoder, which may have been trained for one method or another; "
                f"say which, as in echo-mistral-splade:{folder}"
            )
        if usual is None:
            usual = "inference-free" if (folder / _IDF).exists() else "splade-max"
        layout = _plain(known[0] if known else usual, folder)
    if (folder / DECLARATION).exists():
        declared = read_json(folder / DECLARATION)
        layout = replace(
            layout,
            method=None,
            query=Side.from_json(declared.get("query")),
            document=Side.from_json(declared.get("document")),
        )
        if (folder / QUERIES).is_dir():
            layout = replace(layout, query_folder=folder / QUERIES)
    if method is not None:
        sides = _method(method)
        layout = replace(layout, method=method, query=sides.query, document=sides.document)
    if query_folder is not None:
        layout = replace(
            layout, method=method or "efficient-splade", query_folder=query_folder, table=None
        )
    elif layout.method is not None and _method(layout.method).pair and not layout.pair:
        raise EncoderError(
            f"{layout.method} has a checkpoint for documents and one for queries; give "
            f"{layout.method}:DOCUMENTS,QUERIES"
        )
    if layout.document.head == "table":
        raise EncoderError(f"{folder} declares a table for documents; tables are for queries")
    if layout.query.head == "table" and layout.table is None:
        layout = replace(layout, table=_idf(folder))
    return layout


def _method(name: str) -> Method:
    method = find_method(name)
    if method is None:
        raise EncoderError(
            f"there is no method {name!r}; give one of {', '.join(METHODS)}, or two sides "
            "together as in qlex-dmlm"
        )
    return method


def _plain(method: str, folder: Path) -> Layout:
    sides = _method(method)
    return Layout(method, sides.query, sides.document, folder, folder)


def _idf(folder: Path) -> Path:
    if not (folder / _IDF).is_file():
        raise EncoderError(
            f"{folder} has no weights for the terms of queries; put {_IDF} (token: weight) there"
        )
    return folder / _IDF


def _sentence_transformers(folder: Path) -> Layout:
    modules = [dict(module) for module in read_json(folder / "modules.json", list)]
    kinds = [kind_of(module.get("type")) for module in modules]
    prompts = optional(folder / "config_sentence_transformers.json").get("prompts")
    if any((prompts or {}).values()):
        raise _refused(folder, f"prompts ({prompts})")
    if kinds == ["Router"]:
        router = folder / inside(folder, str(modules[0].get("path", "")))
        config = read_json(router / "router_config.json")
        types, structure = config.get("types"), config.get("structure")
        if not isinstance(types, dict) or not isinstance(structure, dict):
            raise EncoderError(f"{router / 'router_config.json'} has no types and structure")
        if not {"query", "document"} <= set(structure):
            raise _refused(folder, f"routes {', '.join(map(str, structure))}")
        routes = {
            route: [
                (kind_of(types.get(name)), router / inside(folder, str(name))) for name in names
            ]
            for route, names in structure.items()
        }
    else:
        paths = [folder / inside(folder, str(module.get("path", ""))) for module in modules]
        chain = list(zip(kinds, paths, strict=True))
        routes = {"query": chain, "document": chain}
    query, query_folder, table = _route(folder, routes["query"])
    document, document_folder, _ = _route(folder, routes["document"])
    if document.head != "mlm":
        raise _refused(folder, "no model for documents")
    return Layout(None, query, document, document_folder, query_folder, table)


def _route(folder: Path, modules: list[tuple[str, Path]]) -> tuple[Side, Path, Path | None]:
    """A chain of modules: what it computes, its transformers folder, its table of weights."""
    kinds = [kind for kind, _ in modules]
    if len(kinds) == 1 and kinds[0] in _TABLE:
        return Side("table"), modules[0][1], _table_file(modules[0][1], folder)
    chain = len(kinds) in (2, 3) and kinds[0] in _MLM and kinds[1] == "SpladePooling"
    if not chain or kinds[2:] not in ([], [_TABLE[0]], [_TABLE[1]]):
        raise _refused(folder, f"the modules {', '.join(kinds) or '(none)'}")
    transformer = optional(modules[0][1] / "sentence_bert_config.json")
    if transformer.get("do_lower_case"):
        raise _refused(folder, "do_lower_case")
    if transformer.get("transformer_task", "fill-mask") != "fill-mask":
        raise _refused(folder, f"the transformer_task {transformer['transformer_task']!r}")
    config = read_json(modules[1][1] / "config.json")
    activation = config.get("activation_function", "relu")
    if activation not in ACTIVATIONS:
        raise _refused(folder, f"activation_function {activation!r}")
    strategy = config.get("pooling_strategy", "max")
    if strategy not in ("max", "sum"):
        raise _refused(folder, f"pooling_strategy {strategy!r}")
    side = Side("mlm", ACTIVATIONS[activation], strategy, own_terms=len(kinds) == 3)
    if side.own_terms:
        table = _table_file(modules[2][1], folder)
        weights = read_table(table, {}, 0)
        if not set(np.unique(weights)) <= {0.0, 1.0}:
            raise _refused(folder, "weights on top of the model's, other than 0 and 1")
    return side, modules[0][1], None


def _table_file(module: Path, folder: Path) -> Path:
    path = optional(module / "config.json").get("path")
    if path is None:
        return module / "model.safetensors"
    candidates = [base / inside(folder, str(path)) for base in (module, folder)]
    return next((file for file in candidates if file.is_file()), candidates[0])


def read_table(path: Path, tokens: Mapping[str, int], size: int) -> npt.NDArray[np.float32]:
    """The weights of query terms, float32, one a term, zero for those it does not name.

    Args:
        path: a safetensors file with one vector "weight", or JSON of token: weight.
        tokens: token -> term id, for JSON.
        size: least length of what is returned.

    Raises `EncoderError` when it is neither, or a weight is negative or not finite.
    """
    try:
        if path.suffix == ".json":
            weights = np.zeros(max([size, *(term + 1 for term in tokens.values())]), np.float32)
            named = read_json(path)
            strange = [token for token in named if token not in tokens]
            if strange:
                raise EncoderError(
                    f"{path} weighs {strange[0]!r}, which the tokenizer beside it does not have; "
                    "give the tokenizer it was made for"
                )
            weights[[tokens[token] for token in named]] = list(named.values())
        else:
            from safetensors.numpy import load_file

            weights = load_file(path)["weight"].astype(np.float32)
    except EncoderError:
        raise
    except Exception as error:  # whatever foreign files provoke in the library that reads them
        reason = first_line(error)
        raise EncoderError(
            f"the weights of query terms in {path} cannot be read ({type(error).__name__}: "
            f"{reason}); check that the folder is complete"
        ) from None
    if weights.ndim != 1:
        raise EncoderError(f"{path} has weights of shape {weights.shape}; give one a term")
    if not np.isfinite(weights).all() or (weights < 0).any():
        wrong = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
        raise EncoderError(
            f"{path} has the weight {weights[wrong]} for term {wrong}; weights must be finite and "
            "not negative"
        )
    return np.pad(weights, (0, max(0, size - weights.size)))


def is_rounded(folder: Path) -> bool:
    """Whether a folder's config.json says that weights are integers, as compressed-tensors has."""
    quantization = read_json(folder / "config.json").get("quantization_config")
    return isinstance(quantization, dict) and quantization.get("quant_method") == _ROUNDED


def check_model(folder: Path, head: str) -> None:
    """Raise `EncoderError` unless a folder holds a model that loads safely.

    Args:
        head: of a `lsr.encoders.methods.Side`; "" for a dense encoder, which may be rounded.
    """
    if head != "mlm" and (folder / ADAPTER).exists():
        raise EncoderError(
            f"{folder} holds an adapter ({ADAPTER}), which is merged for the head mlm alone; "
            "merge it into the model and save that"
        )
    folder = base_of(folder)
    config = read_json(folder / "config.json")
    architectures = _architectures(folder)
    wanted = _LANGUAGE_MODELS if head == "mlm" else _LANGUAGE_MODELS[:1]
    if head in OF_LOGITS and not any(name.endswith(wanted) for name in architectures):
        raise EncoderError(
            f"{folder / 'config.json'} names the architecture {architectures}, and the head "
            f"{head} needs one ending in {' or '.join(wanted)}; give a language model's checkpoint"
        )
    if head == "embeddings" and not any(name.endswith("Model") for name in architectures):
        raise EncoderError(
            f"{folder / 'config.json'} names the architecture {architectures}, and the head "
            f"{head} needs one ending in Model, without an output layer of its own; give a "
            "checkpoint of SPARTA"
        )
    if "quantization_config" in config and (head or not is_rounded(folder)):
        raise EncoderError(
            f"{folder} holds a quantized model, and lsr reads those only as dense encoders and in "
            f"the format {_ROUNDED}; give the unquantized checkpoint"
        )
    if not matching(folder, ("*.safetensors",)):
        raise EncoderError(
            f"{folder} has no safetensors weights, and pickled ones (.bin, .pt) are never "
            "loaded; convert them: load the model where you trust it and call "
            "save_pretrained(folder)"
        )
    for index in folder.glob("*.safetensors.index.json"):
        shards = set(map(str, dict(read_json(index).get("weight_map", {})).values()))
        for shard in sorted(shards):
            if Path(shard).name != shard or not (folder / shard).is_file():
                raise EncoderError(f"{index} names the file {shard!r}, which is not beside it")


def is_causal(folder: Path) -> bool:
    """Whether a folder's model is a decoder, which reads from left to right."""
    return any(name.endswith("ForCausalLM") for name in _architectures(base_of(folder)))


def _architectures(folder: Path) -> list[str]:
    names = read_json(base_of(folder) / "config.json").get("architectures") or []
    return list(map(str, names))


def check_tokenizer(folder: Path) -> None:
    """Raise `EncoderError` when a folder has no tokenizer."""
    if not matching(folder, TOKENIZER_FILES):
        raise EncoderError(
            f"{folder} has no tokenizer (one of {', '.join(TOKENIZER_FILES)}); copy the "
            "tokenizer the model was trained with into it"
        )


def kind_of(type_name: object) -> str:
    """Class of a module: sentence-transformers has moved them between packages."""
    return str(type_name).rpartition(".")[2]


def inside(folder: Path, path: str) -> PurePosixPath:
    """A path that a folder names, as one inside it."""
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in path:
        raise EncoderError(f"{folder} names the folder {path!r}, which is not inside it")
    return relative


def _refused(folder: Path, feature: str) -> EncoderError:
    return EncoderError(
        f"{folder} is a sentence-transformers model with {feature}, which is not supported; only "
        "a Transformer followed by SpladePooling, and a Router to SparseStaticEmbedding, are"
    )


def optional(path: Path) -> Any:
    """A JSON file's object, {} where there is no file."""
    return read_json(path) if path.exists() else {}
