"""Model folders: found by name, checked, and hashed.

Nothing in a folder is executed or unpickled: weights come from safetensors files only.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsr.data.builtin import model_path
from lsr.errors import EncoderError

ACCEPTED = (
    "a built-in model such as splade-tiny, an existing folder, a hub id ORG/NAME[@REVISION], "
    "or bm25[:VARIANT]"
)
_HUB_ID = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")
_TRANSFORMERS = ("Transformer", "MLMTransformer")  # of sentence-transformers, new and old
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
# The files that decide the vectors; pooling is recorded by the encoder beside their hash.
_DECIDING_FILES = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    *_TOKENIZER_FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
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
            f"{repository!r} is no existing folder, and models come from the hub only with "
            "huggingface_hub installed"
        ) from None
    wanted: dict[str, Any] = {
        "revision": revision,
        "allow_patterns": ["*.json", "*.txt", "*.safetensors", "*.model"],
        "ignore_patterns": ["*/*.safetensors"],
    }
    at = f" at revision {revision!r}" if revision else ""
    # The hub's client lets through errors of whichever HTTP library it uses, so any error
    # of it means the same here: not from the network; and then: not from the cache either.
    try:
        return Path(snapshot_download(repository, **wanted))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
    try:
        return Path(snapshot_download(repository, local_files_only=True, **wanted))
    except Exception:
        raise EncoderError(
            f"{repository!r}{at} is neither an existing folder nor in the local hub cache, and "
            f"could not be downloaded ({reason}); check the name and the network, or give "
            f"{ACCEPTED}"
        ) from None


def check(folder: Path) -> None:
    """Raise `EncoderError` unless a folder holds a masked language model that loads safely."""
    config = read_json(folder / "config.json")
    architectures = config.get("architectures") or []
    if not any(str(name).endswith("ForMaskedLM") for name in architectures):
        raise EncoderError(
            f"{folder / 'config.json'} names the architecture {architectures}, and SPLADE needs "
            "one ending in ForMaskedLM; give a masked-language-model checkpoint"
        )
    if "quantization_config" in config:
        raise EncoderError(
            f"{folder} holds a quantized model, and encoding is done in float32; give the "
            "unquantized checkpoint"
        )
    if (folder / "adapter_config.json").exists():
        raise EncoderError(
            f"{folder} holds an adapter (adapter_config.json), which is not applied here; merge "
            "it into the model and save that"
        )
    if not _matching(folder, _TOKENIZER_FILES):
        raise EncoderError(
            f"{folder} has no tokenizer (one of {', '.join(_TOKENIZER_FILES)}); copy the "
            "tokenizer the model was trained with into it"
        )
    if not _matching(folder, ("*.safetensors",)):
        raise EncoderError(
            f"{folder} has no safetensors weights, and pickled ones (.bin, .pt) are never "
            "loaded; convert them: load the model where you trust it and call "
            "save_pretrained(folder)"
        )
    for index in folder.glob("*.safetensors.index.json"):
        shards = set(map(str, dict(read_json(index).get("weight_map", {})).values()))
        for shard in sorted(shards):
            if Path(shard).name != shard or not (folder / shard).is_file():
                raise EncoderError(f"{index} names the file {shard!r}, which is not beside it")


def sentence_transformers_pooling(folder: Path) -> str | None:
    """The pooling ("max" or "sum") of a sentence-transformers SPLADE folder.

    None when the folder is no sentence-transformers one.  Raises `EncoderError` for settings
    under which sentence-transformers would compute something else than SPLADE.
    """
    if not (folder / "modules.json").exists():
        return None

    def refuse(what: str) -> EncoderError:
        return EncoderError(
            f"{folder} is a sentence-transformers model with {what}, which is not supported; "
            "only a Transformer followed by SpladePooling with relu is"
        )

    modules = read_json(folder / "modules.json", list)
    kinds = [str(dict(module).get("type")).rpartition(".")[2] for module in modules]
    if len(kinds) != 2 or kinds[0] not in _TRANSFORMERS or kinds[1] != "SpladePooling":
        raise refuse(f"the modules {', '.join(kinds) or '(none)'}")
    paths = [str(dict(module).get("path", "")) for module in modules]
    if paths[0] or Path(paths[1]).name != paths[1]:
        raise refuse(f"its modules in {paths}")
    pooling = read_json(folder / paths[1] / "config.json")
    activation = pooling.get("activation_function", "relu")
    if activation != "relu":  # there "relu" means log1p(relu(x)), which is SPLADE's
        raise refuse(f"activation_function {activation!r}")
    strategy = str(pooling.get("pooling_strategy", "max"))
    if strategy not in ("max", "sum"):
        raise refuse(f"pooling_strategy {strategy!r}")
    if _optional(folder / "sentence_bert_config.json").get("do_lower_case"):
        raise refuse("do_lower_case")
    prompts = _optional(folder / "config_sentence_transformers.json").get("prompts")
    if any((prompts or {}).values()):
        raise refuse(f"prompts ({prompts})")
    return strategy


def content_hash(folder: Path) -> str:
    """BLAKE2b (32 bytes, hexadecimal) over the files that decide the vectors.

    Covers name, size and bytes of the configuration, the weights and the tokenizer, in the
    order of their names; other files, such as a README, change nothing.
    """
    digest = hashlib.blake2b(digest_size=32)
    for path in _matching(folder, _DECIDING_FILES):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_json(path: Path, kind: type[Any] = dict) -> Any:
    """A JSON file holding a `kind`; `EncoderError` when it is missing or something else."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise EncoderError(f"{path.parent} has no {path.name}; give a model folder") from None
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, kind):
        raise EncoderError(f"{path} does not hold a JSON {'object' if kind is dict else 'array'}")
    return value


def _optional(path: Path) -> Any:
    return read_json(path) if path.exists() else {}


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(found, key=lambda path: path.name)
