"""Keyphrases of a collection as terms of their own, as CASPER has them.

`mine` finds phrases in three steps, the first of which stands in for the neural extractor of
the paper; `add_phrases` writes a checkpoint whose tokenizer and model have them.

1. Candidates are runs of 2 to 4 words within a clause that neither begin nor end with a function
   word (scikit-learn's English list), a number or a single letter.  Of each document the 5 of the
   largest tf-idf are its keyphrases.
2. Those that are keyphrases of at least `least` documents remain.
3. Of these are taken, one after another, the one that most documents have that have none yet (the
   greedy algorithm for maximum coverage), and when none covers more, the most frequent.

L. T. Do et al., "CASPER: Concept-integrated sparse representation for scientific retrieval" (2025),
section 3, with 30,000 phrases of at least 20 of 10 million documents.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lsr.encoders.checkpoints.checkpoint import ADAPTER, find
from lsr.encoders.checkpoints.layouts import DECLARATION, check_model, check_tokenizer, read_layout
from lsr.encoders.checkpoints.writing import write_json
from lsr.encoders.methods import METHODS
from lsr.errors import EncoderError
from lsr.storage.workspace import check_new, new_folder

OF_A_DOCUMENT = 5
WORDS = (2, 4)
_CLAUSES = re.compile(r"[^\w\s'\u2019/-]+|\s[-\u2013\u2014/]+\s|\n\s*\n")
_WORD = r"(?u)[^\W_]+(?:['\u2019/-][^\W_]+)*"


def mine(texts: Iterable[str], count: int = 30_000, least: int = 20) -> list[str]:
    """At most `count` keyphrases of a collection, in lower case, the most covering first.

    The phrases of all texts are held in memory, about 40 kB a text of 200 words: give a sample of
    a large collection.

    Args:
        least: the documents that a phrase must be a keyphrase of.

    Raises `EncoderError` when scikit-learn is not installed, or nothing is found.
    """
    try:
        from sklearn.feature_extraction.text import (
            ENGLISH_STOP_WORDS,
            CountVectorizer,
            TfidfTransformer,
        )
    except ImportError:
        raise EncoderError(
            "keyphrases are mined with scikit-learn, which is not installed; install "
            "lsr-engine[keyphrases]"
        ) from None
    phrases_of = CountVectorizer(ngram_range=WORDS, token_pattern=_WORD).build_analyzer()

    def may_end(word: str) -> bool:
        return len(word) > 1 and not word[0].isdigit() and word not in ENGLISH_STOP_WORDS

    def candidates(text: str) -> list[str]:
        return [
            phrase
            for clause in _CLAUSES.split(text)
            for phrase in phrases_of(clause)
            if may_end(phrase[: phrase.index(" ")]) and may_end(phrase[phrase.rindex(" ") + 1 :])
        ]

    counter = CountVectorizer(analyzer=candidates)
    try:
        weighed = TfidfTransformer().fit_transform(counter.fit_transform(texts)).tocsr()
    except ValueError:  # its word for texts without any candidate
        raise _none(least) from None
    documents: dict[int, list[int]] = {}
    for number in range(weighed.shape[0]):
        row = slice(weighed.indptr[number], weighed.indptr[number + 1])
        terms = weighed.indices[row]
        for entry in np.lexsort((terms, -weighed.data[row]))[:OF_A_DOCUMENT]:
            documents.setdefault(int(terms[entry]), []).append(number)
    names = counter.get_feature_names_out()
    kept = {str(names[p]): numbers for p, numbers in documents.items() if len(numbers) >= least}
    if not kept:
        raise _none(least)
    return covering(kept)[:count]


def covering(documents: dict[str, list[int]]) -> list[str]:
    """The phrases in the order in which they cover most documents."""
    covered: set[int] = set()
    covering: list[str] = []
    # What a phrase adds never grows, so one whose old count is the largest and still holds is it.
    heap = [(-len(numbers), phrase) for phrase, numbers in documents.items()]
    heapq.heapify(heap)
    rest: list[tuple[int, str]] = []
    while heap:
        gain, phrase = heapq.heappop(heap)
        now = -sum(number not in covered for number in documents[phrase])
        if now == 0:
            rest.append((-len(documents[phrase]), phrase))
        elif now == gain:
            covering.append(phrase)
            covered.update(documents[phrase])
        else:
            heapq.heappush(heap, (now, phrase))
    return covering + [phrase for _, phrase in sorted(rest)]


def add_phrases(name: str, phrases: Sequence[str], folder: Path) -> list[str]:
    """Write a checkpoint with phrases as terms, declared as CASPER; all of it or nothing.

    In texts a phrase is one token where it stands as whole words.  Its embedding, its row of the
    output layer and its bias are the means of its tokens' before: a beginning for training, which
    is what makes a phrase mean more than its words.

    Args:
        name: a checkpoint with a language model, as for `lsr.load_encoder`.
        phrases: those that are tokens already are passed over.
        folder: a new folder.

    Returns the phrases added.  Raises `EncoderError` when the checkpoint is of another kind, the
    folder exists or cannot be written, or no phrase is new.
    """
    check_new(folder, EncoderError)
    layout = read_layout(find(name).folder, None, None, "splade-max")
    source = layout.document_folder
    if layout.document.head != "mlm" or len(layout.folders) > 1 or (source / ADAPTER).exists():
        raise EncoderError(
            f"{name} is not a single language model, and phrases can be added to no other; give a "
            "checkpoint of SPLADE"
        )
    check_model(source, "mlm")
    check_tokenizer(source)
    from lsr.encoders.models.torch_loading import load_language_model, quiet

    model = load_language_model(source)
    sides = METHODS["casper"]
    declared = {"query": sides.query.to_json(), "document": sides.document.to_json()}
    with new_folder(folder, EncoderError) as partial, quiet():
        tokenizer, added = _tokenizer(source, phrases)
        pieces = [tokenizer(phrase, add_special_tokens=False)["input_ids"] for phrase in added]
        _grow(model, tokenizer, added, pieces)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        write_json(partial / DECLARATION, declared)
    return added


def _tokenizer(source: Path, phrases: Sequence[str]) -> tuple[Any, list[str]]:
    """A folder's tokenizer, and the phrases that are new to it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        source, local_files_only=True, trust_remote_code=False
    )
    known = tokenizer.get_vocab()
    added = [phrase for phrase in dict.fromkeys(phrases) if phrase.strip() and phrase not in known]
    if not added:
        raise EncoderError(f"none of the {len(phrases):,} phrases is new to {source}; give others")
    return tokenizer, added


def _grow(model: Any, tokenizer: Any, added: Sequence[str], pieces: Sequence[list[int]]) -> None:
    """Give tokenizer and model the phrases, each as the mean of its pieces."""
    import torch
    from tokenizers import AddedToken

    tokenizer.add_tokens(
        [AddedToken(phrase, single_word=True, normalized=True) for phrase in added]
    )
    size = max(model.get_input_embeddings().num_embeddings, len(tokenizer))
    model.resize_token_embeddings(size, mean_resizing=False)
    words, head = model.get_input_embeddings(), model.get_output_embeddings()
    # A tied weight is there once, and gets its means once.
    grown = {id(part): part for part in (words.weight, head.weight, head.bias) if part is not None}
    terms = tokenizer.convert_tokens_to_ids(list(added))
    with torch.no_grad():
        for term, piece_ids in zip(terms, pieces, strict=True):
            for part in grown.values():
                part[term] = part[piece_ids].mean(0)


def _none(least: int) -> EncoderError:
    return EncoderError(
        f"no phrase is a keyphrase of at least {least} documents; give more documents, or a "
        "smaller --least"
    )
