"""The kernel for WordPiece against the tokenizers library."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lsr.data.builtin import model_path
from lsr.encoders.text.tokens import Tokens
from lsr.encoders.text.wordpiece import KNOWN, read_wordpiece

POINTS = [point for known in KNOWN for point in known]
# Pieces of words, signs, what begins like a special token, and characters of every kind.
PARTS = st.one_of(
    st.sampled_from(
        ["un", "afford", "able", "the", "x" * 60, "[", "[SEP]", "[sep]", "]", " ", "##"]
    ),
    st.sampled_from(POINTS).map(chr),
    st.characters(min_codepoint=1, max_codepoint=0x7F),
    st.characters(exclude_categories=["Cs"]),
)
TEXTS = st.lists(PARTS, max_size=30).map("".join)


def builtin() -> dict[str, Any]:
    folder = model_path("splade-tiny")
    assert folder is not None
    read: dict[str, Any] = json.loads((Path(folder) / "tokenizer.json").read_text())
    return read


def write(folder: Path, tokenizer: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def by_library(folder: Path, max_length: int) -> Tokens:
    """The same tokens by the library alone: the kernel knows no sequence of one normalizer."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [tokenizer["normalizer"]]}
    with TemporaryDirectory() as made:
        other = write(Path(made) / "t", tokenizer)
        assert read_wordpiece((other / "tokenizer.json").read_bytes()) is None
        tokens = Tokens(other, max_length)
        tokens.encode([""])  # it is read when it is first needed
    return tokens


def same(fast: Tokens, slow: Tokens, texts: list[str]) -> None:
    for read in ("encode", "own"):
        found, expected = getattr(fast, read)(texts), getattr(slow, read)(texts)
        for text, ours, theirs in zip(texts, found, expected, strict=True):
            assert ours.dtype == np.uint32
            assert ours.tolist() == theirs.tolist(), ascii(text)


@pytest.mark.parametrize(
    ("lower", "strip", "chinese"),
    [*itertools.product((True, False), (None, True, False), (True, False))],
)
def test_every_known_character(
    tmp_path: Path, lower: bool, strip: bool | None, chinese: bool
) -> None:
    tokenizer = builtin()
    tokenizer["normalizer"].update(
        lowercase=lower, strip_accents=strip, handle_chinese_chars=chinese
    )
    folder = write(tmp_path / "t", tokenizer)
    texts = [f"Ab{c}Cd {c} {c}{c} x{c}" for c in map(chr, POINTS)]
    fast = read_wordpiece((folder / "tokenizer.json").read_bytes())
    assert fast is not None
    refused = [
        chr(p) for p, ids in zip(POINTS, fast.encode(texts, 99, True), strict=True) if ids is None
    ]
    assert refused == ["\u038b", "\u038d", "\u03a2"]  # which Unicode has not given away
    same(Tokens(folder, 99), by_library(folder, 99), texts)


BUILTIN = Path(str(model_path("splade-tiny")))
FAST = {length: Tokens(BUILTIN, length) for length in (3, 8, 256)}
SLOW = {length: by_library(BUILTIN, length) for length in FAST}


@given(st.sampled_from(list(FAST)), st.lists(TEXTS, max_size=4))
def test_any_text(length: int, texts: list[str]) -> None:
    same(FAST[length], SLOW[length], texts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\r\n",
        "a" * 100,
        "a" * 101,
        "é" * 100,
        "é" * 101,
        "x" * 100_000,
        "unaffable " * 10_000,
        "red [MASK] planet",
        "red [MAS",
        "planet " * 5 + "[SEP]" + " planet" * 300,
        "planet " * 300 + "[SEP]",
        "planet " * 300 + "漢字",
        "漢字 and ASCII",
        "naïve café \u2013 “quoted” … №5 ≠ 6 İstanbul ΣΊΣΥΦΟΣ",
        "soft\u00adhyphen, zero\u200bwidth, no\u00a0break, next\u0085line, bell\u0007, tab\u000bv",
        "🙂 emoji",
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_texts_with_a_catch(text: str) -> None:
    for length in FAST:
        same(FAST[length], SLOW[length], [text, "planet", text])


def test_a_whole_token_at_the_end_of_what_is_read() -> None:
    # The sixth id would be "[", were the token not looked for beyond what is read.
    texts = [f"{'planet ' * count}[SEP] red" for count in range(9)]
    same(FAST[8], SLOW[8], texts)


def test_common_text_needs_no_library() -> None:
    fast = read_wordpiece((BUILTIN / "tokenizer.json").read_bytes())
    assert fast is not None
    texts = ["Plain words.", "naïve café \u2013 “quoted”", "5 ≤ 6 €", "漢字", "🙂", "[SEP]"]
    taken = [ids is not None for ids in fast.encode(texts, 256, True)]
    assert taken == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["model"].update(type="BPE"),
        lambda t: t["normalizer"].update(clean_text=False),
        lambda t: t.update(normalizer=None),
        lambda t: t.update(normalizer={"type": "Lowercase"}),
        lambda t: t.update(pre_tokenizer={"type": "Whitespace"}),
        lambda t: t["added_tokens"][0].update(lstrip=True),
        lambda t: t["added_tokens"][0].update(special=False),
        lambda t: t["added_tokens"][0].update(normalized=True),
        lambda t: t["model"].update(unk_token="[NONE]"),
        lambda t: t["model"]["vocab"].update(minus=-1),
        lambda t: t["model"].pop("vocab"),
        lambda t: t.update(post_processor=None),
        lambda t: t["post_processor"].update(type="RobertaProcessing"),
        lambda t: t["post_processor"]["single"].append({"Sequence": {"id": "A", "type_id": 0}}),
    ],
)
def test_what_is_not_like_bert_is_left_to_the_library(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    tokenizer = builtin()
    change(tokenizer)
    assert (
        read_wordpiece((write(tmp_path / "t", tokenizer) / "tokenizer.json").read_bytes()) is None
    )


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_tokenizer_is_left_to_the_library(content: bytes) -> None:
    assert read_wordpiece(content) is None


def test_the_library_reads_what_was_read_first(tmp_path: Path) -> None:
    """It is loaded by the first text that needs it; the folder may be gone by then."""
    folder = write(tmp_path / "t", builtin())
    tokens, whole = Tokens(folder, 16), by_library(folder, 16)
    (folder / "tokenizer.json").unlink()
    same(tokens, whole, ["red planet", "red \u754c planet"])


def test_the_older_post_processor(tmp_path: Path) -> None:
    tokenizer = builtin()
    tokenizer["post_processor"] = {
        "type": "BertProcessing",
        "sep": ["[SEP]", 102],
        "cls": ["[CLS]", 101],
    }
    folder = write(tmp_path / "t", tokenizer)
    assert read_wordpiece((folder / "tokenizer.json").read_bytes()) is not None
    same(Tokens(folder, 16), by_library(folder, 16), ["red planet", ""])


def test_what_tokens_know_is_what_the_library_knows() -> None:
    fast, slow = FAST[256], Tokenizer.from_file(str(BUILTIN / "tokenizer.json"))
    assert fast.vocabulary == slow.get_vocab(with_added_tokens=True)
    assert fast.added == slow.num_special_tokens_to_add(False) == 2
    added = slow.get_added_tokens_decoder()
    assert fast.special.tolist() == sorted(t for t, about in added.items() if about.special)
