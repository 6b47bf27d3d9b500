from __future__ import annotations

import pytest

from lsr.encoders import load_encoder
from lsr.encoders.lexical.bm25_variants import parse
from lsr.errors import EncoderError


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("bm25", "bm25"),
        ("bm25:lucene,k1=0.9,b=.4", "bm25"),
        ("bm25:atire,b=.75", "bm25:atire,b=0.75"),
        ("bm25:bm25l", "bm25:bm25l"),
        ("bm25:bm25+,delta=.5,k1=2", "bm25:bm25+,k1=2.0,delta=0.5"),
        ("bm25:language=de", "bm25:lucene,language=german"),
        ("bm25:language=auto,b=.5", "bm25:lucene,language=auto,b=0.5"),
        ("bm25:k1=1.2,language=English", "bm25:lucene,k1=1.2"),
        ("bm25:bm25l,language=ru", "bm25:bm25l,language=russian"),
    ],
)
def test_names(name: str, canonical: str) -> None:
    assert load_encoder(name).name == canonical
    assert parse(canonical) == parse(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bm25:okapi", "no BM25 variant 'okapi'; give one of robertson"),
        ("bm25:", "no BM25 variant ''"),
        ("bm25:lucene,k1", "'k1' in the encoder"),
        ("bm25:lucene,k1=x", "'k1=x' in the encoder"),
        ("bm25:lucene,k3=1", "'k3=1' in the encoder"),
        ("bm25:lucene,b=.1,b=.2", "'b=.2' in the encoder"),
        ("bm25:lucene,b=1.5", "BM25's b must be from 0 to 1, not 1.5"),
        ("bm25:lucene,k1=nan", "BM25's k1 must be 0 or more, not nan"),
        ("bm25:lucene,k1=inf", "BM25's k1"),
        ("bm25:bm25l,delta=-1", "BM25's delta"),
        ("bm25:lucene,delta=1", "has no delta"),
        (
            "bm25:language=klingon",
            "no stemmer for the language 'klingon'; leave it out, or give auto",
        ),
        ("bm25:language=", "no stemmer for the language ''"),
        ("bm25:language=de,language=de", "'language=de' in the encoder"),
    ],
)
def test_bad_names(name: str, said: str) -> None:
    with pytest.raises(EncoderError, match=said.replace("(", r"\(")):
        load_encoder(name)
