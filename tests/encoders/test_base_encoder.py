from __future__ import annotations

from typing import Any

import pytest

from lsr.encoders import load_encoder
from lsr.encoders.base import Settings, check_texts, strongest
from lsr.errors import EncoderError, VectorError
from lsr.vectors import SparseVectors


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_length": 0}, "max_length"),
        ({"max_length": None}, "max_length"),
        ({"document_terms": -1}, "document_terms"),
        ({"query_terms": 1.5}, "query_terms"),
        ({"batch_size": True}, "batch_size"),
        ({"pooling": "mean"}, "pooling"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(EncoderError, match=named):
        Settings(**settings)


def test_check_texts_names_what_is_no_text() -> None:
    check_texts([])
    check_texts(("", "a", "\U0001f600"))
    with pytest.raises(EncoderError, match="a list of texts"):
        check_texts("one text")
    with pytest.raises(EncoderError, match="text 1 of the batch is NoneType"):
        check_texts(["a", None])  # type: ignore[list-item]
    with pytest.raises(EncoderError, match=r"text 1 .*'\\udc80'.* character 2"):
        check_texts(["a", "ab\udc80"])


def test_strongest_of_none_keeps_all() -> None:
    vectors = SparseVectors.from_rows([([1, 2], [1.0, 2.0])])
    assert strongest(vectors, None) is vectors
    assert strongest(vectors, 1) == SparseVectors.from_rows([([2], [2.0])])


def test_decode_orders_by_weight_then_term() -> None:
    encoder = load_encoder("bm25")
    encoder.collect(["alpha beta gamma"])
    vector = SparseVectors.from_rows([([0, 1, 2], [1.0, 3.0, 1.0])])
    assert encoder.decode(vector) == [("beta", 3.0), ("alpha", 1.0), ("gamma", 1.0)]
    assert encoder.decode(vector, top=1) == [("beta", 3.0)]
    with pytest.raises(VectorError, match="one row"):
        encoder.decode(SparseVectors.from_rows([]))
