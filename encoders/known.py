"""Models known by name: what computes them, their size and licence, what was published of them.

The table informs; any other folder or hub id of a known layout loads as well.  Figures are
those that the source gives, nothing here was measured by us, and None means not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One model.

    Attributes:
        name: what `lsr.load_encoder` takes: a built-in name or a hub id.
        method: a key of `lsr.encoders.methods.METHODS`, or "bm25".
        parameters: in millions; where only the size of the weights is known, a fourth of it.
        licence: of the weights, as an SPDX identifier in lower case.
        mrr: MRR@10 on the development queries of MS MARCO passages.
        beir: mean nDCG@10 over the 13 BEIR collections that most papers report.
        others: further figures by measure and collection.
        source: where the figures stand.
        builtin: whether it comes with lsr.
        obstacle: why it cannot be loaded, or None when it can.
        note: what to know before using it.
    """

    name: str
    method: str
    parameters: float | None = None
    licence: str | None = None
    mrr: float | None = None
    beir: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None
    builtin: bool = False
    obstacle: str | None = None
    note: str | None = None


def _bm25(variant: str, note: str) -> KnownModel:
    return KnownModel(f"bm25{variant}", "bm25", builtin=True, note=note)


_NC = "cc-by-nc-sa-4.0"
_APACHE = "apache-2.0"
_GATED = "the hub wants its conditions accepted first"
_V3 = "arXiv:2403.06789"
_OPENSEARCH = "opensearch-project/opensearch-neural-sparse-encoding"

KNOWN = (
    KnownModel(
        "splade-tiny",
        "splade-max",
        4.4,
        "mit",
        0.309,
        0.406,
        source="model card of rasyosef/splade-tiny",
        builtin=True,
        note="rasyosef/splade-tiny in half precision",
    ),
    _bm25("", "Lucene's; published: MRR@10 .180 to .187, BEIR .43 to .456, by implementation"),
    _bm25(":robertson", "the first, with idf cut at 0"),
    _bm25(":atire", "idf = log(N / df)"),
    _bm25(":bm25l", "kinder to long documents; delta .5"),
    _bm25(":bm25+", "any occurrence counts for at least delta, 1"),
    KnownModel(
        "naver/splade-v3",
        "splade-max",
        110,
        _NC,
        0.402,
        0.517,
        {
            "R@1000 MS MARCO dev": 0.987,
            "nDCG@10 TREC DL 2019": 0.723,
            "nDCG@10 TREC DL 2020": 0.754,
            "nDCG@10 NFCorpus": 0.3624,
        },
        _V3,
        note=_GATED,
    ),
    KnownModel("naver/splade-v3-distilbert", "splade-max", 67, _NC),
    KnownModel(
        "naver/splade-cocondenser-ensembledistil",
        "splade-max",
        110,
        _NC,
        0.383,
        0.505,
        {
            "R@1000 MS MARCO dev": 0.983,
            "nDCG@10 TREC DL 2019": 0.731,
            "nDCG@10 TREC DL 2020": 0.720,
            "nDCG@10 NFCorpus": 0.3473,
            "nDCG@10 SciFact": 0.7036,
            "nDCG@10 ArguAna": 0.5265,
            "nDCG@10 SCIDOCS": 0.1588,
            "nDCG@10 FiQA": 0.3473,
        },
        "arXiv:2205.04733",
        note="SPLADE++",
    ),
    KnownModel("naver/splade-cocondenser-selfdistil", "splade-max", 110, _NC, note="SPLADE++"),
    KnownModel("prithivida/Splade_PP_en_v1", "splade-max", 110, _APACHE),
    KnownModel("prithivida/Splade_PP_en_v2", "splade-max", None, _APACHE),
    KnownModel("rasyosef/splade-tiny", "splade-max", 4.4, "mit", 0.309, 0.406, source="model card"),
    KnownModel("rasyosef/splade-mini", "splade-max", 11.2, None, 0.341, 0.445, source="model card"),
    KnownModel(
        "rasyosef/splade-small", "splade-max", 28.8, None, 0.354, 0.466, source="model card"
    ),
    KnownModel(
        "ibm-granite/granite-embedding-30m-sparse",
        "splade-max",
        30.3,
        _APACHE,
        note="RoBERTa's vocabulary: 50,265 terms",
    ),
    KnownModel(f"{_OPENSEARCH}-v1", "splade-max", 133),
    KnownModel(f"{_OPENSEARCH}-v2-distill", "splade-max", 67, _APACHE),
    KnownModel(
        "naver/splade-v3-doc",
        "splade-doc",
        None,
        None,
        0.378,
        0.470,
        {"nDCG@10 TREC DL 2019": 0.715, "nDCG@10 TREC DL 2020": 0.703},
        _V3,
        note=_GATED,
    ),
    KnownModel("naver/splade-v3-lexical", "splade-lexical", 110, _NC),
    KnownModel(
        "naver/efficient-splade-V-large-doc",
        "efficient-splade",
        67,
        _NC,
        note="for documents; its partner for queries is the next",
    ),
    KnownModel("naver/efficient-splade-V-large-query", "efficient-splade", None, _NC),
    KnownModel(f"{_OPENSEARCH}-doc-v1", "inference-free", 133, _APACHE),
    KnownModel(f"{_OPENSEARCH}-doc-v2-distill", "inference-free", 67, _APACHE),
    KnownModel(
        f"{_OPENSEARCH}-doc-v3-distill",
        "inference-free-l0",
        67,
        _APACHE,
        None,
        0.517,
        source="model card",
    ),
    KnownModel(
        f"{_OPENSEARCH}-doc-v3-gte",
        "inference-free-l0",
        133,
        _APACHE,
        None,
        0.546,
        source="model card",
        obstacle="its architecture is Python code of the repository, which is never executed",
    ),
    KnownModel(
        "castorini/unicoil-msmarco-passage",
        "unicoil",
        110,
        mrr=0.351,
        source="arXiv:2106.14807",
        note="for documents expanded by docT5query",
    ),
    KnownModel(
        "castorini/unicoil-noexp-msmarco-passage", "unicoil", 110, note="for documents as they are"
    ),
    KnownModel(
        "soyuj/deeper-impact",
        "deepimpact",
        110,
        note="DeeperImpact: trained anew, for documents expanded by Llama 2",
    ),
    KnownModel("macavaney/deepct", "deepct", 110, note="its authors' weights, converted"),
    KnownModel(
        "ielab/TILDE",
        "tilde",
        110,
        obstacle="it re-ranks by log sigmoid of all logits, which is no inverted index",
    ),
    KnownModel(
        "ielab/TILDEv2-TILDE200-exp",
        "tildev2",
        110,
        note="for documents expanded by 200 terms of TILDE",
    ),
    KnownModel("ielab/TILDEv2-noExp", "tildev2", 110, note="for documents as they are"),
    KnownModel(
        "BeIR/sparta-msmarco-distilbert-base-v1",
        "sparta",
        67,
        note="BEIR keeps a document's 2,000 strongest terms: --document-terms 2000",
    ),
    KnownModel(
        "lsr42/qmlp_dmlm_msmarco_distil_kl_l1_0.0001",
        "qmlp-dmlm",
        obstacle="its folders lack the configuration of the models inside",
    ),
    KnownModel("BAAI/bge-m3", "bge-m3", 568, "mit", note="its sparse part; over 100 languages"),
    KnownModel(
        "lamdo/casper",
        "casper",
        note="30,522 tokens and 28,897 keyphrases of scientific papers",
    ),
)

_BY_NAME = {model.name: model for model in KNOWN}


def known(name: str) -> KnownModel | None:
    """The known model of a name as `lsr.load_encoder` takes it, or None.

    A revision (`ORG/NAME@REVISION`) and the constants of a BM25 are passed over.
    """
    if name.startswith("bm25"):
        variant = name.partition(",")[0]
        return _BY_NAME.get("bm25" if variant == "bm25:lucene" else variant)
    return _BY_NAME.get(name.partition("@")[0])
