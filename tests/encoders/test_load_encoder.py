from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lsr.encoders import load_encoder, restore_encoder
from lsr.errors import EncoderError, EncoderMismatch


def test_lexical_search_imports_no_model_library() -> None:
    program = """
import sys
import lsr.encoders as encoders
assert "numba" not in sys.modules and "Stemmer" not in sys.modules
built = encoders.load_encoder("bm25:atire,k1=1.2")
built.apply_statistics(built.collect(["red planets", "blue moons"]))
again = encoders.restore_encoder(built.identity, built.vocabulary, built.term_columns())
assert len(again.encode_queries(["planet"]).terms) == 1
heavy = {"torch", "transformers", "tokenizers", "huggingface_hub"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("name", ["", "splade-tinny", "/no/such/folder", "a/b/c", "bm26:lucene"])
def test_unknown_name_says_what_is_accepted(name: str) -> None:
    with pytest.raises(EncoderError, match=r"no encoder .*give a built-in model.*bm25"):
        load_encoder(name)


def test_a_kind_is_an_entry_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add_kind: Callable[[str, str], None]
) -> None:
    (tmp_path / "constant_encoder_kind.py").write_text(
        "from lsr.encoders.lexical.bm25 import load as bm25\n"
        "def load(name, settings):\n"
        "    encoder = bm25('bm25', settings)\n"
        "    encoder.name = name\n"
        "    return encoder\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    add_kind("constant", "constant_encoder_kind")
    assert load_encoder("constant:1").name == "constant:1"
    add_kind("absent", "constant_encoder_kind_without_package")
    with pytest.raises(EncoderError, match=r"'absent' need the package constant_.*install it"):
        load_encoder("absent")


def test_restoring_an_unknown_kind_is_refused() -> None:
    vocabulary = load_encoder("bm25").vocabulary
    with pytest.raises(EncoderError, match="kind 'hologram'"):
        restore_encoder({"kind": "hologram", "name": "x"}, vocabulary, {})
    with pytest.raises(EncoderError, match="kind None"):
        restore_encoder({}, vocabulary, {})


def test_restoring_with_another_kind_is_a_mismatch() -> None:
    built = load_encoder("bm25")
    with pytest.raises(EncoderMismatch, match=r"'bm25'.*'splade-tiny' is of the kind 'learned'"):
        restore_encoder(
            built.identity, built.vocabulary, built.term_columns(), source="splade-tiny"
        )
