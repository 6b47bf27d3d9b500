"""Sealed files, workspaces, and new folders, apart from what is kept in them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from lsr.errors import IndexExists, LsrError
from lsr.storage.manifest import FileEntry, Problem, read_sealed, sealed_json, write_sealed
from lsr.storage.workspace import Workspace, new_folder, workspace


@dataclass(frozen=True)
class Shelf:
    name: str
    books: int
    height: float
    files: dict[str, FileEntry]
    rows: list[int]
    owner: str | None
    note: str | None = None


SHELF = Shelf("a", 2, 0.5, {"x": FileEntry(3, "0")}, [1, 2], None)


def refusal(problem: Problem, what: str) -> LsrError:
    return LsrError(f"{problem}: {what}")


def read(path: Path) -> Shelf:
    return read_sealed(path, "shelf", (1, 2), Shelf, refusal)


def fields(**changes: Any) -> dict[str, Any]:
    body = asdict(SHELF) | changes
    return {name: value for name, value in body.items() if value is not KeyError}


def test_a_sealed_file_comes_back(tmp_path: Path) -> None:
    write_sealed(tmp_path / "s", {"format": "shelf", "version": 2}, fields())
    assert read(tmp_path / "s") == SHELF
    write_sealed(tmp_path / "s", {"format": "shelf", "version": 1}, fields(note=KeyError, new=7))
    assert read(tmp_path / "s") == SHELF


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"name": 7}, "name"),
        ({"name": KeyError}, "name"),
        ({"books": -1}, "books"),
        ({"books": 1 << 63}, "books"),
        ({"books": True}, "books"),
        ({"books": 2.0}, "books"),
        ({"height": "1"}, "height"),
        ({"height": float("nan")}, "height"),
        ({"height": 10**400}, "height"),
        ({"files": []}, "files"),
        ({"files": {"x": {"size": 3}}}, "checksum"),
        ({"rows": [1, "2"]}, "rows"),
        ({"rows": {"1": 2}}, "rows"),
        ({"owner": KeyError}, "owner"),
        ({"owner": []}, "owner"),
    ],
)
def test_fields_of_other_types(tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    write_sealed(tmp_path / "s", {"format": "shelf", "version": 1}, fields(**changes))
    with pytest.raises(LsrError, match="damaged: a field is missing or has an impossible value"):
        read(tmp_path / "s")
    with pytest.raises(LsrError, match=name):
        read(tmp_path / "s")


def test_what_is_no_sealed_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(FileNotFoundError):
        read(path)
    sound = sealed_json({"format": "shelf", "version": 1}, fields())
    for data, message in (
        (b"{", "unreadable: "),
        (b"[" * 100_000, "unreadable: "),
        (b'{"format": "other"}', "format: "),
        (json.dumps([1]).encode(), "format: "),
        (sealed_json({"format": "other"}, {}), "format: "),
        (sealed_json({"format": "shelf", "version": 3}, {}), "version: 3"),
        (sound.replace(b"shelf", b"shelg"), "damaged: its checksum"),
        (sound.replace(b'"a"', b'"b"'), "damaged: its checksum"),
    ):
        path.write_bytes(data)
        with pytest.raises(LsrError, match=message):
            read(path)


def opened(target: Path) -> Any:
    return workspace(target, check=lambda: None, sweep=lambda: None, kept=["work"])


def work(space: Workspace) -> None:
    (space.folder / "work").mkdir(exist_ok=True)
    (space.folder / "work" / "piece").touch()


def test_an_error_notes_where_work_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "t"

    def fail(with_work: bool) -> None:
        with opened(target) as space:
            if with_work:
                work(space)
            space.new.mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as error:
        fail(with_work=False)
    assert not hasattr(error.value, "__notes__")
    assert not target.exists()
    with pytest.raises(ZeroDivisionError) as error:
        fail(with_work=True)
    (note,) = error.value.__notes__
    assert note.startswith(f"Finished work is kept in {target / 'partial'}: ")
    assert [path.name for path in (target / "partial" / "work").iterdir()] == ["piece"]
    with opened(target) as space:  # goes on, and publishes
        assert (space.folder / "work" / "piece").exists()
        space.new.mkdir()
        (space.new / "manifest.json").write_text("{}")
        space.publish()
    assert [path.name for path in target.iterdir()] == ["manifest.json"]


def test_one_at_a_time_and_nobody_elses_files(tmp_path: Path) -> None:
    target = tmp_path / "t"
    with (
        opened(target),
        pytest.raises(IndexExists, match="being written by another"),
        opened(target),
    ):
        pass
    (target / "partial").mkdir(parents=True)
    (target / "partial" / "letter").touch()
    with pytest.raises(IndexExists, match="contains letter, which is not from"), opened(target):
        pass
    assert [path.name for path in (target / "partial").iterdir()] == ["letter"]


def test_a_new_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "below" / "f"

    def fail(error: Exception) -> None:
        with new_folder(target, LsrError) as folder:
            (folder / "file").touch()
            raise error

    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())
    with pytest.raises(LsrError, match=r"f cannot be written: .*full"):
        fail(OSError("full"))
    assert list(target.parent.iterdir()) == []
    with new_folder(target, LsrError) as folder:
        (folder / "file").touch()
    assert [path.name for path in target.iterdir()] == ["file"]
    with (
        pytest.raises(LsrError, match="already exists; give a new folder"),
        new_folder(target, LsrError),
    ):
        pass
