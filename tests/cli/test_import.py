"""`lsr import`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr
from lsr.data.vectors.folder import VectorFolder
from support.system import FailAt, before_call

LINES = (
    '{"id": "a", "contents": "x", "vector": {"robot": 1.5, "walk": 0.25}}\n'
    '{"id": "b", "contents": "", "vector": {}}\n'
)


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "v.jsonl"
    path.write_text(LINES)
    return path


def rows(folder: Path) -> list[dict[int, float]]:
    found = []
    for chunk in VectorFolder.open(folder).chunks():
        for row in chunk.vectors:
            found.append(dict(zip(row.terms.tolist(), row.weights.tolist(), strict=True)))
    return found


def words_of(folder: Path) -> list[str] | None:
    words = VectorFolder.open(folder).words
    return None if words is None else [words[term] for term in range(len(words))]


def test_tokens_are_learned(run: Callable[..., Any], jsonl: Path, tmp_path: Path) -> None:
    answer = run("import", jsonl, "-o", tmp_path / "out")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.splitlines()[-1] == f"{tmp_path / 'out'}: 2 documents, 2 postings"
    assert words_of(tmp_path / "out") == ["robot", "walk"]
    (chunk,) = VectorFolder.open(tmp_path / "out").chunks()
    assert (chunk.ids, chunk.titles, chunk.texts) == (["a", "b"], ["", ""], ["x", ""])
    assert rows(tmp_path / "out") == [{0: 1.5, 1: 0.25}, {}]


def test_the_vocabulary_of_a_model(
    run: Callable[..., Any], jsonl: Path, tmp_path: Path, splade_index: lsr.Index
) -> None:
    """By its name and by its folder: the term ids are those of the encoder."""
    encoder = lsr.load_encoder("splade-tiny")
    robot, walk = (encoder.vocabulary.find(word) for word in ("robot", "walk"))
    folder = Path(lsr.__file__).parent / "data" / "models" / "splade-tiny"
    for name in ("splade-tiny", folder):
        out = tmp_path / "out"
        assert run("import", jsonl, "-o", out, "--vocabulary", name, "--force").code == 0
        assert rows(out) == [{robot: 1.5, walk: 0.25}, {}]
        assert words_of(out) == [encoder.vocabulary[n] for n in range(len(encoder.vocabulary))]


def test_a_model_of_more_terms_than_tokens(
    run: Callable[..., Any], tmp_path: Path, jsonl: Path
) -> None:
    model = Path(lsr.__file__).parent / "data" / "models" / "splade-tiny"
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").symlink_to(model / "tokenizer.json")
    for said, size in ((30600, 30600), (1, 30522), ("x", 30522), (10**12, 30522)):
        (folder / "config.json").write_text(json.dumps({"vocab_size": said}))
        out = tmp_path / "out"
        assert run("import", jsonl, "-o", out, "--vocabulary", folder, "--force").code == 0
        words = words_of(out)
        assert words is not None
        assert len(words) == size
        assert words[30521:] == [words[30521], *(f"[unused-{n}]" for n in range(30522, size))]


def test_a_sentence_transformers_folder(
    run: Callable[..., Any], tmp_path: Path, jsonl: Path
) -> None:
    """Its tokenizer is in the folder of a module."""
    model = Path(lsr.__file__).parent / "data" / "models" / "splade-tiny"
    for name, files in (("0_MLM", ("tokenizer.json", "config.json")), ("1_Pooling", ())):
        (tmp_path / "model" / name).mkdir(parents=True)
        for file in files:
            (tmp_path / "model" / name / file).symlink_to(model / file)
    (tmp_path / "model" / "1_Pooling" / "config.json").write_text("{}")
    kinds = [("0_MLM", "MLMTransformer"), ("1_Pooling", "SpladePooling")]
    modules = [{"path": path, "type": f"sentence_transformers.{kind}"} for path, kind in kinds]
    (tmp_path / "model" / "modules.json").write_text(json.dumps(modules))
    out = tmp_path / "out"
    assert run("import", jsonl, "-o", out, "--vocabulary", tmp_path / "model").code == 0
    words = lsr.load_encoder("splade-tiny").vocabulary
    assert rows(out) == [{words.find("robot"): 1.5, words.find("walk"): 0.25}, {}]


def test_a_file_of_words(run: Callable[..., Any], jsonl: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the\nwalk\n0\nrobot\n")
    jsonl.write_text(LINES.replace('"walk"', '"0"').replace('"robot"', '"3"'))
    out = tmp_path / "out"
    assert run("import", jsonl, "-o", out, "--vocabulary", tmp_path / "words.txt").code == 0
    assert rows(out) == [{3: 1.5, 2: 0.25}, {}]  # "0" is a word, "3" the id of another
    (tmp_path / "words.txt").write_text("the\nwalk\n")
    answer = run("import", jsonl, "-o", tmp_path / "no", "--vocabulary", tmp_path / "words.txt")
    assert answer.code == 1
    assert answer.error == (
        f"{jsonl}, line 1 has the term 3, beyond the 2 words of {tmp_path}/words.txt; give the "
        "vocabulary of the vectors"
    )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("format", ["jsonvectors", "seismic", "pyterrier", "npz", "csr", "ciff"])
def test_there_and_back(
    run: Callable[..., Any], bm25_index: lsr.Index, tmp_path: Path, format: str
) -> None:
    """What is exported, imported and exported again is the same file."""
    suffix = format if format in ("npz", "csr", "ciff") else "jsonl"
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    out = tmp_path / "vectors"
    assert run("export", bm25_index.path, "-o", one, "--format", format).code == 0
    assert run("import", one, "-o", out, "--format", format).code == 0
    assert run("export", out, "-o", two, "--format", format).code == 0
    if suffix == "jsonl":  # the words have other ids, and so stand in another order
        before, after = (path.read_text().splitlines() for path in (one, two))
        assert list(map(json.loads, before)) == list(map(json.loads, after))
    else:
        assert one.read_bytes() == two.read_bytes()


def test_the_format_is_seen_in_the_first_record(
    run: Callable[..., Any], jsonl: Path, tmp_path: Path
) -> None:
    for replaced in ("content", "contents"):
        jsonl.write_text(LINES.replace("contents", replaced))
        assert run("import", jsonl, "-o", tmp_path / "out", "--force").code == 0
        assert VectorFolder.open(tmp_path / "out").keeps_text
    jsonl.write_text(
        LINES.replace("contents", "text").replace("vector", "toks").replace('"id"', '"docno"')
    )
    assert run("import", jsonl, "-o", tmp_path / "out", "--force").code == 0
    assert VectorFolder.open(tmp_path / "out").keeps_text


@pytest.mark.parametrize(
    ("name", "content", "options", "code", "message"),
    [
        ("v.jsonl", '{"id": "a", "text": "x"}', [], 2, "Neither the name nor the first record of"),
        ("v.jsonl", "", [], 2, "Neither the name nor the first record of v.jsonl tells its format"),
        ("v.tsv", "a\tb", [], 2, "Neither the name nor the first record of v.tsv"),
        ("v.csr", LINES, ["--format", "seismic"], 2, "is a name of another format than seismic"),
        ("v.ciff.gz", LINES, [], 2, "ciff files cannot be compressed"),
        ("v.jsonl", "", ["--format", "seismic"], 1, "holds no documents; check that it is the"),
        ("v.jsonl", LINES * 2, [], 1, "line 3 repeats the id 'a'"),
        ("v.jsonl", LINES, ["--format", "pyterrier"], 1, "line 1 has no vector; give each"),
        ("v.csr", LINES, [], 1, "is not a csr file, or was cut short"),
        ("v.npz", LINES, [], 1, "is not a readable npz file"),
        ("v.ciff", LINES, [], 1, "fetch or write the file again"),
        ("v.jsonl", LINES, ["--vocabulary", "nobody"], 1, "there is no encoder 'nobody'; give"),
        ("v.jsonl", LINES, ["--vocabulary", "."], 1, "has no tokenizer"),
    ],
)
def test_bad_input(
    run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    options: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content)
    answer = run("import", name, "-o", tmp_path / "out", *options)
    assert answer.code == code
    assert message in (answer.error if code == 1 else answer.err)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_places(run: Callable[..., Any], jsonl: Path, tmp_path: Path) -> None:
    answer = run("import", tmp_path / "none.csr", "-o", tmp_path / "out")
    assert (answer.code, answer.error) == (1, f"{tmp_path}/none.csr does not exist; check the path")
    answer = run("import", tmp_path, "-o", tmp_path / "out")
    assert (answer.code, answer.error) == (1, f"{tmp_path} is a folder; name a file")
    assert run("import", jsonl, "-o", tmp_path / "out").code == 0
    answer = run("import", jsonl, "-o", tmp_path / "out")
    assert answer.code == 1
    assert "is already a folder of encoded vectors; add --force" in answer.error
    assert run("import", jsonl, "-o", jsonl).code == 1
    assert jsonl.read_text() == LINES
    assert run("import", jsonl, "-o", tmp_path / "out", "--force").code == 0


def test_an_interruption_leaves_nothing(
    run: Callable[..., Any], jsonl: Path, tmp_path: Path
) -> None:
    with before_call("os.fsync", FailAt(1, KeyboardInterrupt())):
        answer = run("import", jsonl, "-o", tmp_path / "out")
    assert (answer.code, answer.err.splitlines()[-1]) == (130, "Interrupted.")
    assert [path.name for path in tmp_path.iterdir()] == [jsonl.name]


def test_an_index_beyond_the_vocabulary(run: Callable[..., Any], tmp_path: Path) -> None:
    index = lsr.Index.from_vectors(tmp_path / "i", ["a"], lsr.SparseVectors([0, 1], [7], [1]))
    assert run("export", index.path, "-o", tmp_path / "v.csr").code == 0
    (tmp_path / "w.txt").write_text("a\nb\n")
    answer = run(
        "import", tmp_path / "v.csr", "-o", tmp_path / "o", "--vocabulary", tmp_path / "w.txt"
    )
    assert answer.code == 1
    assert f"{tmp_path}/v.csr, row 0 has the term 7, beyond the 2 words of" in answer.error
