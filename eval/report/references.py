"""How far results are from what others published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lsr.eval.published import published

MEAN = "mean"  # the dataset of a reference that is the mean of all


@dataclass(frozen=True, slots=True)
class Difference:
    """A published figure, and each encoder's difference to it.

    Attributes:
        dataset: its name, or `MEAN`.
        measure, system: names.
        value: as published; for `MEAN`, the mean of what is published for each dataset.
        source: where it stands, in words.
        url: the same place.
        deltas: for each encoder its value minus the published one, None where it has none.
    """

    dataset: str
    measure: str
    system: str
    value: float
    source: str
    url: str
    deltas: list[float | None]


def differences(
    measure: str, rows: Mapping[str, Sequence[float | None]], means: Sequence[float | None]
) -> list[Difference]:
    """Every published figure for these datasets, and the mean of the systems that have them all.

    Args:
        measure: ir-measures' name.
        rows: dataset -> each encoder's value.
        means: each encoder's mean over the datasets; empty when that is not wanted.
    """
    found = [
        Difference(
            dataset,
            measure,
            reference.system,
            reference.value,
            reference.source,
            reference.url,
            _deltas(row, reference.value),
        )
        for dataset, row in rows.items()
        for reference in published(dataset, measure)
    ]
    if not means:
        return found
    systems = {one.system: one for one in found}
    for system, one in systems.items():
        values = [other.value for other in found if other.system == system]
        if len(values) == len(rows):
            mean = sum(values) / len(values)
            found.append(
                Difference(MEAN, measure, system, mean, one.source, one.url, _deltas(means, mean))
            )
    return found


def _deltas(values: Sequence[float | None], published_value: float) -> list[float | None]:
    return [None if value is None else value - published_value for value in values]
