"""Writing an encoder's checkpoint in the layouts of `lsr.encoders.checkpoints.layouts`.

Encoders with a masked language model are written as sentence-transformers SparseEncoders (its
release 6); others, and what it cannot express, as the transformers folder they came from, with
that of queries in `queries/` where it is another one.  Where that form cannot say all, `lsr.json`
beside it declares the method; sentence-transformers passes over it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from lsr.encoders.checkpoints.checkpoint import TOKENIZER_FILES, matching
from lsr.encoders.checkpoints.layouts import (
    ACTIVATIONS,
    DECLARATION,
    QUERIES,
    Layout,
    is_causal,
    read_layout,
)
from lsr.encoders.checkpoints.writing import copy_model, write_about, write_json, write_modules
from lsr.encoders.methods import Side
from lsr.errors import EncoderError
from lsr.storage.workspace import new_folder

_MODULES = "sentence_transformers.sparse_encoder.modules"
_TYPES = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Router": "sentence_transformers.base.modules.router.Router",
    "SpladePooling": f"{_MODULES}.splade_pooling.SpladePooling",
    "SparseStaticEmbedding": f"{_MODULES}.sparse_static_embedding.SparseStaticEmbedding",
}
_TRANSFORMER = {
    "transformer_task": "fill-mask",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "token_embeddings",
}


def save(layout: Layout, weights: npt.NDArray[np.float32], folder: Path) -> None:
    """Write the checkpoint of a layout as a new folder; all of it or nothing.

    Args:
        weights: float32, one a token: those of query terms, or 1 for each term of a text.

    Raises `EncoderError` when the folder exists or cannot be written.
    """
    plain = not _expressible(layout)
    if plain and layout.table is not None and layout.table.parent != layout.document_folder:
        raise EncoderError(
            f"{layout.document_folder} and the weights of query terms in {layout.table} cannot be "
            "written as one folder, which sentence-transformers has no form for; keep them as "
            "they are"
        )
    with new_folder(folder, EncoderError) as partial:
        if plain:
            copy_model(layout.document_folder, partial)
            if layout.pair:
                copy_model(layout.query_folder, partial / QUERIES)
        elif layout.query == layout.document and not layout.pair:
            _splade(partial, layout.document_folder, layout.document)
        else:
            _router(partial, layout, weights)
        # A decoder's folder alone names no method.
        written = None if is_causal(layout.document_folder) else read_layout(partial, None, None)
        sides = (layout.query, layout.document)
        if (
            written is None
            or (written.query, written.document) != sides
            or (partial / QUERIES).is_dir()
        ):
            write_json(
                partial / DECLARATION,
                {"query": layout.query.to_json(), "document": layout.document.to_json()},
            )


def _expressible(layout: Layout) -> bool:
    """Whether sentence-transformers has a form for it, but for what is dropped in the end."""
    query, document = layout.query, layout.document
    if document.head != "mlm" or query.head not in ("mlm", "binary", "table"):
        return False
    if is_causal(layout.document_folder) or is_causal(layout.query_folder):
        return False
    usual = Side("mlm").parts[1:]
    return all(not side.unit and side.parts[1:] == usual for side in (query, document))


def _splade(folder: Path, model: Path, side: Side) -> None:
    _transformer(folder, model)
    _pooling(folder / "1_SpladePooling", side)
    _modules(folder, {"": "Transformer", "1_SpladePooling": "SpladePooling"})


def _router(folder: Path, layout: Layout, weights: npt.NDArray[np.float32]) -> None:
    query, structure = layout.query, {"query": list[str](), "document": list[str]()}

    def module(route: str, kind: str) -> Path:
        name = f"{route}_{len(structure[route])}_{kind}"
        structure[route].append(name)
        return folder / name

    _transformer(module("document", "Transformer"), layout.document_folder)
    _pooling(module("document", "SpladePooling"), layout.document)
    if query.needs_model:
        _transformer(module("query", "Transformer"), layout.query_folder)
        _pooling(module("query", "SpladePooling"), query)
    if not query.needs_model or query.own_terms:
        static = module("query", "SparseStaticEmbedding")
        static.mkdir()
        for file in matching(
            layout.query_folder,
            (*TOKENIZER_FILES, "tokenizer_config.json", "special_tokens_map.json", "merges.txt"),
        ):
            shutil.copyfile(file, static / file.name)
        write_json(static / "config.json", {"frozen": False})
        save_file({"weight": weights}, static / "model.safetensors", {"format": "pt"})
    types = {
        name: _TYPES[name.rpartition("_")[2]] for names in structure.values() for name in names
    }
    parameters = {"default_route": "document", "allow_empty_key": True, "route_mappings": {}}
    write_json(
        folder / "router_config.json",
        {"types": types, "structure": structure, "parameters": parameters},
    )
    _modules(folder, {"": "Router"})


def _modules(folder: Path, modules: Mapping[str, str]) -> None:
    typed = [(path, _TYPES[kind]) for path, kind in modules.items()]
    write_modules(folder / "modules.json", typed)
    write_about(folder / "config_sentence_transformers.json", "dot")


def _transformer(folder: Path, model: Path) -> None:
    copy_model(model, folder)
    write_json(folder / "sentence_bert_config.json", _TRANSFORMER)


def _pooling(folder: Path, side: Side) -> None:
    activation = {ours: theirs for theirs, ours in ACTIVATIONS.items()}.get(side.activation)
    if activation is None:
        raise EncoderError(
            f"sentence-transformers has no SPLADE pooling with {side.activation}, so this encoder "
            "cannot be written in its layout"
        )
    folder.mkdir()
    write_json(
        folder / "config.json",
        {
            "pooling_strategy": side.pooling,
            "activation_function": activation,
            "embedding_dimension": None,
        },
    )
