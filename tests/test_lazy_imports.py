"""What starts quickly must not import what it does not need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import lsr

HEAVY = {
    "faiss",
    "ir_datasets",
    "ir_measures",
    "numba",
    "numpy",
    "pyarrow",
    "regex",
    "rich",
    "tokenizers",
    "torch",
    "transformers",
}


COMMANDS = ("index", "search", "eval", "compare", "info", "encode", "models", "export", "import")


def imported(python: list[str], *arguments: str | Path) -> set[str]:
    """The heavy packages in memory after a command, run in a process of its own."""
    code = (
        "import sys\n"
        "from lsr.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print('imported:', *{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [*python, code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("imported: ")]
    return HEAVY & set(line.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        *([c, "--help"] for c in COMMANDS),
    ],
    ids=" ".join,
)
def test_help_is_quick(python: list[str], arguments: list[str]) -> None:
    assert imported(python, *arguments) == set()


def test_lexical_search_needs_no_model(python: list[str], bm25_index: lsr.Index) -> None:
    assert imported(python, "search", bm25_index.path, "copper", "--explain") == {
        "numpy",
        "pyarrow",
    }
    assert imported(python, "info", bm25_index.path) == {"numpy", "pyarrow"}
    look = ("encode", "--text", "copper", "--index", bm25_index.path)
    assert imported(python, *look) == {"numpy", "pyarrow"}


def test_search_with_the_builtin_model_needs_no_torch(
    python: list[str], splade_index: lsr.Index, composite_index: lsr.Index
) -> None:
    for index in (splade_index, composite_index):
        found = imported(python, "search", index.path, "copper kettles", "--explain")
        assert found == {"numpy", "pyarrow"}
        found = imported(python, "search", index.path, "漢字")  # which is for the library
        assert found == {"numpy", "pyarrow", "regex", "tokenizers"}
    assert imported(python, "encode", "--text", "copper") == {"numpy"}


def test_listing_models_loads_none(python: list[str]) -> None:
    assert imported(python, "models") == {"numpy"}


def test_lexical_indexing_needs_no_model(python: list[str], corpus: Path, tmp_path: Path) -> None:
    found = imported(python, "index", corpus, "-o", tmp_path / "i", "--encoder", "bm25")
    assert found == {"numpy", "pyarrow", "numba"}


@pytest.mark.parametrize("encoder", ["bm25", "splade-tiny"])
def test_encoding_needs_no_compiler_and_no_torch(
    python: list[str], corpus: Path, tmp_path: Path, encoder: str
) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("".join(corpus.read_text().splitlines(keepends=True)[:3]))
    vectors = tmp_path / "v"
    found = imported(python, "encode", few, "-o", vectors, "--encoder", encoder)
    assert found == {"numpy", "pyarrow"}
    found = imported(python, "index", vectors, "-o", tmp_path / "i")
    assert found == {"numpy", "pyarrow", "numba"}


def test_importing_what_encodes_is_light(python: list[str]) -> None:
    code = "import sys, lsr.indexing.encode, lsr.data.vectors.folder; print(*sys.modules)"
    done = subprocess.run([*python, code], capture_output=True, text=True, check=True)
    assert {"numba", "torch", "transformers"} & set(done.stdout.split()) == set()


def test_importing_the_package_imports_nothing(python: list[str]) -> None:
    code = "import sys, lsr; lsr.__version__; print(*sys.modules)"
    done = subprocess.run([*python, code], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()
