"""What the operating system refuses is said as that: no damage, no advice to build again."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lsr
from lsr.data.vectors.folder import VectorFolder
from lsr.errors import LsrError, SystemCallError
from lsr.fusion.learned import LearnedFusion
from support.system import before_call

REFUSALS = {
    errno.EMFILE: ("Too many open files", "ulimit -n"),
    errno.ENFILE: ("Too many open files in system", "limit of open files"),
    errno.EACCES: ("Permission denied", "check the permissions"),
    errno.EPERM: ("Operation not permitted", "check the permissions"),
    errno.EIO: ("Input/output error", "check the disk"),
    errno.ENOMEM: ("Cannot allocate memory", "free memory"),
    errno.ESTALE: ("Stale file handle", ""),
}
WRONG = ("damaged", "rebuild", "build one", "make room", "remove", "Traceback")


@pytest.fixture
def refuse() -> Iterator[Callable[[str, int], None]]:
    """refuse(name, number): files of that name can be seen, but not opened."""
    with ExitStack() as calls:

        def make(name: str, number: int) -> None:
            def refusing(path: Any, *_: Any) -> None:
                if isinstance(path, str | bytes | Path) and Path(os.fsdecode(path)).match(name):
                    raise OSError(number, os.strerror(number), str(path))

            for call in ("pyarrow.memory_map", "io.open"):
                calls.enter_context(before_call(call, refusing))

        yield make


def said(error: BaseException | str, name: str, number: int) -> None:
    reason, remedy = REFUSALS[number]
    text = str(error)
    assert reason in text
    assert remedy in text
    assert name in text
    assert not any(word in text for word in WRONG), text


NAMES = ["manifest.json", "vocabulary*.arrow", "documents.arrow", "stored.arrow", "payload.arrow"]


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("name", NAMES)
def test_an_index_that_cannot_be_opened(
    run: Callable[..., Any],
    bm25_index: lsr.Index,
    refuse: Callable[..., None],
    name: str,
    number: int,
) -> None:
    refuse(name, number)
    with pytest.raises(SystemCallError) as caught:
        lsr.open(bm25_index.path)
    plain = name.partition("*")[0]
    said(caught.value, plain, number)
    assert caught.value.errno == number
    assert caught.value.path.match(name)
    for command in ("search", "info"):
        answer = run(command, bm25_index.path, *(["copper"] if command == "search" else []))
        assert answer.code == 1
        said(answer.error, plain, number)
    answer = run("verify", bm25_index.path)
    assert answer.code == 1
    said(answer.err, plain, number)


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("name", ["dense/manifest.json", "vectors.*.arrow"])
def test_a_dense_side_that_cannot_be_opened(
    hybrid_index: lsr.Index, refuse: Callable[..., None], name: str, number: int
) -> None:
    refuse(name, number)
    index = lsr.open(hybrid_index.path)
    assert len(index.search("copper")) > 0  # the terms do not need it
    with pytest.raises(SystemCallError) as caught:
        index.search("copper", hybrid="rrf")
    said(caught.value, name.partition("*")[0], number)


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("name", ["manifest.json", "vocabulary*.arrow", "000000-*.parquet"])
def test_a_folder_of_vectors_that_cannot_be_opened(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    refuse: Callable[..., None],
    name: str,
    number: int,
) -> None:
    assert run("encode", corpus, "-o", tmp_path / "v", "--encoder", "bm25").code == 0
    refuse(name, number)
    with pytest.raises(SystemCallError) as caught:
        VectorFolder.open(tmp_path / "v")
    said(caught.value, name.partition("*")[0], number)
    answer = run("index", tmp_path / "v", "-o", tmp_path / "i")
    assert answer.code == 1
    said(answer.error, name.partition("*")[0], number)
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize("number", REFUSALS)
def test_a_learned_fusion_that_cannot_be_read(
    tmp_path: Path, refuse: Callable[..., None], number: int
) -> None:
    (tmp_path / "fusion.json").write_text("{}")
    refuse("fusion.json", number)
    with pytest.raises(SystemCallError) as caught:
        LearnedFusion.load(tmp_path / "fusion.json")
    said(caught.value, "fusion.json", number)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENOSPC])
def test_refusals_of_writing_name_their_remedy(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    number: int,
) -> None:
    """Room is only made where there is none."""

    def refusing(path: Any, *_: Any) -> None:
        if Path(path).name == "partial":
            raise OSError(number, os.strerror(number), str(path))

    with before_call("os.mkdir", refusing):
        answer = run("index", corpus, "-o", tmp_path / "i", "--encoder", "bm25")
    assert answer.code == 1
    assert answer.error.startswith(f"{tmp_path}/i cannot be written: {os.strerror(number)}")
    assert ("make room" in answer.error) == (number == errno.ENOSPC)


def test_as_many_open_files_as_there_may_be(bm25_index: lsr.Index, python: list[str]) -> None:
    """The real thing: the process has no descriptor left."""
    code = (
        "import resource, sys, lsr, lsr.retrieval.index, lsr.index.segments.reader\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(open('/dev/null'))\n"
        "except OSError: pass\n"
        "try: lsr.open(sys.argv[1])\n"
        "except lsr.LsrError as error: print(type(error).__name__, error)\n"
        "held.clear()\n"
        "print(len(lsr.open(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [*python, code, str(bm25_index.path)], capture_output=True, text=True, check=True
    )
    first, last = done.stdout.splitlines()
    assert first.startswith("SystemCallError")
    said(first, "manifest.json", errno.EMFILE)
    assert last == "144"


def test_a_file_that_may_not_be_read(bm25_index: lsr.Index, copy: Callable[..., Path]) -> None:
    path = copy(bm25_index)
    file = path / "manifest.json"
    file.chmod(0)
    try:
        if os.access(file, os.R_OK):
            pytest.skip("this user may read anything")
        with pytest.raises(SystemCallError, match="Permission denied; check the permissions"):
            lsr.open(path)
    finally:
        file.chmod(0o644)


def test_no_room_in_memory_for_a_map(bm25_index: lsr.Index, python: list[str]) -> None:
    code = (
        "import resource, sys, lsr, lsr.retrieval.index\n"
        "lsr.open(sys.argv[1])\n"
        "with open('/proc/self/statm') as file: pages = int(file.read().split()[0])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(),) * 2)\n"
        "try: [lsr.open(sys.argv[1]) for _ in range(3000)]\n"
        "except lsr.LsrError as error: print(type(error).__name__, error)\n"
        "except MemoryError: print('MemoryError')\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not say how much memory a process has")
    done = subprocess.run(
        [*python, code, str(bm25_index.path)], capture_output=True, text=True, check=False
    )
    if done.stdout.startswith("SystemCallError"):
        said(done.stdout, "", errno.ENOMEM)
    else:  # Python itself may be the first that gets none
        assert "MemoryError" in done.stdout + done.stderr


def test_the_limit_of_descriptors_is_as_it_was() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(LsrError):
        lsr.open("/dev/null")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft


FOREIGN = {
    "corpus.parquet": "read",
    "corpus.jsonl": "read",
    "corpus.zip": "read",
    "model.safetensors": "read",
    "tokenizer.json": "read",
    "config.json": "read",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_when_there_are_too_many_open(
    tmp_path: Path, python: list[str], name: str
) -> None:
    """Libraries say it in their ways, and mostly as if the file were wrong."""
    import shutil
    import zipfile

    import pyarrow.parquet as pq

    line = '{"id": "a", "text": "copper"}\n'
    if name == "corpus.parquet":
        pq.write_table(pa.table({"id": ["a"], "text": ["copper"]}), tmp_path / name)
    elif name == "corpus.jsonl":
        (tmp_path / name).write_text(line)
    elif name == "corpus.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("corpus.jsonl", line)
    else:
        shutil.copytree(
            str(lsr.encoders.checkpoints.checkpoint.model_path("splade-tiny")), tmp_path / "model"
        )
    use = {
        "model.safetensors": "load_encoder('model').encode_documents(['copper'])",
        "tokenizer.json": "Tokens(Path('model'), 9)",
        "config.json": "read_json(Path('model/config.json'))",
    }.get(name, f"list(open_corpus({name!r}))")
    code = (
        "import os, resource, sys\n"
        "from pathlib import Path\n"
        "import tokenizers, safetensors, lsr, lsr.retrieval.index, pyarrow.parquet, zipfile\n"
        "from lsr import load_encoder\n"
        "from lsr.data.corpus import open_corpus\n"
        "from lsr.encoders.checkpoints.checkpoint import read_json\n"
        "from lsr.encoders.text.tokens import Tokens\n"
        "from lsr.encoders.learned import LearnedEncoder\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"use = lambda: {use}\n"
        "use()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(open('/dev/null'))\n"
        "except OSError: pass\n"
        "try: use()\n"
        "except lsr.LsrError as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([*python, code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("SystemCallError"), done
    said(done.stdout, "corpus" if "corpus" in name else "model", errno.EMFILE)
