"""The datasets that are known by name: BEIR's, and two older ones in its form.

Names, splits and checksums are those of the table in BEIR's repository
(https://github.com/beir-cellar/beir/wiki/Datasets-available); the protocol is that of Thakur et
al., "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information Retrieval Models",
2021.
"""

from __future__ import annotations

import os
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
    """What is usual for a dataset.

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


_FORUMS = (
    "android", "english", "gaming", "gis", "mathematica", "physics", "programmers", "stats",
    "tex", "unix", "webmasters", "wordpress",
)  # fmt: skip

CATALOGUE = {
    "msmarco": Entry("444067daf65d982533ea17ebd59501e4", split="dev"),
    "trec-covid": Entry("ce62140cb23feb9becf6270d0d1fe6d1"),
    "nfcorpus": Entry("a89dba18a62ef92f7d323ec890a0d38d"),
    "nq": Entry("d4d3d2e48787a744b6f6e691ff534307"),
    "hotpotqa": Entry("f412724f78b0d91183a0e86805e16114"),
    "fiqa": Entry("17918ed23cd04fb15047f73e6c3bd9d9"),
    "arguana": Entry("8ad3e3c2a5867cdced806d6503f29b99", leaves_out_own=True),
    "webis-touche2020": Entry("46f650ba5a527fc69e0a6521c5a23563"),
    "cqadupstack": Entry("4e41456d7df8ee7760a7f866133bda78", parts=_FORUMS),
    "quora": Entry("18fb154900ba42a600f84b839c173167", leaves_out_own=True),
    "dbpedia-entity": Entry("c2a39eb420a3164af735795df012ac2c"),
    "scidocs": Entry("38121350fc3a4d2f48850f6aff52e4a9"),
    "fever": Entry("5a818580227bfb4b35bb6fa46d9b6c03"),
    "climate-fever": Entry("8b66f0a9126c521bae2bde127b4dc99d"),
    "scifact": Entry("5f7d1de60b170fc8027bb7898e2efca1"),
    "cranfield": Entry(),
    "vaswani": Entry(),
}

SUITES = {
    "small": ("nfcorpus", "scifact", "cranfield", "vaswani"),
    "beir13": (
        "trec-covid", "nfcorpus", "nq", "hotpotqa", "fiqa", "arguana", "webis-touche2020",
        "quora", "dbpedia-entity", "scidocs", "fever", "climate-fever", "scifact",
    ),
}  # fmt: skip


def entry_of(name: str) -> Entry:
    """What is usual for the dataset of a name, or of an ir_datasets id with "irds:" before it."""
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
    if data is not None and (place := _in_folder(data, name)) is not None:
        return place
    cache = cache_folder() / "datasets"
    if (place := _in_folder(cache, name)) is not None:
        return place
    md5 = CATALOGUE[name].md5
    if md5 is None:
        missing = f"{data} has neither {name}.zip nor a folder {name}" if data else "it is not here"
        raise CorpusError(
            f"{name} cannot be downloaded, and {missing}; name the folder that holds it "
            "with --data DIR"
        )
    place = cache / f"{name}.zip"
    download(f"{BASE_URL}/{name}.zip", place, md5, progress)
    return place


def _in_folder(folder: Path, name: str) -> Path | None:
    places = (folder / f"{name}.zip", folder / name)
    return next((place for place in places if place.exists()), None)
