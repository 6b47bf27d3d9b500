"""The datasets that are known by name: BEIR's, and two older ones in its form.

`datasets.toml` lists them.  Names, splits and checksums are those of the table in BEIR's repository
(https://github.com/beir-cellar/beir/wiki/Datasets-available); the protocol is that of Thakur et
al., "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information Retrieval Models",
2021.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from lsr.data.download import download
from lsr.errors import CorpusError
from lsr.progress import Progress

BASE_URL = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"

_MEASURES = ("nDCG@10", "R@100", "RR@10")
# Grade 1 of TREC's deep learning tracks is "related": of use to gains, not an answer.
_DEEP_LEARNING = ("nDCG@10", "R(rel=2)@100", "RR(rel=2)@10", "AP(rel=2)")


@dataclass(frozen=True, slots=True)
class Entry:
    """The usual settings for a dataset.

    Attributes:
        md5: of the official zip; None where there is none to download.
        split: the judgments that published figures are of.
        leaves_out_own: whether the document with the query's own id is left out of what is
            found: where queries are documents of the collection.
        parts: the folders of a dataset that is several, whose figure is the mean over them.
        measures: by ir-measures name, when none are asked for.
    """

    md5: str | None = None
    split: str = "test"
    leaves_out_own: bool = False
    parts: tuple[str, ...] = ()
    measures: tuple[str, ...] = _MEASURES


_TABLE = tomllib.loads(Path(__file__).with_name("datasets.toml").read_text("utf-8"))

CATALOGUE = {
    name: Entry(**{**fields, "parts": tuple(fields.get("parts", ()))})
    for name, fields in _TABLE["datasets"].items()
}
SUITES = {name: tuple(datasets) for name, datasets in _TABLE["suites"].items()}


def entry_of(name: str) -> Entry:
    """The usual settings for a dataset by its name, or by "irds:" and its ir_datasets id."""
    if name.startswith("irds:"):
        steps = name.removeprefix("irds:").split("/")
        if steps[0] == "beir" and len(steps) > 1:
            return CATALOGUE.get(steps[1], Entry())
        deep_learning = any(step.startswith("trec-dl-") for step in steps)
        return Entry(measures=_DEEP_LEARNING) if deep_learning else Entry()
    return CATALOGUE.get(name, Entry())


def cache_folder() -> Path:
    """The user's folder for what can be fetched or made again.

    Raises `CorpusError` where the user has no home.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lsr"
    except RuntimeError:
        raise CorpusError("there is no home folder for a cache; set XDG_CACHE_HOME") from None


def find_dataset(name: str, data: Path | None, progress: type[Progress]) -> Path:
    """The zip or folder of a dataset of `CATALOGUE`, downloaded where it is not at hand.

    It is looked for as NAME.zip and as NAME in `data`, then in the user's cache, and else
    downloaded there.  Raises `CorpusError` when there is none to be had.
    """

    def at_hand(folder: Path) -> Path | None:
        paths = (folder / f"{name}.zip", folder / name)
        return next((path for path in paths if path.exists()), None)

    path = (data and at_hand(data)) or at_hand(cache_folder() / "datasets")
    if path is not None:
        return path
    md5 = CATALOGUE[name].md5
    if md5 is None:
        missing = (
            f"{data} has neither {name}.zip nor a folder {name}"
            if data
            else "it is not in the cache"
        )
        raise CorpusError(
            f"{name} cannot be downloaded, and {missing}; give its folder with --data DIR"
        )
    path = cache_folder() / "datasets" / f"{name}.zip"
    download(f"{BASE_URL}/{name}.zip", path, md5, progress)
    return path
