"""Builds editions of one index over and over, and reads them, each in a process of its own.

    python -m support.rebuilding build PATH MODEL FIRST COUNT   editions FIRST to FIRST + COUNT - 1
    python -m support.rebuilding read PATH SEED                 until standard input ends

A reader checks every answer against the edition that it opened, and prints what it saw as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from pathlib import Path
from typing import Any

import lsr
from lsr.indexing.dense import add_dense

WORDS = ["apple", "mango", "kiwi", "plum", "lime", "fig", "date", "pear"]
ENCODERS = ["bm25", "bm25+splade-tiny"]


def documents(edition: int) -> list[dict[str, str]]:
    """The same words and as many documents in every edition, in an order of its own."""
    shuffled = WORDS.copy()
    random.Random(edition).shuffle(shuffled)
    return [
        {
            "id": f"{edition}-{number}",
            "title": f"of edition {edition}",
            "text": f"{shuffled[number]} {shuffled[number - 1]}",
        }
        for number in range(len(WORDS))
    ]


def build(path: Path, model: Path, edition: int) -> None:
    """Publish an edition, and then its dense vectors."""
    made = documents(edition)
    lsr.Index.build(path, made, ENCODERS[edition % 2], force=True)
    add_dense(path, made, str(model), force=True)


def check(index: lsr.Index, chance: random.Random) -> tuple[int, bool]:
    """Ask an index and compare all that it says with one edition: its number, and whether it has
    dense vectors."""
    edition = int(index.search(WORDS[0], 1).ids[0].partition("-")[0])
    made = {document["id"]: document for document in documents(edition)}
    name = ENCODERS[edition % 2]
    assert index.manifest.encoder is not None
    assert index.manifest.encoder["name"] == name
    for _ in range(3):
        word = chance.choice(WORDS)
        with_word = {id for id, document in made.items() if word in document["text"].split()}
        hits = index.search(word, 8)
        assert with_word <= set(hits.ids.tolist()) <= set(made), hits.ids
        for hit in hits:
            assert (hit.title, hit.text) == (made[hit.id]["title"], made[hit.id]["text"])
            if hit.id in with_word:
                literal = hit.explain().literal_words()
                assert any(word.startswith(term) for term in literal), (word, literal)
        document = made[chance.choice(sorted(made))]
        assert index.get(document["id"]).text == document["text"]
        if index.dense is not None:
            both = index.search(document["text"], 8, hybrid="minmax")
            assert set(both.ids.tolist()) == set(made)
            text = f"{document['title']} {document['text']}"
            places, _ = index.dense.search(index.dense_encoder.encode_documents([text]), 1)[0]
            assert index.reader.id_of(int(index.reader.docids_of(places)[0])) == document["id"]
    return edition, index.dense is not None


def read(path: Path, seed: int) -> None:
    """Open and check until standard input ends."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    chance = random.Random(seed)
    seen: dict[str, int] = {}
    problems: list[str] = []
    while not ended.is_set():
        try:
            index = lsr.open(path)
            ended.wait(chance.random() / 20)
            found: Any = None
            for _ in range(2):
                found = check(index, chance)
                ended.wait(chance.random() / 20)
            seen[str(found)] = seen.get(str(found), 0) + 1
        except Exception as error:  # whatever it is, the one who started this process is to know
            problems.append(f"{type(error).__name__}: {error}")
    print(json.dumps({"seen": seen, "problems": problems}))


if __name__ == "__main__":
    command, path, *rest = sys.argv[1:]
    if command == "build":
        model, first, count = rest
        for edition in range(int(first), int(first) + int(count)):
            build(Path(path), Path(model), edition)
            print(edition, flush=True)
    else:
        read(Path(path), int(*rest))
