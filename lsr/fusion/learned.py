"""Fusion by a gradient-boosted ranker, learned from judged queries.

S. Dadas, M. Perełkiewicz and R. Poświata, "PIRB: A comprehensive benchmark of Polish dense and
hybrid text retrieval methods" (LREC-COLING 2024): a document has four features a retriever, its
score (0 if absent), whether it is present, and the largest and the least score of the query's list.
The trees are LightGBM's, by LambdaMART; the paper has XGBoost's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lsr.arguments import whole
from lsr.errors import FusionError, LsrError, first_line
from lsr.fusion.lists import Fused, Positions, Ranked, best_first, union
from lsr.storage.manifest import Problem, read_sealed, write_sealed

if TYPE_CHECKING:
    from lightgbm import Booster

FEATURES = ("score", "present", "max", "min")  # of each retriever
_FORMAT, _VERSION = "lsr learned fusion", 1
_MOST_LEAVES = 1 << 16

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LearnedFusion:
    """A trained fusion of certain retrievers.

    Attributes:
        retrievers: their names, in the order of the lists.
        model: LightGBM's text.
    """

    retrievers: tuple[str, ...]
    model: str

    @classmethod
    def train(
        cls,
        retrievers: Sequence[str],
        examples: Iterable[tuple[Sequence[Ranked], Mapping[int, int]]],
        *,
        trees: int = 100,
        leaves: int = 15,
    ) -> LearnedFusion:
        """Learn from judged queries: the lists of each, and its grades by position, from 0.

        Documents without a grade count as 0.  The same examples give the same model.

        Raises `FusionError` when LightGBM is not installed or no list has a relevant document.
        """
        trees, leaves = whole("trees", trees), whole("leaves", leaves, 2)
        lightgbm = _lightgbm()
        matrices, labels, sizes = [], [], []
        for lists, grades in examples:
            positions, matrix = features(lists, len(retrievers))
            if positions.size:
                matrices.append(matrix)
                labels += [max(0, grades.get(position, 0)) for position in positions.tolist()]
                sizes.append(positions.size)
        if not any(labels):
            raise FusionError(
                "a fusion cannot be learned: no list of a judged query has a relevant document"
            )
        data = lightgbm.Dataset(np.concatenate(matrices), labels, group=sizes)
        booster = lightgbm.train(
            {
                "objective": "lambdarank",
                "label_gain": [2.0**grade - 1 for grade in range(max(labels) + 1)],
                "learning_rate": 0.05,
                "num_leaves": leaves,
                "min_data_in_leaf": 20,
                "deterministic": True,
                "force_row_wise": True,
                # OpenMP's threads wait for each other, which takes forever on a busy machine.
                "num_threads": 1,
                "verbosity": -1,
            },
            data,
            num_boost_round=trees,
        )
        return cls(tuple(retrievers), booster.model_to_string())

    def rank(self, lists: Sequence[Ranked], k: int) -> Ranked:
        """The k best documents, equal scores by ascending position; quicker than `fuse`.

        Raises `FusionError` for another number of lists than it was trained for.
        """
        positions, matrix = features(lists, len(self.retrievers))
        if not positions.size:
            return Ranked(positions, np.empty(0))
        predicted = self._predict(matrix)
        best = best_first(predicted, whole("k", k))
        return Ranked(positions[best], predicted[best] - self._base)

    def fuse(self, lists: Sequence[Ranked], k: int) -> Fused:
        """As `rank`, with each list's contribution.

        A contribution is the sum of the Shapley values (S. Lundberg and S.-I. Lee, 2017) of a
        retriever's features.  They add up to the score within 10⁻⁹ of the largest.
        """
        ranked = self.rank(lists, k)
        positions, matrix = features(lists, len(self.retrievers))
        if not positions.size:
            return Fused(*ranked, np.zeros((len(lists), 0)))
        rows = matrix[np.searchsorted(positions, ranked.positions)]
        values = self._predict(rows, pred_contrib=True)[:, :-1]
        by_list = values.reshape(len(rows), len(self.retrievers), len(FEATURES)).sum(axis=2)
        return Fused(*ranked, np.ascontiguousarray(by_list.T))

    def __reduce__(self) -> tuple[Any, ...]:
        return LearnedFusion, (self.retrievers, self.model)

    def save(self, path: str | PathLike[str]) -> None:
        """Write it as one file: JSON that holds LightGBM's text, with a checksum."""
        body = {"retrievers": list(self.retrievers), "features": FEATURES, "model": self.model}
        write_sealed(Path(path), {"format": _FORMAT, "version": _VERSION}, body)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LearnedFusion:
        """Read what `save` wrote.

        Raises `FusionError` when there is no such file, or it is damaged, or of another kind, and
        `SystemCallError`.
        """

        def refusal(problem: Problem, what: str) -> LsrError:
            if problem == "version":
                return FusionError(f"{path} is a learned fusion of another version; train it again")
            if problem == "damaged":
                return FusionError(f"the fusion {path} is damaged: {what}; train it again")
            return FusionError(f"{path} is not a learned fusion; train one")

        try:
            fields = read_sealed(Path(path), _FORMAT, (_VERSION,), _Fields, refusal)
        except FileNotFoundError:
            raise FusionError(f"there is no learned fusion {path}; train one") from None
        try:
            if not fields.retrievers or fields.features != [*FEATURES]:
                raise ValueError("its features are not this version's")
            check_model(fields.model, len(fields.retrievers) * len(FEATURES))
        except (ValueError, KeyError, OverflowError) as error:
            raise refusal("damaged", str(error)) from None
        return cls(tuple(fields.retrievers), fields.model)

    @cached_property
    def _booster(self) -> Booster:
        lightgbm = _lightgbm()
        try:
            return lightgbm.Booster(model_str=self.model)
        except lightgbm.basic.LightGBMError as error:
            raise FusionError(
                f"LightGBM cannot read the learned fusion: {first_line(error)}; train it again"
            ) from None

    @cached_property
    def _base(self) -> float:
        """The score that every document gets: it ranks nothing, so scores are without it."""
        nothing = np.zeros((1, len(self.retrievers) * len(FEATURES)))
        return float(self._predict(nothing, pred_contrib=True)[0, -1])

    def _predict(self, matrix: Matrix, **options: Any) -> Matrix:
        # One thread: a query's documents are too few to share.
        return np.asarray(self._booster.predict(matrix, num_threads=1, **options), np.float64)


@dataclass(frozen=True)
class _Fields:
    """The fields of a file beside its head."""

    retrievers: list[str]
    features: list[str]
    model: str


def features(lists: Sequence[Ranked], retrievers: int) -> tuple[Positions, Matrix]:
    """The documents of some lists, by ascending position, and their features.

    Returns:
        positions, and float64 of shape (documents, 4 x lists): score, present, max, min of each.

    Raises `FusionError` when there are not as many lists as retrievers.
    """
    if len(lists) != retrievers:
        raise FusionError(
            f"the fusion was learned for {retrievers} retrievers and there are {len(lists)} lists; "
            "give one each, in the same order"
        )
    positions, columns = union(lists)
    matrix = np.zeros((positions.size, len(FEATURES) * len(lists)))
    for number, (ranked, column) in enumerate(zip(lists, columns, strict=True)):
        if column.size:
            start = number * len(FEATURES)
            matrix[column, start] = ranked.scores
            matrix[column, start + 1] = 1
            matrix[:, start + 2] = ranked.scores[0]
            matrix[:, start + 3] = ranked.scores[-1]
    return positions, matrix


def check_model(model: str, count: int) -> None:
    """Whether LightGBM can follow the trees of a model of so many features.

    It walks from node to node by the numbers in the file, without a check of its own; they must
    lead onward and end in a leaf.  Raises `ValueError`.
    """
    head, *trees = model.split("\nTree=")
    fields = _fields(head)
    one = {"num_class": "1", "num_tree_per_iteration": "1", "max_feature_idx": str(count - 1)}
    if {name: fields.get(name) for name in one} != one or not trees or not model.isascii():
        raise ValueError(f"its model is not of {count} features")
    at = len(head) + 1
    sizes = [int(size) for size in fields["tree_sizes"].split()]
    for number, size in enumerate(sizes):
        if not model.startswith(f"Tree={number}\n", at):
            raise ValueError(f"tree {number} does not start where it should")
        at += size
    if len(sizes) != len(trees) or not len(head) < at <= len(model):
        raise ValueError("its trees are not as long as they should be")
    for number, tree in enumerate(trees):
        fields = _fields(tree.partition("\n\n")[0])
        leaves = int(fields["num_leaves"])
        kind = fields["num_cat"], fields.get("is_linear", "0")
        if not 1 <= leaves <= _MOST_LEAVES or kind != ("0", "0"):
            raise ValueError(f"tree {number} is of another kind")
        nodes = np.arange(leaves - 1)
        split_on = _numbers(fields, "split_feature", nodes.size, int)
        if ((split_on < 0) | (split_on >= count)).any():
            raise ValueError(f"tree {number} asks for a feature that there is not")
        for side in ("left_child", "right_child"):
            child = _numbers(fields, side, nodes.size, int)
            if ((child >= leaves - 1) | (child < -leaves) | (child >= 0) & (child <= nodes)).any():
                raise ValueError(f"tree {number} has a node that leads nowhere")
        for name, size in (("threshold", nodes.size), ("leaf_value", leaves)):
            if not np.isfinite(_numbers(fields, name, size)).all():
                raise ValueError(f"tree {number} has a {name} that is not finite")


def _fields(text: str) -> dict[str, str]:
    """The lines "name=value" of a text."""
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


def _numbers(
    fields: Mapping[str, str], name: str, size: int, dtype: type = float
) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = np.array(
        [dtype(value) for value in fields.get(name, "").split()], dtype
    )
    if values.size != size:
        raise ValueError(f"a tree has {values.size} numbers of {name} instead of {size}")
    return values


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise FusionError(
            f"learned fusion needs LightGBM ({first_line(error)}): install 'lsr-engine[learned]'"
        ) from None
    return lightgbm
