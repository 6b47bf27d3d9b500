"""Learned fusion: its features, what it learns, and its file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.errors import FusionError, SystemCallError
from lsr.fusion.learned import LearnedFusion, check_model, features
from lsr.fusion.lists import Ranked
from lsr.storage.manifest import sealed_json

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")

Example = tuple[list[Ranked], dict[int, int]]


def ranked(scores: dict[int, float]) -> Ranked:
    order = sorted(scores, key=lambda place: (-scores[place], place))
    return Ranked(np.array(order, np.int64), np.array([scores[p] for p in order], np.float64))


def examples(count: int, seed: int) -> list[Example]:
    """Lists of a retriever that knows, of one that guesses, and what is relevant."""
    rng = np.random.default_rng(seed)
    made: list[Example] = []
    for _ in range(count):
        relevant = rng.choice(200, 5, replace=False)
        lists = []
        for knows in (3.0, 0.0):
            values = rng.normal(0, 1, 200)
            values[relevant] += knows
            best = np.argsort(-values)[:60]
            lists.append(Ranked(best.astype(np.int64), values[best]))
        made.append((lists, {int(place): 1 for place in relevant}))
    return made


@pytest.fixture(scope="module")
def learned() -> LearnedFusion:
    return LearnedFusion.train(["knows", "guesses"], examples(40, 0), trees=30)


def test_the_features() -> None:
    lists = [ranked({7: 9.0, 3: 5.0}), ranked({3: 0.5, 2: -0.5, 8: -0.5}), ranked({})]
    places, matrix = features(lists, 3)
    assert places.tolist() == [2, 3, 7, 8]
    assert matrix.tolist() == [
        [0.0, 0, 9, 5, -0.5, 1, 0.5, -0.5, 0, 0, 0, 0],
        [5.0, 1, 9, 5, 0.5, 1, 0.5, -0.5, 0, 0, 0, 0],
        [9.0, 1, 9, 5, 0, 0, 0.5, -0.5, 0, 0, 0, 0],
        [0.0, 0, 9, 5, -0.5, 1, 0.5, -0.5, 0, 0, 0, 0],
    ]


def test_it_learns_whom_to_believe(learned: LearnedFusion) -> None:
    first, trusted = [], []
    for lists, grades in examples(30, 1):
        fused = learned.fuse(lists, 10)
        first.append(fused.positions[0] in grades)
        trusted.append(
            np.abs(fused.contributions[0]).sum() > 5 * np.abs(fused.contributions[1]).sum()
        )
        assert (np.diff(fused.scores) <= 0).all()
    assert np.mean(first) > 0.8
    assert np.mean(trusted) > 0.9


def test_shares_add_up_and_ranks_are_the_trees(learned: LearnedFusion) -> None:
    lists, _ = examples(1, 2)[0]
    everything = learned.rank(lists, 1000)
    places, matrix = features(lists, 2)
    assert sorted(everything.positions.tolist()) == places.tolist()
    booster = lightgbm.Booster(model_str=learned.model)
    raw = booster.predict(matrix)
    order = sorted(range(places.size), key=lambda i: (-raw[i], places[i]))
    assert everything.positions.tolist() == places[order].tolist()
    assert (np.diff(everything.scores) == 0).any()
    for k in (1, 7, 1000):
        fused = learned.fuse(lists, k)
        assert fused.positions.tolist() == everything.positions[:k].tolist()
        assert fused.scores.tolist() == everything.scores[:k].tolist()
        assert fused.contributions.shape == (2, len(fused.positions))
        np.testing.assert_allclose(fused.contributions.sum(axis=0), fused.scores, atol=1e-9)
        contributions = booster.predict(matrix[order[:k]], pred_contrib=True)
        np.testing.assert_allclose(
            fused.contributions[1], contributions[:, 4:8].sum(axis=1), atol=1e-12
        )


def test_lists_without_documents(learned: LearnedFusion) -> None:
    nothing = learned.fuse([ranked({}), ranked({})], 5)
    assert (nothing.positions.size, nothing.scores.size, nothing.contributions.shape) == (
        0,
        0,
        (2, 0),
    )
    one = learned.fuse([ranked({}), ranked({4: 1.0})], 5)
    assert one.positions.tolist() == [4]
    with pytest.raises(FusionError, match="learned for 2 retrievers and there are 1 lists"):
        learned.rank([ranked({4: 1.0})], 5)


def test_the_same_examples_give_the_same_model(learned: LearnedFusion) -> None:
    again = LearnedFusion.train(["knows", "guesses"], iter(examples(40, 0)), trees=30)
    assert again.model == learned.model
    other = LearnedFusion.train(["knows", "guesses"], examples(40, 5), trees=30)
    assert other.model != learned.model


def test_nothing_to_learn_from() -> None:
    found = [ranked({1: 2.0, 2: 1.0})]
    for hopeless in ([], [([ranked({})], {1: 1})], [(found, {9: 1, 2: 0, 1: -1})]):
        with pytest.raises(FusionError, match="no list of a judged query has a relevant"):
            LearnedFusion.train(["a"], hopeless)


def test_saved_and_loaded(learned: LearnedFusion, tmp_path: Path) -> None:
    path = tmp_path / "fusion.json"
    learned.save(path)
    loaded = LearnedFusion.load(path)
    assert loaded == learned
    lists, _ = examples(1, 3)[0]
    assert loaded.rank(lists, 9).scores.tolist() == learned.rank(lists, 9).scores.tolist()
    assert json.loads(path.read_bytes())["model"].startswith("tree\n")
    assert [file.name for file in tmp_path.iterdir()] == ["fusion.json"]


def test_every_damaged_byte_is_seen(learned: LearnedFusion, tmp_path: Path) -> None:
    path = tmp_path / "fusion.json"
    learned.save(path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(good), 150).tolist():
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(FusionError, match=r"fusion\.json is"):
            LearnedFusion.load(path)
    for end in (0, 1, 50, len(good) - 1):
        path.write_bytes(good[:end])
        with pytest.raises(FusionError, match="is not a learned fusion"):
            LearnedFusion.load(path)


@pytest.mark.parametrize("content", [b"[1]", b"null", b'{"format": 3}', b"\xff\xfe", b"[" * 90000])
def test_files_of_another_kind(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(FusionError, match=r"other\.json is not a learned fusion; train one"):
        LearnedFusion.load(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"there is no learned fusion .*none.json; train one"):
        LearnedFusion.load(tmp_path / "none.json")
    with pytest.raises(SystemCallError, match="cannot be read: Is a directory"):
        LearnedFusion.load(tmp_path)
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FusionError, match="is not a learned fusion"):
        LearnedFusion.load(huge)


HEAD = {"format": "lsr learned fusion", "version": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"retrievers": []}, "damaged: its features are not"),
        ({"retrievers": ["a", 2]}, r"damaged: .* impossible value \(retrievers\)"),
        ({"retrievers": "ab"}, r"damaged: .* impossible value \(retrievers\)"),
        ({"retrievers": ["a"]}, "damaged: its model is not of 4 features"),
        ({"features": ["score"]}, "damaged: its features are not this version's"),
        ({"model": 7}, r"damaged: .* impossible value \(model\)"),
        ({"model": "tree\n"}, "damaged: its model is not of 8 features"),
    ],
)
def test_sealed_nonsense(
    learned: LearnedFusion, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "fusion.json"
    learned.save(path)
    fields = json.loads(path.read_bytes())
    body = {name: fields[name] for name in ("retrievers", "features", "model")}
    path.write_bytes(sealed_json(HEAD, {**body, **change}))
    with pytest.raises(FusionError, match=message):
        LearnedFusion.load(path)
    path.write_bytes(sealed_json({**HEAD, "version": 2}, body))
    with pytest.raises(FusionError, match="of another version; train it again"):
        LearnedFusion.load(path)


def first(name: str, value: Callable[[list[str]], Sequence[str]]) -> Callable[[str], str]:
    """Change the values of the first line called so, in the first tree or before it."""

    def change(model: str) -> str:
        start = model.index(f"\n{name}=") + len(name) + 2
        end = model.index("\n", start)
        changed = " ".join(value(model[start:end].split())).ljust(end - start)
        longer = len(changed) - (end - start)
        model = model[:start] + changed + model[end:]
        sizes = model.index("\ntree_sizes=") + len("\ntree_sizes=")
        if longer and start > sizes:
            size, rest = model[sizes:].split(" ", 1)
            model = f"{model[:sizes]}{int(size) + longer} {rest}"
        return model

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first("left_child", lambda v: ["0", *v[1:]]), "tree 0 has a node that leads nowhere"),
        (first("right_child", lambda v: [*v[:-1], "99"]), "tree 0 has a node that leads nowhere"),
        (first("right_child", lambda v: [*v[:-1], "-99"]), "tree 0 has a node that leads nowhere"),
        (first("split_feature", lambda v: ["8", *v[1:]]), "asks for a feature that there is not"),
        (first("split_feature", lambda v: ["-1", *v[1:]]), "asks for a feature that"),
        (first("split_feature", lambda v: v[1:]), "14 numbers|13 numbers"),
        (
            first("threshold", lambda v: ["nan", *v[1:]]),
            "tree 0 has a threshold that is not finite",
        ),
        (first("leaf_value", lambda v: ["inf", *v[1:]]), "tree 0 has a leaf_value that is not"),
        (first("num_leaves", lambda v: ["-3"]), "tree 0 is of another kind"),
        (first("num_cat", lambda v: ["1"]), "tree 0 is of another kind"),
        (first("is_linear", lambda v: ["1"]), "tree 0 is of another kind"),
        (first("tree_sizes", lambda v: ["9" * len(v[0]), *v[1:]]), "tree 1 does not start where"),
        (first("tree_sizes", lambda v: [*v[:-1], "9999"]), "not as long as they should be"),
        (first("tree_sizes", lambda v: v[:-1]), "not as long as they should be"),
        (first("num_class", lambda v: ["2"]), "is not of 8 features"),
    ],
)
def test_models_that_lead_astray(
    learned: LearnedFusion, change: Callable[[str], str], message: str
) -> None:
    check_model(learned.model, 8)
    with pytest.raises(ValueError, match=message):
        check_model(change(learned.model), 8)


def test_without_lightgbm(python: list[str], tmp_path: Path, learned: LearnedFusion) -> None:
    learned.save(tmp_path / "fusion.json")
    code = (
        "import sys; sys.modules['lightgbm'] = None\n"
        "import numpy as np\n"
        "from lsr.errors import FusionError\n"
        "from lsr.fusion.lists import Ranked\n"
        "from lsr.fusion.learned import LearnedFusion\n"
        f"fusion = LearnedFusion.load({str(tmp_path / 'fusion.json')!r})\n"
        "one = Ranked(np.array([1]), np.array([1.0]))\n"
        "try:\n"
        "    fusion.rank([one, one], 1)\n"
        "except FusionError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([*python, code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("learned fusion needs LightGBM (")
    assert done.stdout.endswith("install 'lsr-engine[learned]'\n")
