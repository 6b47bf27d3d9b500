"""Bare matrices: files of SciPy and big-ann-benchmarks, ids and words beside, bad files."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.data.interchange.vocabulary import Given, read_words
from lsr.errors import CorpusError, LsrError
from support.interchanging import GOLDEN, Documents, read, write

# What the golden files hold; see interchange/README.md.
ROWS = [{1: 1.25, 4: 0.5}, {}, {0: 0.0, 2: float(np.float32(3e-8))}, {6: 255.0}]
GIVEN = Documents(["a", "b", "c", "d"], ROWS, [f"w{n}" for n in range(7)])


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def save(path: Path, **changes: Any) -> Path:
    """An npz of GIVEN as SciPy would write it, but for some members (None: without it)."""
    members: dict[str, Any] = {
        "indices": np.array([4, 1, 0, 2, 6], np.int32),
        "indptr": np.array([0, 2, 2, 4, 5], np.int32),
        "format": np.array(b"csr"),
        "shape": np.array([4, 7]),
        "data": np.array([0.5, 1.25, 0, 3e-8, 255], np.float32),
    }
    members |= changes
    np.savez(path, **{name: value for name, value in members.items() if value is not None})
    return path


@pytest.mark.parametrize("name", ["scipy.npz", "big-ann.csr"])
def test_golden_files(name: str) -> None:
    back = read(name.rpartition(".")[2], GOLDEN / name)
    assert (back.ids, back.rows, back.words) == (["0", "1", "2", "3"], ROWS, None)


def test_scipy_with_long_integers() -> None:
    assert read("npz", GOLDEN / "scipy-long.npz").rows == [{1: 1.5}, {70000: 2.0}]


def test_another_form_of_matrix() -> None:
    with pytest.raises(CorpusError, match=r"in the form 'csc'; save its tocsr\(\) instead"):
        read("npz", GOLDEN / "scipy-csc.npz")


def test_npz_is_laid_out_as_scipy_does(tmp_path: Path) -> None:
    write("npz", tmp_path / "v.npz", GIVEN)
    ours, theirs = arrays(tmp_path / "v.npz"), arrays(GOLDEN / "scipy.npz")
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
        if name not in ("indices", "data"):  # theirs do not ascend
            assert np.array_equal(ours[name], array)
    with zipfile.ZipFile(tmp_path / "v.npz") as archive:
        assert archive.testzip() is None


def test_npz_of_terms_beyond_31_bits_has_long_integers(tmp_path: Path) -> None:
    write("npz", tmp_path / "v.npz", Documents(["a"], [{2**31 - 2: 1}]))
    assert arrays(tmp_path / "v.npz")["indices"].dtype == np.int32
    write("npz", tmp_path / "v.npz", Documents(["a"], [{2**32 - 1: 1}]))
    members = arrays(tmp_path / "v.npz")
    assert members["indices"].dtype == members["indptr"].dtype == np.int64
    assert members["shape"].tolist() == [1, 2**32]


def test_csr_is_laid_out_as_big_ann_does(tmp_path: Path) -> None:
    write("csr", tmp_path / "v.csr", GIVEN)
    ours, theirs = (tmp_path / "v.csr").read_bytes(), (GOLDEN / "big-ann.csr").read_bytes()
    assert len(ours) == len(theirs)
    assert ours[: 3 * 8 + 5 * 8] == theirs[: 3 * 8 + 5 * 8]
    assert np.frombuffer(ours, "<i4", 5, 64).tolist() == [1, 4, 0, 2, 6]
    assert np.frombuffer(ours, "<f4", 5, 84).tolist() == [1.25, 0.5, 0, np.float32(3e-8), 255]


def test_csr_holds_31_bits(tmp_path: Path) -> None:
    with pytest.raises(LsrError, match=r"up to 2,147,483,647, and there are 2,147,483,648; export"):
        write("csr", tmp_path / "v.csr", Documents(["a"], [{2**31: 1}]))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["npz", "csr"])
class TestBeside:
    """Ids and words in files beside the matrix."""

    def test_files(self, tmp_path: Path, format: str) -> None:
        path = tmp_path / f"v.{format}"
        note = write(format, path, GIVEN)
        assert (tmp_path / f"v.{format}.ids").read_text() == "a\nb\nc\nd\n"
        assert (tmp_path / f"v.{format}.words").read_text() == "w0\nw1\nw2\nw3\nw4\nw5\nw6\n"
        assert note == (
            f"It holds no texts, ids and words: {path}.ids and {path}.words have the two last."
        )
        back = read(format, path)
        assert (back.ids, back.words) == (GIVEN.ids, GIVEN.words)
        assert read(format, path, Given("mine", list("abcdefg"))).words == list("abcdefg")

    def test_words_with_line_ends(self, tmp_path: Path, format: str) -> None:
        for words in (["a\n"], ["a\rb"], ["\ufeffa"]):
            note = write(format, tmp_path / "v", Documents(["a"], [{0: 1}], words))
            assert note.endswith("have line ends in them.")
            assert sorted(file.name for file in tmp_path.iterdir()) == ["v", "v.ids"]

    def test_words_of_other_vectors(self, tmp_path: Path, format: str) -> None:
        write(format, tmp_path / "v", GIVEN)
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        with pytest.raises(LsrError, match=r"v\.words has words of other vectors, and these have"):
            write(format, tmp_path / "v", Documents(["a"], [{0: 1}]))
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ("a\nb\nc\n", r"v\.ids has 3 ids for the 4 rows of v; give each row one id"),
            ("a\nb\nc\nd\ne\n", r"v\.ids has more ids \('e'\) than the 4 rows of v"),
            ("a\nb\na\nd\n", r"v\.ids, line 3 repeats the id 'a'"),
            ("a\n\nc\nd\n", r"v\.ids, line 2 has an empty id"),
            ("a\nb\0\nc\nd\n", r"v\.ids, line 2 has a NUL character in its id"),
            (b"a\n\xff\nc\nd\n", r"v\.ids, line 2 is not UTF-8"),
        ],
    )
    def test_bad_ids(self, tmp_path: Path, format: str, ids: str | bytes, message: str) -> None:
        write(format, tmp_path / "v", GIVEN)
        (tmp_path / "v.ids").write_bytes(ids if isinstance(ids, bytes) else ids.encode())
        with pytest.raises(CorpusError, match=message):
            read(format, tmp_path / "v")

    def test_bad_words(self, tmp_path: Path, format: str) -> None:
        before = 2048  # rows, as many as are read at a time
        ids = [f"{n}" for n in range(before)] + GIVEN.ids
        write(format, tmp_path / "v", Documents(ids, [{0: 1.0}] * before + ROWS, GIVEN.words))
        (tmp_path / "v.words").write_text("a\nb\nc\nd\ne\nf\n")
        message = rf"row {before + 3} has the term 6, beyond the 6 words of .*v\."
        with pytest.raises(CorpusError, match=message):
            read(format, tmp_path / "v")
        (tmp_path / "v.words").write_text("a\nb\na\n")
        with pytest.raises(CorpusError, match=r"v\.words, line 3 repeats the token 'a'"):
            read(format, tmp_path / "v")


def test_read_words(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("[PAD]\r\n the \r\n\r\né".encode())
    assert read_words(path).words == ["[PAD]", " the ", "", "é"]
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(CorpusError, match="line 2 is not UTF-8"):
        read_words(path)


def test_rows_need_not_be_sorted_and_numbers_may_be_others(tmp_path: Path) -> None:
    for kind in ("<f8", ">f4", "<f2", "<i8", "u1"):
        for integers in ("<i8", ">i4", "<u8"):
            data = np.array([1, 2, 3, 4, 255], kind)
            path = save(
                tmp_path / "v.npz",
                data=data,
                indices=np.array([4, 1, 0, 2, 6], integers),
                indptr=np.array([0, 2, 2, 4, 5], integers),
            )
            assert read("npz", path).rows == [{4: 1, 1: 2}, {}, {0: 3, 2: 4}, {6: 255}]


BAD_NPZ: dict[str, tuple[dict[str, Any], str]] = {
    "no data": ({"data": None}, "has no data.npy, so it is not a sparse matrix of SciPy"),
    "no format": ({"format": None}, "has no format.npy"),
    "objects": ({"data": np.array([1.0] * 5, object)}, r"its data.npy is of object"),
    "complex": ({"data": np.ones(5, complex)}, "its data.npy is of complex128"),
    "truths": ({"data": np.ones(5, bool)}, "its data.npy is of bool"),
    "two dimensions": ({"data": np.ones((5, 1))}, r"its data.npy has the shape \(5, 1\)"),
    "too few weights": ({"data": np.ones(4)}, "its data.npy has 4 items instead of 5"),
    "float indices": ({"indices": np.ones(5)}, "its indices.npy is of float64"),
    "a row too few": ({"shape": np.array([5, 7])}, "its indptr.npy has 5 items instead of 6"),
    "negative rows": ({"shape": np.array([-1, 7])}, "its indptr.npy has 5 items instead of 0"),
    "three sides": ({"shape": np.array([4, 7, 1])}, "its shape.npy has 3 items instead of 2"),
    "descending": ({"indptr": np.array([0, 3, 2, 4, 5])}, "rows that do not add up to its 5"),
    "late start": ({"indptr": np.array([1, 2, 2, 4, 5])}, "rows that do not add up"),
    "short end": ({"indptr": np.array([0, 2, 2, 4, 4])}, "rows that do not add up"),
    "wrapping": (
        {"indptr": np.array([0, 2**63 + 5, 2**63 + 6, 4, 5], np.uint64)},
        "rows that do not add up",
    ),
    "column": ({"shape": np.array([4, 6])}, "has the term 6 in row 3, of 6 columns"),
    "negative column": (
        {"indices": np.array([4, 1, 0, -2, 6])},
        "rows 0 to 3: terms must lie between 0 and 4294967295",
    ),
    "twice": ({"indices": np.array([4, 4, 0, 2, 6])}, "row 0 has term 4 twice"),
    "nan": ({"data": np.array([1, 1, 1, np.nan, 1])}, "row 2 has the weight nan for term 2"),
    "negative": ({"data": np.array([1, 1, 1, 1, -1])}, r"row 3 has the weight -1\.0 for term 6"),
    "infinite": ({"data": np.array([1e39, 1, 1, 1, 1])}, "row 0 has the weight inf for term 4"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz(tmp_path: Path, case: str) -> None:
    changes, message = BAD_NPZ[case]
    with pytest.raises(CorpusError, match=message) as caught:
        read("npz", save(tmp_path / "v.npz", **changes))
    assert str(tmp_path / "v.npz") in str(caught.value)


def forged(descr: str, shape: str, data: bytes = b"") -> bytes:
    """An array file with this header."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (forged("'<f4'", "(1000000000000,)"), "does not have the 1,000,000,000,000 items"),
        (forged("'<f4'", "(4,)", b"\0" * 20), "does not have the 4 items"),
        (forged("'|S0'", "(5,)"), "is of |does not have the 5"),
        (forged("'nonsense'", "(5,)"), "has no header"),
        (forged("__import__('os')", "(5,)"), "has no header"),
        (forged("'<f4'", "(-5,)"), "has no header|does not have the -5 items"),
        (forged("'<f4'", "5"), "has no header"),
        (b"\x93NUMPY\x09\x00", "has no header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "has no header"),
        (b"", "has no header"),
        (b"(" * 5000, "has no header"),
        (forged("(" * 3000, "(5,)"), "has no header"),
    ],
)
def test_forged_arrays(tmp_path: Path, member: bytes, message: str) -> None:
    path = save(tmp_path / "v.npz", data=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data.npy", member)
    with pytest.raises(CorpusError, match=message):
        read("npz", path)


def test_forged_sizes_of_members(tmp_path: Path) -> None:
    """The directory of a zip says that a member of a few bytes unpacks to billions."""
    path = save(tmp_path / "v.npz")
    unpacks_to(path, 2**32 - 2)
    with pytest.raises(CorpusError, match=r"its data\.npy does not have the 5 items"):
        read("npz", path)
    # The same with a header to match: compression does not reach so far.
    path = save(tmp_path / "w.npz", data=None)
    head = forged("'<f4'", "(1000000000,)")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", head + b"\0" * 20)
    unpacks_to(path, len(head) + 4_000_000_000)
    with pytest.raises(CorpusError, match=r"its data\.npy does not have the 1,000,000,000 items"):
        read("npz", path)


def unpacks_to(path: Path, size: int) -> None:
    """Forge the size of data.npy in the directory of a zip."""
    data = path.read_bytes()
    at = data.rindex(b"data.npy") - 46 + 24
    path.write_bytes(data[:at] + size.to_bytes(4, "little") + data[at + 4 :])


def test_a_checksum_is_compared_at_the_end(tmp_path: Path) -> None:
    """Of members that take many reads, too."""
    values = np.random.default_rng(1).random(300_000).astype(np.float32)
    path = tmp_path / "v.npz"
    np.savez_compressed(
        path,
        indices=np.tile(np.arange(3, dtype=np.int32), 100_000),
        indptr=np.arange(0, 300_001, 3, dtype=np.int32),
        format=np.array(b"csr"),
        shape=np.array([100_000, 3]),
        data=values,
    )
    assert len(read("npz", path).rows) == 100_000
    for member in (b"data.npy", b"indices.npy"):
        data = bytearray(path.read_bytes())
        data[data.rindex(member) - 46 + 16] ^= 1
        path.with_name("w.npz").write_bytes(data)
        with pytest.raises(CorpusError, match="Bad CRC-32"):
            read("npz", path.with_name("w.npz"))


def test_encrypted_and_strangely_packed_members(tmp_path: Path) -> None:
    path = save(tmp_path / "v.npz")
    whole = path.read_bytes()
    at = whole.rindex(b"format.npy") - 46
    for offset, value, message in (
        (8, 1, "is not a readable npz file .*encrypted"),
        (8, 32, "is not a readable npz file .*patched"),
        (10, 77, "compressed in a way that SciPy does not write"),
    ):
        data = bytearray(whole)
        data[at + offset] |= value
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=message):
            read("npz", path)


def test_a_member_whose_name_is_no_text(tmp_path: Path) -> None:
    """Flags say UTF-8 in the header before the member."""
    path = save(tmp_path / "v.npz")
    data = bytearray(path.read_bytes())
    at = data.index(b"indptr.npy") - 30
    data[at + 7] |= 8
    data[at + 30] = 0xFF
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"is not a readable npz file \('utf-8' codec"):
        read("npz", path)


def packed(path: Path, method: int) -> Path:
    """The npz of GIVEN with its members compressed."""
    save(path.parent / "plain.npz")
    with (
        zipfile.ZipFile(path.parent / "plain.npz") as plain,
        zipfile.ZipFile(path, "w", method) as to,
    ):
        for name in plain.namelist():
            to.writestr(name, plain.read(name))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_changes_nothing_or_is_an_error(tmp_path: Path, method: int) -> None:
    path = packed(tmp_path / "v.npz", method)
    assert read("npz", path).rows == ROWS
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            assert read("npz", path).rows == ROWS
        except CorpusError:
            continue


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_numpy_does_not_write(tmp_path: Path, method: int) -> None:
    with pytest.raises(CorpusError, match="compressed in a way that SciPy does not write"):
        read("npz", packed(tmp_path / "v.npz", method))


def test_a_changed_weight_does_not_match_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    write("npz", path, GIVEN)
    data = path.read_bytes()
    weight = np.float32(1.25).tobytes()
    path.write_bytes(data.replace(weight, np.float32(1.5).tobytes()))
    with pytest.raises(CorpusError, match=r"Bad CRC-32 for file 'data\.npy'"):
        read("npz", path)


def csr(
    path: Path, sizes: list[int], starts: list[int], terms: list[int], data: list[float]
) -> Path:
    out = io.BytesIO()
    for values, kind in ((sizes, "<i8"), (starts, "<i8"), (terms, "<i4"), (data, "<f4")):
        out.write(np.array(values, kind).tobytes())
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize(
    ("sizes", "starts", "terms", "data", "message"),
    [
        ([10**12, 5, 2], [0, 2], [1, 2], [1, 1], "declares 1,000,000,000,000 rows, 5 columns"),
        ([1, 5, 10**12], [0, 2], [1, 2], [1, 1], "and 1,000,000,000,000 entries"),
        ([2**62, 5, -(2**62)], [0, 2], [1, 2], [1, 1], "is not a csr file"),
        ([-1, 5, 2], [], [1, 2], [1, 1], "declares -1 rows"),
        ([1, -5, 2], [0, 2], [1, 2], [1, 1], "declares 1 rows, -5 columns"),
        ([2, 5, -1], [0, 0], [], [], "declares 2 rows, 5 columns and -1 entries"),
        ([1, 2**31 + 1, 2], [0, 2], [1, 2], [1, 1], "2,147,483,649 columns"),
        ([1, 5, 2], [0, 1], [1, 2], [1, 1], "rows that do not add up to its 2 entries"),
        ([2, 5, 2], [0, 3, 2], [1, 2], [1, 1], "rows that do not add up"),
        ([1, 5, 2], [0, 2], [1, 5], [1, 1], "has the term 5 in row 0, of 5 columns"),
        ([2, 5, 2], [0, 1, 2], [1, 5], [1, 1], "has the term 5 in row 1, of 5 columns"),
        ([1, 5, 2], [0, 2], [1, -1], [1, 1], "rows 0 to 0: terms must lie between"),
        ([1, 5, 2], [0, 2], [3, 3], [1, 1], "row 0 has term 3 twice"),
        ([1, 5, 2], [0, 2], [1, 2], [1, -1], r"row 0 has the weight -1\.0 for term 2"),
        ([1, 5, 2], [0, 2], [1, 2], [np.nan, 1], "row 0 has the weight nan for term 1"),
    ],
)
def test_bad_csr(
    tmp_path: Path,
    sizes: list[int],
    starts: list[int],
    terms: list[int],
    data: list[float],
    message: str,
) -> None:
    with pytest.raises(CorpusError, match=message):
        read("csr", csr(tmp_path / "v.csr", sizes, starts, terms, data))


def test_rows_are_sorted(tmp_path: Path) -> None:
    path = csr(tmp_path / "v.csr", [2, 9, 3], [0, 2, 3], [8, 1, 0], [0.5, 1, 2])
    assert read("csr", path).rows == [{8: 0.5, 1: 1}, {0: 2}]


def test_golden_files_with_ids_beside(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "scipy.npz", tmp_path / "v.npz")
    (tmp_path / "v.npz.ids").write_text("x\ny\r\nz\n😀")
    assert read("npz", tmp_path / "v.npz").ids == ["x", "y", "z", "😀"]
