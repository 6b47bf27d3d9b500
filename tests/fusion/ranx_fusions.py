"""Random runs and what the library ranx makes of them, as JSON on standard output.

    pip install ranx && python tests/fusion/ranx_fusions.py 0 > tests/fusion/ranx_fusions.json

ranx compiles for most of a minute and draws in plotting libraries, so the tests read its figures
from the file, and run it (`test_fusion.py`) only where somebody has installed it.
"""

import json
import sys
import warnings

import numpy as np

CASES = 10
WEIGHTS = [0.7, 0.1, 0.4]
FUSIONS = {  # ours -> ranx's normalisation, method, parameters
    "rrf": (None, "rrf", {"k": 60}),
    "minmax": ("min-max", "wsum", {"weights": WEIGHTS}),
    "zscore": ("zmuv", "wsum", {"weights": WEIGHTS}),
    "none": (None, "wsum", {"weights": WEIGHTS}),
}


def random_list(rng: np.random.Generator, case: int, number: int) -> dict[str, float]:
    """Scores by document of one retriever; some of every awkward kind."""
    if case == number:
        return {}
    size = 1 if case == number + 3 else int(rng.integers(1, 25))
    scores = rng.normal(10 * number, 3, size)
    if case % 3 == 0:
        scores = np.round(scores)  # ties
    if case == number + 6:
        scores[:] = 2.5  # equal scores
    documents = rng.choice(40, size, replace=False)
    return {str(d): float(s) for d, s in zip(documents, scores, strict=True)}


def main() -> None:
    from numba.typed import Dict as TypedDict
    from ranx import Run, fuse

    rng = np.random.default_rng(int(sys.argv[1]))
    given = [[random_list(rng, case, number) for number in range(3)] for case in range(CASES)]
    # ranx cannot type an empty list, so it starts from a document that is taken out again.
    runs = []
    for number in range(3):
        run = Run({str(case): given[case][number] or {"-": 0.0} for case in range(CASES)})
        if "-" in run.run[str(number)]:
            del run.run[str(number)]["-"]
        runs.append(run)
    # In ranx's order of equal scores, which decides their ranks.
    ordered = [[dict(run.run[str(case)].items()) for run in runs] for case in range(CASES)]
    fused = {}
    for name, (norm, method, parameters) in FUSIONS.items():
        # The mean of an empty list stops ranx in the middle, without an error.
        cases = [case for case in range(CASES) if name != "zscore" or all(given[case])]
        chosen = []
        for run in runs:
            chosen.append(Run())
            chosen[-1].run = TypedDict()
            for case in cases:
                chosen[-1].run[str(case)] = run.run[str(case)]
        found = fuse(chosen, norm=norm, method=method, params=parameters)
        fused[name] = {case: dict(found.run[str(case)].items()) for case in cases}
    json.dump({"weights": WEIGHTS, "runs": ordered, "fused": fused}, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # numba's, about ranx's casts
    main()
