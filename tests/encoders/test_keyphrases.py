"""CASPER: phrases mined, added to a checkpoint, pooled their own way, and explained."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lsr
from lsr.encoders import load_encoder
from lsr.encoders.text.tokens import Tokens
from lsr.encoders.training.keyphrases import add_phrases, covering, mine
from lsr.errors import EncoderError
from support.system import before_call

from .conftest import IN_TORCH, ROWS, WORDS

MakeCheckpoint = Callable[..., Path]
LENGTH = 24
TEXTS = [
    "red",
    "the red planet, saturns rings. " * 8,
    "",
    "Mars is known as the Red Planet with rings",
    "qq a",
    "redplanet planet red",
]
FEW = ["red planet", "known as the red planet", "with rings"]
WORDS_ALONE = [word for word in WORDS if word.isalpha()]
MANY = FEW + [f"{a} {b}" for a, b in itertools.combinations(WORDS_ALONE[:9], 2)]


class Plain:
    """A saved folder through transformers alone, one text at a time."""

    def __init__(self, folder: Path, phrases: list[str]) -> None:
        import torch
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        self.torch: Any = torch
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForMaskedLM.from_pretrained(folder).float().eval()
        self.phrases = self.tokenizer.convert_tokens_to_ids(phrases)

    def logits(self, text: str) -> Any:
        ids = self.tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"]
        with self.torch.inference_mode():
            return self.model(self.torch.tensor([ids])).logits[0]

    def casper(self, text: str) -> Any:
        weights = self.torch.log(1 + self.torch.clamp(self.logits(text), min=0))
        found = weights.amax(0)
        for term in self.phrases:
            found[term] = weights[:, term].sum()
        return found.numpy()


def dense(vectors: lsr.SparseVectors, terms: int) -> Any:
    matrix = np.zeros((len(vectors), terms), np.float32)
    for row, vector in enumerate(vectors):
        assert (np.diff(vector.terms.astype(np.int64)) > 0).all()
        matrix[row, vector.terms] = vector.weights
    return matrix


@pytest.mark.parametrize("phrases", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "modernbert", "xlm-roberta"])
def test_formula(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, kind: str, phrases: list[str]
) -> None:
    folder = tmp_path / "phrases"
    assert add_phrases(str(make_checkpoint(kind)), phrases, folder) == list(dict.fromkeys(phrases))
    plain = Plain(folder, phrases)
    encoder: Any = load_encoder(str(folder), max_length=LENGTH)
    assert encoder.identity["document"]["phrases"] == "sum"
    terms = max(ROWS, max(plain.phrases) + 1)
    assert len(encoder.vocabulary) == terms
    wanted = np.stack([plain.casper(text) * bool(text) for text in TEXTS])
    assert (wanted[:, plain.phrases] > 0).any()
    for encode in (encoder.encode_documents, encoder.encode_queries):
        assert np.abs(dense(encode(TEXTS), terms) - wanted).max() < 1e-4
    pooled_alike = dense(
        load_encoder(f"splade-max:{folder}", max_length=LENGTH).encode_documents(TEXTS), terms
    )
    others = np.setdiff1d(np.arange(terms), plain.phrases)
    assert pooled_alike[:, others] == pytest.approx(wanted[:, others], abs=1e-4)
    assert np.abs(pooled_alike - wanted).max() > 0.1


def test_torch_pools_phrases_their_own_way_too(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, pooled_by_torch: Callable[[], None]
) -> None:
    add_phrases(str(make_checkpoint()), FEW, tmp_path / "phrases")
    name = str(tmp_path / "phrases")
    wanted = dense(load_encoder(name, max_length=LENGTH).encode_documents(TEXTS), ROWS)
    for change in (lambda: None, pooled_by_torch):
        change()
        in_torch = load_encoder(name, max_length=LENGTH, **IN_TORCH)
        found = dense(in_torch.encode_documents(TEXTS), ROWS)
        assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
@pytest.mark.parametrize("phrases", [FEW, MANY], ids=["few", "many"])
def test_a_phrase_begins_as_the_mean_of_its_tokens(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, kind: str, phrases: list[str]
) -> None:
    before = make_checkpoint(kind)
    add_phrases(str(before), phrases, tmp_path / "phrases")
    old, new = Plain(before, []), Plain(tmp_path / "phrases", phrases)
    text = "venus , mars . saturn"  # holds no phrase
    was, now = old.logits(text), new.logits(text)
    kept = min(new.phrases)
    assert now[:, :kept] == pytest.approx(was[:, :kept], abs=1e-4)
    words = old.model.get_input_embeddings().weight
    for phrase, term in zip(phrases, new.phrases, strict=True):
        pieces = old.tokenizer(phrase, add_special_tokens=False)["input_ids"]
        assert len(pieces) > 1
        assert now[:, term] == pytest.approx(was[:, pieces].mean(1), abs=1e-4)
        embedding = new.model.get_input_embeddings().weight[term].detach()
        assert embedding == pytest.approx(words[pieces].mean(0).detach(), abs=1e-6)


def test_saved_loaded_indexed_searched_and_explained(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    add_phrases(str(make_checkpoint()), FEW, tmp_path / "phrases")
    encoder: Any = load_encoder(str(tmp_path / "phrases"), max_length=LENGTH)
    encoder.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "modules.json").exists()  # it has no form for phrases
    saved: Any = load_encoder(str(tmp_path / "saved"), max_length=LENGTH)
    assert saved.identity["document"] == encoder.identity["document"]
    assert saved.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)
    documents = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]
    lsr.Index.build(tmp_path / "index", documents, saved)
    index = lsr.open(tmp_path / "index")
    assert index.reader.find_term("red planet") is not None
    best = index.search("the red planet with rings", 1)[0]
    explained = best.explain()
    assert sum(match.product for match in explained.terms) == best.score
    kinds = {match.term: match.kind for match in explained.terms}
    phrases = set(kinds) & set(FEW)
    assert phrases
    literal = {
        index.reader.word(int(term)) for term in saved.literal_terms("the red planet with rings")
    }
    assert literal == {"the", "red planet", "with rings"}
    assert all(kind == "expansion" for term, kind in kinds.items() if term not in literal)


def test_a_phrase_is_a_token_where_it_stands_as_words(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    add_phrases(str(make_checkpoint()), FEW, tmp_path / "phrases")
    tokens = Tokens(tmp_path / "phrases", LENGTH)
    words = {term: word for word, term in tokens.vocabulary.items()}

    def read(text: str) -> list[str]:
        return [words[int(term)] for term in tokens.encode([text])[0]][1:-1]

    assert [words[int(term)] for term in tokens.phrases] == FEW
    assert read("the Red Planet.") == ["the", "red planet", "."]
    assert read("known as the red planet") == ["known as the red planet"]
    assert read("red planets") == ["red", "planet", "##s"]


def test_the_start_of_a_long_text_never_ends_within_a_phrase(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    add_phrases(str(make_checkpoint()), ["red planet mars"], tmp_path / "phrases")
    tokens = Tokens(tmp_path / "phrases", 3)
    text = " " * 84 + "red planet mars is known"  # 32 characters a token: cut before "mars"
    assert tokens.encode([text])[0][1] == tokens.vocabulary["red planet mars"]
    long = "the " * 100_000
    assert tokens.encode([long])[0][1] == tokens.vocabulary["the"]


def test_no_partial_folder_and_clear_errors(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    checkpoint, folder = str(make_checkpoint()), tmp_path / "phrases"
    with pytest.raises(EncoderError, match="none of the 3 phrases is new"):
        add_phrases(checkpoint, ["red", "red", " "], folder)
    with pytest.raises(EncoderError, match="there is no encoder"):
        add_phrases(str(tmp_path / "none"), FEW, folder)
    unicoil = str(make_checkpoint("bert", "other", head="unicoil"))
    with pytest.raises(EncoderError, match="not a single language model"):
        add_phrases(unicoil, FEW, folder)

    def full(path: Any, *_: Any) -> None:
        if Path(path).name == "lsr.json":
            raise OSError("full")

    with (
        before_call("io.open", full),
        pytest.raises(EncoderError, match="cannot be written: full"),
    ):
        add_phrases(checkpoint, FEW, folder)
    assert not list(tmp_path.glob("phrases*"))
    assert add_phrases(checkpoint, [*FEW, "red", FEW[0]], folder) == FEW
    with pytest.raises(EncoderError, match="already exists"):
        add_phrases(checkpoint, FEW, folder)


# Mining


def test_mining_a_collection_made_for_it() -> None:
    about = ["green tea", "breast cancer", "type 2 diabetes", "sleep apnea"]
    texts = [
        f"We study the {about[number % 4]}. Results, in general, are of number {number} things."
        for number in range(40)
    ]
    texts += [f"Of {about[0]} and {about[1]}: nothing {number}." for number in range(3)]
    found = mine(texts, 100, 8)
    assert set(about) <= set(found)
    for phrase in found:
        first, *_, last = phrase.split()
        assert not {first, last} & {"the", "of", "and", "we", "are", "in"}
        assert not any(mark in phrase for mark in ".,:")
        assert not first[0].isdigit()
        assert not last[0].isdigit()
        assert 2 <= len(phrase.split()) <= 4
    assert mine(texts, 2, 8) == found[:2]
    assert mine(iter(texts), 100, 8) == found
    assert not any("tea results" in phrase for phrase in found)  # never over a full stop


def test_what_is_in_every_document_is_no_keyphrase() -> None:
    words = ["red", "planet", "mars", "venus", "rings"]
    texts = [
        "; ".join(["present study", *(f"topic{number % 4} {word}" for word in words)])
        for number in range(20)
    ]
    found = mine(texts, 100, 5)
    assert len(found) == 4 * 5
    assert "present study" not in found


def test_words_of_one_letter_and_with_marks_are_kept() -> None:
    texts = ["Vitamin D levels in Crohn's disease, and T-cell leukemia."] * 5
    found = mine(texts, 100, 5)
    assert {"vitamin d levels", "crohn's disease", "t-cell leukemia"} <= set(found)
    assert "vitamin d" not in found  # ends with a single letter


@pytest.mark.parametrize("texts", [[], [""], ["the of and", "a"], ["green tea", "red wine"]])
def test_nothing_to_be_found(texts: list[str]) -> None:
    with pytest.raises(EncoderError, match="no phrase is a keyphrase of at least 2 documents"):
        mine(texts, 10, 2)


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.lists(st.integers(0, 12), min_size=1, unique=True),
        max_size=12,
    )
)
def test_covering_is_greedy(documents: dict[str, list[int]]) -> None:
    """Against the definition, which looks at all phrases at each step."""
    left, covered, wanted = dict(documents), set[int](), []
    while left:
        gains = {phrase: len(set(own) - covered) for phrase, own in left.items()}
        best = min(left, key=lambda phrase: (-gains[phrase], phrase))
        if gains[best] == 0:
            break
        wanted.append(best)
        covered |= set(left.pop(best))
    wanted += sorted(left, key=lambda phrase: (-len(left[phrase]), phrase))
    assert covering(documents) == wanted


def test_declared_sides(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    add_phrases(str(make_checkpoint()), FEW, tmp_path / "phrases")
    declared = json.loads((tmp_path / "phrases" / "lsr.json").read_text())
    assert declared["query"] == declared["document"]
    assert (declared["query"]["pooling"], declared["query"]["phrases"]) == ("max", "sum")
