"""Vocabularies of decoders and of phrases: encoded, indexed, searched and explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr

WIDTH = 4


def make_checkpoint(folder: Path, terms: int, decoder: bool) -> Path:
    """A random model whose words are w0, w1 and so on, written as text: w17 w23."""
    import torch
    import transformers

    folder.mkdir()
    vocabulary = {f"w{number}": number for number in range(terms - 2)}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": terms - 2 + number,
                "content": token,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for number, token in enumerate(("[UNK]", "[PAD]"))
        ],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {
            "type": "WordLevel",
            "vocab": vocabulary | {"[UNK]": terms - 2, "[PAD]": terms - 1},
            "unk_token": "[UNK]",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    sizes: dict[str, Any] = {
        "vocab_size": terms,
        "pad_token_id": terms - 1,
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 4,
        "max_position_embeddings": 16,
        "initializer_range": 0.5,
    }
    torch.manual_seed(3)
    if decoder:
        config = transformers.MistralConfig(**sizes, num_key_value_heads=1, head_dim=WIDTH)
        model: Any = transformers.MistralForCausalLM(config)
    else:
        model = transformers.BertForMaskedLM(transformers.BertConfig(**sizes))
        torch.nn.init.constant_(model.get_output_embeddings().bias, -1.5)  # most get no weight
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("terms", "method"),
    [(130_000, "splade-max"), (2_000_000, "splade-max"), (131_072, "echo-mistral-splade")],
)
def test_end_to_end(tmp_path: Path, terms: int, method: str) -> None:
    folder = make_checkpoint(tmp_path / "model", terms, decoder=method != "splade-max")
    last = terms - 3
    texts = [f"w{last} w5", "w70000 w9", f"w5 w{last - 1}", "w65536 w65535"]
    documents = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    name = f"{method}:{folder}"
    lsr.Index.build(tmp_path / "index", documents, name, max_length=8, document_terms=500)
    index: Any = lsr.open(tmp_path / "index")
    assert index.manifest.vocabulary == terms
    assert index.reader.find_term(f"w{last}") == last
    query = index.encoder.encode_queries([texts[0]])
    vectors = index.encoder.encode_documents(texts)
    assert query.terms.max() > 65_535
    wanted = [
        float(
            query.weights[np.isin(query.terms, row.terms)].astype(np.float64)
            @ row.weights[np.isin(row.terms, query.terms)].astype(np.float64)
        )
        for row in vectors
    ]
    hits = index.search(texts[0], 4)
    assert hits.ids[0] == str(int(np.argmax(wanted)))
    shared = sorted((score for score in wanted if score > 0), reverse=True)
    assert list(hits.scores) == pytest.approx(shared, rel=0.02)
    explained = hits[0].explain()
    assert sum(match.product for match in explained.terms) == hits[0].score
    assert {match.term for match in explained.terms} <= {f"w{term}" for term in query.terms} | {
        "[UNK]",
        "[PAD]",
    }
