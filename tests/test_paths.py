"""Paths wherever text names a folder or a file, and folders that are current for a while only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lsr
from lsr.arguments import named
from lsr.data.corpus import open_corpus
from lsr.data.queries import QueryFile, read_queries
from lsr.encoders.dense.encoder import load_dense, restore_dense
from lsr.encoders.names import lasting_name
from lsr.errors import CorpusError, EncoderError
from lsr.eval.comparison import compare_runs
from lsr.eval.dataset import load_dataset, parts_of
from lsr.eval.experiments.experiment import evaluate_run
from lsr.eval.qrels import read_qrels
from lsr.eval.runs import read_run, write_run
from lsr.indexing.dense import add_dense
from lsr.progress import Silent
from support.tiny_csr import write_tiny_csr

TEXTS = ["who repairs tidal mills", "copper, copper"]


@pytest.fixture
def folders(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    documents: list[dict[str, str]],
    write_jsonl: Callable[..., Path],
    dense_model: Path,
) -> Path:
    """Models and a dataset under relative names, in the folder that is current."""
    home = tmp_path / "home"
    write_tiny_csr(home / "models" / "csr")
    shutil.copytree(dense_model, home / "models" / "dense")
    tiny = Path(lsr.__file__).parent / "data" / "models" / "splade-tiny"
    shutil.copytree(tiny, home / "models" / "splade+tiny")
    write_jsonl(home / "set" / "corpus.jsonl", [{**d, "_id": d["id"]} for d in documents[:9]])
    write_jsonl(home / "set" / "queries.jsonl", [{"_id": "q", "text": "harbour pilots"}])
    (home / "set" / "qrels").mkdir()
    (home / "set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td000\t1\n")
    write_run(home / "a.trec", [("q", ["d000", "d001"], [2, 1])], "t")
    write_run(home / "b.trec", [("q", ["d001", "d000"], [2, 1])], "t")
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[], None]:
    """Make another folder the current one."""

    def go() -> None:
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        os.chdir(tmp_path / "elsewhere")

    return go


@pytest.mark.parametrize(
    "given_",
    [
        "models/csr",
        "models/splade+tiny",
        "dsr:models/splade+tiny",
        Path("models/csr"),
        Path("models/splade+tiny"),
    ],
    ids=repr,
)
def test_encoders_do_not_depend_on_the_current_folder(
    folders: Path, elsewhere: Callable[[], None], given_: str | Path
) -> None:
    documents = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    encoder = lsr.load_encoder(given_)
    built = lsr.Index.build(Path("built"), documents, given_)
    looked = lsr.show_terms(TEXTS[0], given_)
    lasting = lasting_name(given_)
    identity = built.manifest.encoder
    assert identity is not None
    inner = identity.get("encoder", identity)
    assert inner["source"] == str(folders / str(given_).removeprefix("dsr:"))
    elsewhere()
    vectors = encoder.encode_documents(TEXTS)  # loads the model now
    assert lsr.show_terms(TEXTS[0], encoder).terms == looked.terms
    assert lsr.load_encoder(lasting).encode_documents(TEXTS) == vectors
    again = lsr.open(folders / "built")
    assert again.encoder.encode_documents(TEXTS) == vectors
    os.chdir(folders)
    again = lsr.open("built")
    again.use_encoder(given_)
    elsewhere()
    assert again.encoder.encode_documents(TEXTS) == vectors


@pytest.mark.parametrize("given_", ["models/dense", Path("models/dense")])
def test_dense_encoders_do_not_depend_on_the_current_folder(
    folders: Path, elsewhere: Callable[[], None], given_: str | Path
) -> None:
    encoder = load_dense(given_, threads=np.int64(1), max_length=np.int64(9))
    assert encoder.max_length == 9
    identity = encoder.identity
    assert identity["source"] == str(folders / "models" / "dense")
    restored = restore_dense(identity, source=given_, threads=np.int64(1))
    elsewhere()
    vectors = encoder.encode_documents(TEXTS)
    assert np.array_equal(restored.encode_documents(TEXTS), vectors)
    assert np.array_equal(restore_dense(identity).encode_documents(TEXTS), vectors)
    for argument in ("threads", "max_length"):
        with pytest.raises(EncoderError, match=f"{argument} must be a whole number of at least 1"):
            load_dense(folders / "models" / "dense", **{argument: 2.0})


def test_names_that_last(folders: Path) -> None:
    assert lasting_name("bm25+splade-tiny") == "bm25+splade-tiny"
    assert lasting_name("bm25:bm25+,k1=1.2") == "bm25:bm25+,k1=1.2"
    assert lasting_name("org/name@main") == "org/name@main"
    assert lasting_name("bm25+models/splade+tiny") == f"bm25+{folders}/models/splade+tiny"
    pair = "efficient-splade:models/csr,models/dense"
    assert lasting_name(pair) == f"efficient-splade:{folders}/models/csr,{folders}/models/dense"
    with pytest.raises(EncoderError, match="an encoder must be a string or a path, not int"):
        lsr.load_encoder(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["set", "set/corpus.jsonl"])
def test_collections_do_not_depend_on_the_current_folder(
    folders: Path, elsewhere: Callable[[], None], source: str
) -> None:
    opened = [open_corpus(source), open_corpus(Path(source))]
    wanted = [list(corpus) for corpus in opened]
    elsewhere()
    assert [list(corpus) for corpus in opened] == wanted
    assert [document.id for document in wanted[0]] == [document.id for document in wanted[1]]
    assert opened[0].place == f"{'set/corpus.jsonl'}, line 9"


def test_datasets_do_not_depend_on_the_current_folder(
    folders: Path, elsewhere: Callable[[], None]
) -> None:
    dataset = load_dataset(Path("set"))
    apart = load_dataset(
        "set/corpus.jsonl", queries=Path("set/queries.jsonl"), qrels=Path("set/qrels/test.tsv")
    )
    assert parts_of(Path("set"), None, Silent) == {"set": str(folders / "set")}
    assert load_dataset("set") == dataset
    compared = compare_runs((n for n in (Path("a.trec"), "b.trec")), Path("set"), ["RR"])
    assert compared == compare_runs([Path("a.trec"), Path("b.trec")], "set", ["RR"])
    assert evaluate_run("a.trec", Path("set")).scores == evaluate_run(Path("a.trec"), "set").scores
    assert read_queries(Path("set")) == read_queries("set")
    assert read_qrels(Path("set")) == read_qrels("set")
    assert read_run(Path("a.trec")) == read_run("a.trec")
    assert not QueryFile(Path("set")).encoded
    elsewhere()
    for found in (dataset, apart):
        assert len(list(open_corpus(found.documents))) == 9
        assert found.location_of("q", "d000").endswith("test.tsv, line 2")


def test_dense_sides_by_paths(folders: Path, documents: list[dict[str, str]]) -> None:
    index = lsr.Index.build("index", documents[:9], "bm25")
    add_dense(index.path, documents[:9], load_dense(Path("models/dense")))
    index = lsr.open(index.path)
    index.use_dense_encoder(Path("models/dense"))
    assert len(index.search("copper", hybrid="rrf")) == 9


def test_named() -> None:
    assert named("it", "a/b") == "a/b"
    assert named("it", Path("a/b")) == str(Path.cwd() / "a" / "b")
    assert named("it", Path("~/b")) == str(Path.home() / "b")
    for wrong in (7, None, b"a", ["a"]):
        with pytest.raises(CorpusError, match=r"^it must be a string or a path, not "):
            named("it", wrong, error=CorpusError)
