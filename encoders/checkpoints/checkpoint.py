"""Model folders: found by name, and hashed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsr.data.builtin import model_path
from lsr.errors import EncoderError, EncoderMismatch, first_line, refusal

ACCEPTED = (
    "a built-in model such as splade-tiny, an existing folder, a hub id ORG/NAME[@REVISION], "
    "METHOD:FOLDER, or bm25[:VARIANT]"
)
ADAPTER = "adapter_config.json"
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_HUB_ID = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")
# The files that decide the vectors; what a method makes of them is recorded beside their hash.
_DECIDING_FILES = (
    "config.json",
    ADAPTER,
    "*.safetensors",
    "*.safetensors.index.json",
    *TOKENIZER_FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "idf.json",
    "sparse_linear.pt",
)


@dataclass(frozen=True)
class Checkpoint:
    """A model folder and where it came from.

    Attributes:
        name: what people call it: the built-in's name, the folder's, or the hub id.
        source: what finds it again: the built-in's name, the absolute path, or the hub id.
        revision: the hub's commit hash, else None.
    """

    name: str
    source: str
    revision: str | None
    folder: Path

    @property
    def address(self) -> str:
        """The name that `find` takes for this very checkpoint."""
        return f"{self.source}@{self.revision}" if self.revision else self.source

    def identity(self, kind: str, name: str, content_hash: str) -> dict[str, Any]:
        """The first fields of the identity of an encoder, as JSON values."""
        return {
            "kind": kind,
            "name": name,
            "source": self.address,
            "revision": self.revision,
            "content_hash": content_hash,
        }


def find(name: str) -> Checkpoint:
    """The checkpoint of a name; `EncoderError` when there is none, with what is accepted."""
    builtin = model_path(name)
    if builtin is not None:
        return Checkpoint(name, name, None, Path(builtin))
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        folder = folder.resolve()
        return Checkpoint(folder.name, str(folder), None, folder)
    hub = _HUB_ID.fullmatch(name)
    if hub is None:
        raise EncoderError(f"there is no encoder {name!r}; give {ACCEPTED}")
    folder = _download(hub["id"], hub["revision"])
    return Checkpoint(hub["id"], hub["id"], folder.name, folder)


def _download(repository: str, revision: str | None) -> Path:
    """The snapshot folder of a hub repository, which is named by its commit hash."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise EncoderError(
            f"{repository!r} is not an existing folder, and loading it from the hub needs the "
            "package huggingface_hub; install it"
        ) from None
    wanted: dict[str, Any] = {
        "revision": revision,
        "allow_patterns": ["*.json", "*.txt", "*.safetensors", "*.model", "sparse_linear.pt"],
    }
    at = f" at revision {revision!r}" if revision else ""
    # The hub's client lets through errors of whichever HTTP library it uses, so any error
    # of it means the same here: not from the network; and then: not from the cache either.
    try:
        return Path(snapshot_download(repository, **wanted))
    except Exception as error:
        reason = first_line(error)
    try:
        return Path(snapshot_download(repository, local_files_only=True, **wanted))
    except Exception:
        raise EncoderError(
            f"{repository!r}{at} is neither an existing folder nor in the local hub cache, and "
            f"could not be downloaded ({reason}); check the name and the network, or give "
            f"{ACCEPTED}"
        ) from None


def is_cached(repository: str) -> bool:
    """Whether the local hub cache has safetensors weights of a hub repository."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return False
    config = try_to_load_from_cache(repository, "config.json")
    return isinstance(config, str) and any(Path(config).parent.glob("*.safetensors"))


def content_hash(*folders: Path) -> str:
    """BLAKE2b (32 bytes, hexadecimal) over the files that decide the vectors.

    Covers name, size and bytes of the configuration, the weights and the tokenizer, folder by
    folder in the order of their names; other files, such as a README, change nothing.
    """
    digest = hashlib.blake2b(digest_size=32)
    for folder in folders:
        for path in deciding_files(folder):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def check_unchanged(hashed: str, *folders: Path) -> None:
    """Raise `EncoderMismatch` unless the files of a model are those that had this `content_hash`.

    For a model that is loaded later than the encoder which is called by that hash.
    """
    if content_hash(*folders) != hashed:
        raise EncoderMismatch(
            f"the model in {folders[0]} was replaced after this encoder was made of it; load the "
            "encoder again"
        )


def deciding_files(folder: Path) -> list[Path]:
    """The files of a model folder that decide its vectors, by name."""
    return matching(folder, _DECIDING_FILES)


def read_json(path: Path, kind: type[Any] = dict) -> Any:
    """A JSON file holding a `kind`; `EncoderError` when it is missing or something else."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise EncoderError(f"{path.parent} has no {path.name}; give a model folder") from None
    except (OSError, ValueError, RecursionError) as error:
        why = refusal("read", path, error) or EncoderError(f"{path} cannot be read: {error}")
        raise why from None
    if not isinstance(value, kind):
        raise EncoderError(f"{path} does not hold a JSON {'object' if kind is dict else 'array'}")
    return value


def matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """The files directly in a folder that match one of the patterns, by name."""
    paths = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(paths, key=lambda path: path.name)
