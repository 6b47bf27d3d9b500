"""What was opened stays what it was, while other processes put new editions in its place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import lsr
from lsr.data.corpus import Chunk
from lsr.data.vectors.folder import VectorFolder, write_vectors
from lsr.encoders import load_encoder
from lsr.errors import EncoderMismatch, IndexCorrupt, IndexFormatError, LsrError
from lsr.eval.experiments.run_cache import run_key
from lsr.index.format import Manifest
from lsr.indexing.dense import add_dense
from lsr.indexing.read_back import IndexVectors
from lsr.progress import Silent
from lsr.retrieval.named import learned_file
from lsr.storage.files import steady
from lsr.storage.manifest import MANIFEST
from lsr.training.sae import fit_sae
from support.system import before_call

# As many documents and as many words, in another order and at other places.
OLD = ["apple pie", "mango plum", "kiwi lime"]
NEW = ["mango plum", "kiwi lime", "apple pie"]


def records(texts: list[str], name: str) -> list[dict[str, str]]:
    return [
        {"id": f"{name}{number}", "title": name, "text": text} for number, text in enumerate(texts)
    ]


def everything(index: lsr.Index) -> Any:
    """What an index can be asked."""
    found = []
    for text in OLD:
        hits = index.search(text, 3)
        found.append((hits.ids.tolist(), hits.scores.tolist(), [str(h.explain()) for h in hits]))
        found.append([(hit.title, hit.text) for hit in hits])
        found.append(index.get(hits.ids[0]))
        if index.dense is not None:
            both = index.search(text, 3, hybrid="rrf")
            found.append((both.ids.tolist(), [str(h.explain()) for h in both]))
    words = index.reader.words
    assert words is not None
    found.append([words[term] for term in range(len(words))])
    found.append({key: value.tolist() for key, value in index.reader.word_columns.items()})
    return found


@pytest.mark.parametrize("encoder", ["bm25", "bm25+splade-tiny"])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("asked_before", [False, True])
def test_an_open_index_stays_its_edition(
    tmp_path: Path, dense_model: Path, encoder: str, dense: bool, asked_before: bool
) -> None:
    path = tmp_path / "i"
    for name, texts in (("twin", OLD), ("i", OLD)):
        lsr.Index.build(tmp_path / name, records(texts, "old"), encoder)
        if dense:
            add_dense(tmp_path / name, records(texts, "old"), str(dense_model), "sq8")
    index, twin = lsr.open(path), lsr.open(tmp_path / "twin")
    if asked_before:
        assert everything(index) == everything(twin)
    lsr.Index.build(path, records(NEW, "new"), encoder, force=True)
    if dense:
        add_dense(path, records(NEW, "new"), str(dense_model), "sq8")
    assert everything(index) == everything(twin)
    assert lsr.open(path).search("apple pie").ids.tolist()[0] == "new2"
    shutil.rmtree(path)
    assert everything(index) == everything(twin)
    assert index.info()["documents"] == 3


def test_dense_vectors_that_come_later_are_of_a_later_edition(
    tmp_path: Path, dense_model: Path
) -> None:
    index = lsr.Index.build(tmp_path / "i", records(OLD, "old"), "bm25")
    add_dense(tmp_path / "i", records(OLD, "old"), str(dense_model))
    assert index.dense is None
    with_dense = lsr.open(tmp_path / "i")
    hits = with_dense.search("apple", hybrid="rrf").ids.tolist()
    lsr.Index.build(tmp_path / "i", records(NEW, "new"), "bm25", force=True)
    assert lsr.open(tmp_path / "i").dense is None
    assert not (tmp_path / "i" / "dense").exists()
    assert with_dense.search("apple", hybrid="rrf").ids.tolist() == hits


def test_a_learned_fusion_is_of_one_edition(tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "i", records(OLD, "old"), "bm25")
    learned_file(index).write_text("{}")
    lsr.Index.build(tmp_path / "i", records(NEW, "new"), "bm25", force=True)
    assert not list((tmp_path / "i").glob("fusion*"))
    assert learned_file(lsr.open(tmp_path / "i")) != learned_file(index)


def test_a_kept_run_is_of_the_edition_that_was_searched(tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "i", records(OLD, "old"), "bm25")
    key = run_key(index.manifest.edition, "queries")
    lsr.Index.build(tmp_path / "i", records(NEW, "new"), "bm25", force=True)
    assert run_key(index.manifest.edition, "queries") == key
    assert run_key(lsr.open(tmp_path / "i").manifest.edition, "queries") != key


def test_the_same_documents_make_the_same_edition(tmp_path: Path) -> None:
    one = lsr.Index.build(tmp_path / "a", records(OLD, "old"), "bm25")
    other = lsr.Index.build(tmp_path / "b", records(OLD, "old"), "bm25")
    assert one.manifest.edition == other.manifest.edition
    again = lsr.Index.build(tmp_path / "a", records(OLD, "old"), "bm25", force=True)
    assert again.manifest == one.manifest
    assert one.search("apple").ids.tolist() == ["old0"]
    assert list(one.manifest.files) == [
        path.relative_to(tmp_path / "a").as_posix()
        for path in sorted((tmp_path / "a").rglob("*.arrow"))
    ]


def test_the_vectors_of_an_open_index_are_of_its_edition(tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "i", records(OLD, "old"), "bm25")
    lsr.Index.build(tmp_path / "i", records(NEW, "new"), "bm25", force=True)
    vectors = IndexVectors(index.reader, tmp_path / "spool", Silent)
    assert [chunk.texts for chunk in vectors.chunks()] == [OLD]


def test_an_open_folder_of_vectors_stays_its_edition(tmp_path: Path) -> None:
    def chunk(name: str) -> Chunk:
        row = lsr.SparseVectors.from_rows([([0, 1], [1.0, 2.0])])
        return Chunk([name], [""], [f"text of {name}"], row)

    write_vectors(tmp_path / "v", [chunk("old")], words=["apple", "pie"])
    folder = VectorFolder.open(tmp_path / "v")
    write_vectors(tmp_path / "v", [chunk("new")], words=["mango", "plum"], force=True)
    shutil.rmtree(tmp_path / "v" / "shards")
    assert [c.ids for c in folder.chunks()] == [["old"]]
    assert folder.words is not None
    assert folder.words[0] == "apple"
    lsr.indexing.build.build(tmp_path / "i", folder)
    index = lsr.open(tmp_path / "i")
    assert (index.get("old").text, index.reader.word(1)) == ("text of old", "pie")


def test_a_folder_too_large_to_be_mapped_is_read_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards_of: Callable[[int], None]
) -> None:
    # 16,385 shards take a minute to write.
    monkeypatch.setattr("lsr.data.vectors.folder._MOST_MAPPED", 1)
    shards_of(1)
    rows = lsr.SparseVectors.from_rows([([0], [1.0])] * 3)
    write_vectors(tmp_path / "v", [Chunk(["a", "b", "c"], None, None, rows)], words=None)
    folder = VectorFolder.open(tmp_path / "v")
    assert [c.ids for c in folder.chunks()] == [["a"], ["b"], ["c"]]
    write_vectors(tmp_path / "v", [Chunk(["d"], None, None, rows[:1])], words=None, force=True)
    with pytest.raises(LsrError, match="was written again since it was opened; open it again"):
        list(folder.chunks())


def test_a_loaded_autoencoder_stays_its_edition(tmp_path: Path, dense_model: Path) -> None:
    documents = [{"id": str(n), "text": f"{n} glass bees {n * 7}"} for n in range(40)]
    fit_sae(tmp_path / "s", documents, str(dense_model), active=4, seed=1)
    encoder = load_encoder(str(tmp_path / "s"))
    # The second is for a tokenizer that is made when it is needed.
    texts = ["bees", "glass 界 bees"]
    identity, vectors = encoder.identity, load_encoder(str(tmp_path / "s")).encode_queries(texts)
    fit_sae(tmp_path / "s", documents, str(dense_model), active=4, seed=2, force=True)
    assert load_encoder(str(tmp_path / "s")).identity["content_hash"] != identity["content_hash"]
    assert (encoder.identity, encoder.encode_queries(texts)) == (identity, vectors)
    modules = json.loads((tmp_path / "s" / "modules.json").read_text())
    folders = sorted(path.name for path in (tmp_path / "s").iterdir() if path.is_dir())
    assert sorted(module["path"] for module in modules) == folders


def test_a_model_that_is_loaded_late_is_the_one_that_was_named(tmp_path: Path) -> None:
    """Its folder is another program's, which may replace it; then it is refused."""
    folder = tmp_path / "model"
    shutil.copytree(str(lsr.encoders.checkpoints.checkpoint.model_path("splade-tiny")), folder)
    (folder / "idf.json").write_text('{"copper": 2.0}')
    documents = [{"id": "a", "text": "copper mines"}]
    index = lsr.Index.build(tmp_path / "i", documents, f"inference-free:{folder}")
    restored = index.encoder  # which has asked for no model yet
    weights = load_file(folder / "model.safetensors")
    first = sorted(weights)[0]
    weights[first] = weights[first] + 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EncoderMismatch, match="was replaced after this encoder was made of it"):
        restored.encode_documents(["copper mines"])


# Opening.


def test_opening_goes_again_when_an_edition_was_published_meanwhile(tmp_path: Path) -> None:
    """Before every file that is opened, another process publishes."""
    path = tmp_path / "i"
    lsr.Index.build(path, records(OLD, "old"), "bm25")
    count, busy = 0, False

    def publishing(file: Any) -> None:
        nonlocal count, busy
        if not busy and count < 30 and Path(os.fsdecode(file)).is_relative_to(path / "segments"):
            count, busy = count + 1, True
            texts, name = ((NEW, "new"), (OLD, "old"))[count % 2]
            lsr.Index.build(path, records(texts, name), "bm25", force=True)
            busy = False

    with before_call("pyarrow.memory_map", publishing):
        index = lsr.open(path)
    assert count == 30
    ids = index.search("apple").ids.tolist()
    assert ids == (["new2"] if index.get(ids[0]).title == "new" else ["old0"])


def test_damage_is_damage_when_nothing_was_published(tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "i", records(OLD, "old"), "bm25")
    next((tmp_path / "i" / "segments").rglob("documents.arrow")).unlink()
    with pytest.raises(IndexCorrupt, match="the file is missing"):
        lsr.open(tmp_path / "i")
    assert index.search("apple").ids.tolist() == ["old0"]


def test_steady(tmp_path: Path) -> None:
    commit, calls = tmp_path / "manifest.json", []

    def attempt(outcome: Callable[[], int], changes: int) -> Callable[[], int]:
        def made() -> int:
            calls.append(0)
            if len(calls) <= changes:
                (tmp_path / "next").write_text("x" * len(calls))
                (tmp_path / "next").replace(commit)
            return outcome()

        return made

    def failing() -> int:
        raise FileNotFoundError if len(calls) < 3 else LsrError("no")

    for changes in (0, 1, 5):
        calls.clear()
        assert steady(commit, attempt(lambda: 7, changes)) == 7
        assert len(calls) == changes + 1
    calls.clear()
    with pytest.raises(LsrError, match="no"):
        steady(commit, attempt(failing, 4))
    assert len(calls) == 5
    calls.clear()
    with pytest.raises(FileNotFoundError):
        steady(commit, attempt(failing, 0))


# Places.


def test_the_current_folder(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("index", corpus, "-o", ".", "--encoder", "bm25").code == 0
    assert run("search", ".", "copper").code == 0
    assert run("index", corpus, "-o", ".", "--encoder", "bm25", "--force").code == 0
    assert len(lsr.open(".")) == 144
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "here"]


def test_links_lead_to_their_targets(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, dense_model: Path
) -> None:
    (tmp_path / "other").mkdir()
    link, target = tmp_path / "link", tmp_path / "other" / "target"
    link.symlink_to(target)  # which is not there yet
    command = ["index", corpus, "-o", link, "--encoder", "bm25", "--dense", dense_model]
    assert run(*command).code == 0
    assert run(*command, "--force").code == 0
    assert link.is_symlink()
    assert lsr.open(target).dense is not None
    vectors = tmp_path / "vectors"
    vectors.symlink_to(tmp_path / "other" / "v")
    for force in ([], ["--force"]):
        assert run("encode", corpus, "-o", vectors, "--encoder", "bm25", *force).code == 0
    assert VectorFolder.open(tmp_path / "other" / "v").documents == 144


def test_relative_paths_hold_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dense_model: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(dense_model, "model")
    lsr.Index.build("i", records(OLD, "old"), "bm25")
    add_dense(Path("i"), records(OLD, "old"), "model")
    index = lsr.open("i")
    lsr.Index.build("w", records(OLD, "old"), "bm25")
    folder_path = Path("v")
    rows = lsr.SparseVectors.from_rows([([0], [1.0])])
    write_vectors(folder_path, [Chunk(["a"], None, None, rows)], words=None)
    folder = VectorFolder.open(folder_path)
    monkeypatch.chdir("/")
    assert index.path == tmp_path / "i"
    assert index.search("apple", hybrid="rrf").ids[0] == "old0"
    assert index.dense is not None
    assert index.get("old0").text == "apple pie"
    assert [chunk.ids for chunk in folder.chunks()] == [["a"]]


def test_an_unfinished_index_says_so(tmp_path: Path) -> None:
    (tmp_path / "i" / "partial").mkdir(parents=True)
    with pytest.raises(IndexFormatError, match=r"i is unfinished; run the `lsr index` that was"):
        lsr.open(tmp_path / "i")
    with pytest.raises(IndexFormatError, match=r"is not an index: it has no manifest\.json"):
        lsr.open(tmp_path)


def test_opening_holds_no_descriptors(hybrid_index: lsr.Index, tmp_path: Path) -> None:
    """A process may have a thousand of them, and as many indexes have thirteen files each."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system does not list descriptors")
    before = len(list(descriptors.iterdir()))
    opened = [lsr.open(hybrid_index.path) for _ in range(20)]
    assert len(list(descriptors.iterdir())) == before
    assert {len(index) for index in opened} == {24}
    assert np.isfinite(opened[3].search("copper").scores).all()


def test_manifests_name_their_edition(hybrid_index: lsr.Index) -> None:
    manifest = Manifest.read(hybrid_index.path)
    assert manifest == hybrid_index.manifest
    assert json.loads((hybrid_index.path / MANIFEST).read_text())["edition"] == manifest.edition
