"""Dense sides: every kind against brute force, ties, damage of every byte that is looked at."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import DenseCorrupt, IndexFormatError, LsrError, QueryError
from lsr.index.dense import faiss_files
from lsr.index.dense import side as dense
from lsr.index.dense.faiss_files import KINDS
from lsr.index.dense.format import DenseManifest
from lsr.index.dense.side import DenseSide, write_dense
from lsr.progress import Silent
from lsr.storage.manifest import FileEntry, sealed_json
from support.system import before_call

Vectors = npt.NDArray[np.float32]
APPROXIMATE = [kind for kind in KINDS if kind != "flat"]


def write(folder: Path, vectors: Vectors, kind: str = "flat", threads: int = 2) -> DenseSide:
    write_dense(
        folder,
        np.array_split(vectors, 3),
        dimensions=vectors.shape[1],
        kind=kind,
        collection="c",
        encoder={"kind": "dense", "name": "toy"},
        created_by="a test",
        threads=threads,
        progress=Silent,
    )
    return DenseSide(folder, DenseManifest.read(folder))


@contextmanager
def batches_of(count: int) -> Iterator[None]:
    """A batch is so many vectors; 65,536 would make tests slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "BATCH", count)
        yield


def brute_force(vectors: Vectors, query: Vectors) -> tuple[Any, Any]:
    """All documents, best first, by a loop of the definition."""
    exact = [float(np.sum(row.astype(np.float64) * query.astype(np.float64))) for row in vectors]
    scores = np.array(exact).astype(np.float32)
    order = sorted(range(len(vectors)), key=lambda position: (-scores[position], position))
    return np.array(order, np.int64), scores[order]


def random(seed: int, documents: int, dimensions: int, unit: bool = True) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((documents, dimensions))
    if unit:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


@given(
    seed=st.integers(0, 999),
    documents=st.integers(1, 60),
    k=st.integers(1, 70),
    batch=st.sampled_from([7, 20, 65_536]),
    values=st.sampled_from([2, 3, 1000]),
)
@settings(max_examples=60)
def test_flat_is_brute_force(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    documents: int,
    k: int,
    batch: int,
    values: int,
) -> None:
    """With values from a few, so that there are ties at and around the k-th."""
    random = np.random.default_rng(seed)
    vectors = (random.integers(-values, values, (documents, 3)) / values).astype(np.float32)
    # More than are multiplied with a batch at once.
    queries = (random.integers(-values, values, (66, 3)) / values).astype(np.float32)
    with batches_of(batch):
        side = write(tmp_path_factory.mktemp("flat") / "dense", vectors)
        found = side.search(queries, k)
        for query, (positions, scores) in zip(queries[::13], found[::13], strict=True):
            expected = brute_force(vectors, query)
            assert positions.tolist() == expected[0][:k].tolist()
            assert scores.tolist() == expected[1][:k].tolist()
            assert (positions.dtype, scores.dtype) == (np.int64, np.float32)


def test_scores_that_differ_by_less_than_float32_shows_are_ties(tmp_path: Path) -> None:
    """Sums of like numbers in another order: in float32 each has rounding of its own."""
    random = np.random.default_rng(5)
    row = random.standard_normal(384).astype(np.float32)
    vectors = np.stack([row[random.permutation(384)] for _ in range(500)])
    query = np.ones(384, np.float32)
    assert np.unique(vectors @ query).size > 1
    side = write(tmp_path / "dense", vectors)
    for k in (1, 10, 499):
        ((positions, scores),) = side.search(query[None], k)
        assert positions.tolist() == list(range(k))
        assert np.unique(scores).size == 1


def test_one_question_and_many_give_the_same(tmp_path: Path) -> None:
    vectors, queries = random(1, 3000, 64, unit=False), random(2, 130, 64)
    side = write(tmp_path / "dense", vectors)
    together = side.search(queries, 50)
    for query, (positions, scores) in zip(queries[::20], together[::20], strict=True):
        ((alone, same),) = side.search(query[None], 50)
        assert np.array_equal(positions, alone)
        assert np.array_equal(scores, same)
        expected = brute_force(vectors, query)
        assert np.array_equal(positions, expected[0][:50])
        assert np.array_equal(scores, expected[1][:50])


@pytest.fixture(scope="session")
def clustered() -> Vectors:
    """2,000 vectors around 40 centres, as texts are around subjects."""
    centres, noise = random(3, 40, 32), random(4, 2000, 32)
    made = centres[np.arange(2000) % 40] + 0.5 * noise
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, clustered: Vectors) -> dict[str, Path]:
    """A dense side of every kind, not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    for kind in KINDS:
        write(folder / kind, clustered, kind)
    return {kind: folder / kind for kind in KINDS}


def vectors_of(folder: Path) -> Path:
    (path,) = folder.glob("vectors.*.arrow")
    return path


def faiss_of(folder: Path) -> Path:
    (path,) = folder.glob("vectors.*.faiss")
    return path


def opened(folder: Path) -> DenseSide:
    return DenseSide(folder, DenseManifest.read(folder))


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_candidates_are_scored_by_the_vectors(
    made: dict[str, Path], clustered: Vectors, kind: str
) -> None:
    side = opened(made[kind])
    queries = random(6, 20, 32) / 2 + clustered[:20]
    recalled = 0
    for query, (positions, scores) in zip(queries, side.search(queries, 100), strict=True):
        expected = dict(zip(*brute_force(clustered, query), strict=True))
        assert len(set(positions.tolist())) == 100
        assert scores.tolist() == [expected[position] for position in positions]
        assert positions.tolist() == sorted(positions.tolist(), key=lambda p: (-expected[p], p))
        recalled += len(set(positions.tolist()) & set(list(expected)[:100]))
    assert recalled >= 0.95 * 2000


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_there_are(made: dict[str, Path], clustered: Vectors, kind: str) -> None:
    side = opened(made[kind])
    ((positions, scores),) = side.search(clustered[:1], 5000)
    assert np.unique(positions).size == positions.size
    assert positions.size == 2000 if kind != "hnsw" else positions.size > 1900
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_vectors_make_the_same_bytes(
    made: dict[str, Path], clustered: Vectors, tmp_path: Path, kind: str
) -> None:
    write(tmp_path / "again", clustered, kind, threads=1)
    for file in sorted(made[kind].iterdir()):
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_graphs_are_grown_by_one_thread(tmp_path: Path) -> None:
    """As several would make other bytes each time."""
    import faiss

    seen: list[int] = []

    class Spy(Silent):
        def advance(self, count: int, *, free: bool = False) -> None:
            seen.append(faiss.omp_get_max_threads())

    before = faiss.omp_get_max_threads()
    for kind, expected in (("hnsw", 1), ("sq8", 3)):
        faiss_files.make(kind, [random(0, 100, 8)], threads=3, progress=Spy)
        assert seen == [expected]
        seen.clear()
    assert faiss.omp_get_max_threads() == before


def test_fewer_candidates_than_wanted(tmp_path: Path) -> None:
    """Where faiss finds no more it says -1, which is no position."""
    vectors = random(5, 2000, 32)
    vectors[:1900] = vectors[0]  # each other's neighbours, so that a walk does not leave them
    side = write(tmp_path / "hnsw", vectors, "hnsw")
    ((positions, scores),) = side.search(vectors[-1:], 2000)
    assert 0 < positions.size < 2000
    assert scores.tolist() == side.score(vectors[-1], positions).tolist()


def test_faiss_keeps_no_vectors_a_second_time(made: dict[str, Path]) -> None:
    sizes = {kind: DenseManifest.read(made[kind]).files for kind in KINDS}
    (vectors,) = (entry.size for entry in sizes["flat"].values())
    assert vectors > 2000 * 32 * 4
    for kind, most in (("ivf", 0.5), ("sq8", 0.3), ("pq", 0.3)):
        assert sizes[kind][faiss_of(made[kind]).name].size < most * vectors


def test_rows_and_scores(made: dict[str, Path], clustered: Vectors) -> None:
    side = opened(made["flat"])
    positions = [5, 1999, 0, 5]
    assert np.array_equal(side.vectors(positions), clustered[positions])
    scores = dict(zip(*brute_force(clustered, clustered[7]), strict=True))
    assert side.score(clustered[7], positions).tolist() == [
        scores[position] for position in positions
    ]
    assert side.vectors([]).shape == (0, 32)
    assert side.score(clustered[7], []).shape == (0,)
    for wrong in ([-1], [2000]):
        with pytest.raises(QueryError, match="positions 0 to 1,999 only"):
            side.vectors(wrong)


def test_rows_of_several_batches(tmp_path: Path) -> None:
    vectors = random(1, 40, 4)
    with batches_of(7):
        side = write(tmp_path / "dense", vectors)
        positions = [39, 0, 13, 14, 0]
        assert np.array_equal(side.vectors(positions), vectors[positions])
    with pa.ipc.open_file(vectors_of(tmp_path / "dense")) as file:
        sizes = [file.get_batch(number).num_rows for number in range(file.num_record_batches)]
    assert sizes == [7, 7, 7, 7, 7, 5]


def test_questions_that_cannot_be(made: dict[str, Path], clustered: Vectors) -> None:
    side = opened(made["flat"])
    for wrong in (clustered[:1, :31], clustered[0], np.zeros((1, 1, 32), np.float32)):
        with pytest.raises(QueryError, match=r"have 32 dimensions; encode queries with toy"):
            side.search(wrong, 10)
    for number in (np.nan, np.inf):
        with pytest.raises(QueryError, match="not finite"):
            side.search(np.full((1, 32), number, np.float32), 10)
    for arguments in ({"k": 0}, {"k": 1, "threads": 0}):
        with pytest.raises(QueryError, match="at least 1"):
            side.search(clustered[:1], **arguments)
    assert side.search(clustered[:0], 10) == []


def test_threads_of_ours_at_once(made: dict[str, Path], clustered: Vectors) -> None:
    for kind in ("flat", "ivf", "hnsw"):
        side = opened(made[kind])
        expected = side.search(clustered[:8], 10)
        wrong: list[int] = []

        def work(
            number: int,
            side: DenseSide = side,
            expected: Any = expected,
            wrong: list[int] = wrong,
        ) -> None:
            for _ in range(20):
                ((positions, _),) = side.search(clustered[number : number + 1], 10, threads=2)
                if not np.array_equal(positions, expected[number][0]):
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_kinds_that_need_more_documents(tmp_path: Path) -> None:
    from lsr.index.dense.faiss_files import check_kind

    for kind, least in (("pq", 256), ("ivf", 39)):
        with pytest.raises(LsrError, match=f"{kind} needs at least {least} documents"):
            check_kind(kind, least - 1)
        vectors = random(0, least, 16)
        side = write(tmp_path / kind, vectors, kind)
        ((positions, _),) = side.search(vectors[:1], 1)
        assert positions.tolist() == [0]
    with pytest.raises(LsrError, match="no faiss index 'tree'; give one of flat"):
        check_kind("tree", 1000)
    for kind in ("hnsw", "sq8"):
        side = write(tmp_path / kind, random(0, 1, 5), kind)
        assert side.search(random(0, 1, 5), 3)[0][0].tolist() == [0]


# Damage.


def used(folder: Path) -> None:
    """Search a dense side, which reads the index of faiss."""
    side = opened(folder)
    side.search(np.zeros((1, side.dimensions), np.float32), 1)


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(made[kind], tmp_path / "copy"))


@pytest.mark.parametrize("pattern", ["*.arrow", "*.faiss", "manifest.json"])
@pytest.mark.parametrize("how", ["missing", "cut", "longer"])
def test_files_of_another_size(copy: Callable[[str], Path], pattern: str, how: str) -> None:
    folder = copy("sq8")
    (file,) = folder.glob(pattern)
    data = file.read_bytes()
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(data[:-1] if how == "cut" else data + b" ")
    said = "the file is missing" if how == "missing" else r"bytes instead of|describe|checksum"
    with pytest.raises(DenseCorrupt, match=said) as error:
        opened(folder)
    assert str(error.value).startswith(f"{file} is damaged: ")
    if how != "missing" and pattern != "manifest.json":
        assert f"it has {file.stat().st_size:,} bytes instead of {len(data):,}" in str(error.value)
    assert "sparse search is unharmed" in str(error.value)
    assert f"remove the folder {folder}" in str(error.value)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_faiss_reads_no_byte_that_was_not_written(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    data = bytearray(faiss_of(folder).read_bytes())
    with before_call("faiss.deserialize_index", lambda *_: pytest.fail("faiss was asked")):
        for offset in np.random.default_rng(0).integers(0, len(data), 20).tolist():
            data[offset] ^= 1
            faiss_of(folder).write_bytes(data)
            with pytest.raises(DenseCorrupt, match="does not match its checksum"):
                used(folder)
            data[offset] ^= 1


def reseal(folder: Path, **changes: Any) -> None:
    """Change the manifest of a dense side; its own checksum and those of files are right."""
    body = json.loads((folder / "manifest.json").read_text())
    del body["checksum"]
    body |= {"files": {name: FileEntry.of(folder / name) for name in body["files"]}}
    body["files"] = {n: {"size": e.size, "checksum": e.checksum} for n, e in body["files"].items()}
    body |= changes
    (folder / "manifest.json").write_bytes(sealed_json({}, body))


@pytest.mark.parametrize("other", APPROXIMATE)
def test_an_index_of_another_kind(
    made: dict[str, Path], copy: Callable[[str], Path], other: str
) -> None:
    folder = copy("sq8" if other != "sq8" else "pq")
    faiss_of(folder).write_bytes(faiss_of(made[other]).read_bytes())
    reseal(folder)
    with pytest.raises(DenseCorrupt, match="it holds another index than"):
        used(folder)


def test_forged_faiss_files(copy: Callable[[str], Path], tmp_path: Path) -> None:
    for number, data in enumerate([b"", b"IxFI", b"\0" * 100, b"IxSQ" + b"\xff" * 60]):
        folder = copy("sq8")
        faiss_of(folder).write_bytes(data)
        reseal(folder)
        with pytest.raises(DenseCorrupt, match=r"faiss cannot read it|another index"):
            used(folder)
        folder.rename(tmp_path / f"done{number}")
    write(tmp_path / "few", random(0, 100, 32), "sq8")
    folder = copy("sq8")
    faiss_of(folder).write_bytes(faiss_of(tmp_path / "few").read_bytes())
    reseal(folder)
    with pytest.raises(DenseCorrupt, match="another index than sq8 of 2,000 vectors"):
        used(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"documents": 1999},
        {"documents": 70_000},
        {"documents": -1},
        {"documents": 1 << 62},
        {"dimensions": 16},
        {"dimensions": 0},
        {"dimensions": True},
        {"dimensions": 1 << 40},
        {"kind": "tree"},
        {"kind": "flat"},
        {"kind": ["sq8"]},
        {"norm": -1.0},
        {"norm": float("inf")},
        {"norm": "1"},
        {"files": {}},
        {"files": {"../x": {"size": 1, "checksum": ""}}},
        {"files": []},
        {"encoder": {}},
        {"encoder": None},
    ],
    ids=str,
)
def test_manifests_with_impossible_fields(
    copy: Callable[[str], Path], changes: dict[str, Any]
) -> None:
    folder = copy("sq8")
    reseal(folder, **changes)
    with pytest.raises(DenseCorrupt):
        opened(folder)


def test_manifests_that_are_none(copy: Callable[[str], Path]) -> None:
    folder = copy("flat")
    file = folder / "manifest.json"
    text = file.read_bytes()
    for data in (b"", b"{", b"[]", b"{}", b'{"format": "other", "version": 1}', b"[" * 100_000):
        file.write_bytes(data)
        with pytest.raises(DenseCorrupt, match="does not describe"):
            opened(folder)
    file.write_bytes(text.replace(b'"documents": 2000', b'"documents": 2001'))
    with pytest.raises(DenseCorrupt, match="checksum does not match"):
        opened(folder)
    file.write_bytes(text)
    reseal(folder, version=3)
    with pytest.raises(
        IndexFormatError, match="has version 3, and this lsr reads versions up to 2"
    ):
        opened(folder)


def test_batches_of_other_lengths(tmp_path: Path) -> None:
    with batches_of(7):
        write(tmp_path / "dense", random(0, 13, 4))
    with (
        batches_of(10),  # which 7 + 6 documents are two of, too
        pytest.raises(DenseCorrupt, match="does not hold the vectors of 13 documents"),
    ):
        opened(tmp_path / "dense")


def test_vectors_of_another_shape(copy: Callable[[str], Path], tmp_path: Path) -> None:
    for number, (documents, dimensions) in enumerate([(1999, 32), (2000, 31), (4000, 16)]):
        other = tmp_path / f"other{number}"
        write(other, random(0, documents, dimensions))
        folder = copy("flat")
        vectors_of(folder).write_bytes(vectors_of(other).read_bytes())
        reseal(folder)
        with pytest.raises(DenseCorrupt):
            opened(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("what", ["doubles", "lists", "a null", "a number that is null", "name"])
def test_vectors_of_another_type(copy: Callable[[str], Path], what: str) -> None:
    folder = copy("flat")
    rows: list[Any] = np.zeros((2000, 32)).tolist()
    kind: Any = pa.list_(pa.float32(), 32)
    if what == "doubles":
        kind = pa.list_(pa.float64(), 32)
    elif what == "lists":
        kind = pa.list_(pa.float32())
    elif what == "a null":
        rows[5] = None
    elif what == "a number that is null":
        rows[5][3] = None
    name = "vectors" if what == "name" else "vector"
    table = pa.table({name: pa.array(rows, kind)})
    with pa.ipc.new_file(str(vectors_of(folder)), table.schema) as writer:
        writer.write_table(table)
    reseal(folder)
    with pytest.raises(DenseCorrupt, match=r"not fixed_size_list|empty cells|no column 'vector'"):
        opened(folder)


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["flat", "sq8"])
def test_numbers_that_are_not_finite(
    copy: Callable[[str], Path], clustered: Vectors, number: float, kind: str
) -> None:
    folder = copy(kind)
    data = vectors_of(folder).read_bytes()
    spoiled = clustered[3].copy()
    spoiled[0] = number
    assert data.count(clustered[3].tobytes()) == 1
    vectors_of(folder).write_bytes(data.replace(clustered[3].tobytes(), spoiled.tobytes()))
    side = opened(folder)
    with pytest.raises(DenseCorrupt, match="numbers that are not finite"):
        side.search(clustered[3:4], 5)
    with pytest.raises(DenseCorrupt, match="numbers that are not finite"):
        side.score(clustered[0], [3])
