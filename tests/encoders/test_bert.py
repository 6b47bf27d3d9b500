"""The kernels' BERT against one in plain NumPy."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.encoders.methods import Precision
from lsr.kernels import ISAS
from lsr.kernels import encoders as kernels
from support import plain_bert
from support.plain_bert import Arrays, gelu, random_arrays

FP32, BF16, INT8 = range(3)
WORDS = 30
LENGTHS = [0, 1, 2, 31, 32, 33, 47, 48, 49, 100]
EPSILON = 1e-5

Floats = npt.NDArray[np.float32]

pytestmark = pytest.mark.parametrize("isa", ISAS["encoders"])


def test_codes_are_those_of_the_names(isa: str) -> None:
    assert get_args(Precision) == ("fp32", "bf16", "int8")


@st.composite
def models(draw: st.DrawFn) -> tuple[Arrays, int, int]:
    """Arrays, layers and heads, of sizes that fill no vector."""
    heads = draw(st.integers(1, 4))
    width = heads * draw(st.integers(-(-4 // heads), 96 // heads))
    inner, layers = draw(st.integers(1, 130)), draw(st.integers(0, 3))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    return random_arrays(random, width, inner, layers, draw(st.booleans()), WORDS), layers, heads


def some_ids(seed: int, lengths: Any) -> npt.NDArray[np.uint32]:
    return np.random.default_rng(seed).integers(0, WORDS, sum(lengths)).astype(np.uint32)


def run(model: Any, ids: Any, lengths: Any) -> Floats:
    found: Floats = model.hidden(ids, np.array(lengths, np.int64))
    assert found.dtype == np.float32
    return found


@given(models(), st.lists(st.sampled_from(LENGTHS), max_size=3), st.integers(0, 1 << 32))
def test_equals_plain_numpy(
    isa: str, model: tuple[Arrays, int, int], lengths: list[int], seed: int
) -> None:
    """float32 is some 5e-6 off; roundings of the others fall otherwise where they are close, and
    what comes of that over three layers is far below what rounding itself does."""
    arrays, layers, heads = model
    ids = some_ids(seed, lengths)
    for precision, most, mean in ((FP32, 1e-4, 1e-5), (BF16, 0.1, 0.01), (INT8, 0.3, 0.03)):
        made = kernels.Bert(isa, precision, layers, heads, EPSILON, arrays)
        found = run(made, ids, lengths)
        rounded = plain_bert.ROUND[precision]
        expected = plain_bert.hidden(arrays, heads, EPSILON, ids, lengths, rounded)
        assert found.shape == expected.shape
        away = np.abs(found - expected)
        assert away.max(initial=0) < most
        assert away.sum() <= mean * away.size


@given(
    models(), st.lists(st.sampled_from(LENGTHS), min_size=2, max_size=4), st.sampled_from([0, 1, 2])
)
def test_a_text_does_not_depend_on_its_neighbours(
    isa: str, model: tuple[Arrays, int, int], lengths: list[int], precision: int
) -> None:
    arrays, layers, heads = model
    made = kernels.Bert(isa, precision, layers, heads, EPSILON, arrays)
    ids = some_ids(5, lengths)
    cuts = np.cumsum(lengths)[:-1]
    alone = [run(made, own, [own.size]) for own in np.split(ids, cuts)]
    assert run(made, ids, lengths).tobytes() == np.concatenate(alone).tobytes()


@pytest.mark.parametrize("precision", [FP32, BF16, INT8])
@pytest.mark.parametrize("width", [4, 15, 33, 64, 96])
def test_products_round_as_they_say(isa: str, precision: int, width: int) -> None:
    """Two products after a silent attention: but for inputs between two values, exactly so."""
    random = np.random.default_rng(width)
    arrays = random_arrays(random, width, 2 * width + 1, 1, True, WORDS)
    arrays["layers.0.output.weight"][:] = 0  # has no scale
    ids = some_ids(1, [100])
    found = run(kernels.Bert(isa, precision, 1, 1, EPSILON, arrays), ids, [100])
    expected = plain_bert.hidden(arrays, 1, EPSILON, ids, [100], plain_bert.ROUND[precision])
    assert np.quantile(np.abs(found - expected).max(1), 0.9) < 1e-5
    if precision != FP32:
        unlike = plain_bert.hidden(arrays, 1, EPSILON, ids, [100])
        assert np.median(np.abs(found - unlike)) > 1e-4


def test_bytes_are_multiplied_alike(isa: str) -> None:
    """Bit by bit where floats are rounded alike, however differently bytes are multiplied."""
    alike = [{"avx2", "avxvnni"}, {"avx512", "avx512bf16"}]
    others = [set(ISAS["encoders"]) & group - {isa} for group in alike if isa in group]
    random = np.random.default_rng(9)
    arrays = random_arrays(random, 96, 130, 2, True, WORDS)
    for name in ("output", "up"):  # weights that are all as large as bytes can be
        arrays[f"layers.0.{name}.weight"] = np.sign(arrays[f"layers.0.{name}.weight"])
    ids = some_ids(2, [100, 31])
    found = run(kernels.Bert(isa, INT8, 2, 4, EPSILON, arrays), ids, [100, 31])
    for other in set().union(*others):
        twin = run(kernels.Bert(other, INT8, 2, 4, EPSILON, arrays), ids, [100, 31])
        assert found.tobytes() == twin.tobytes()


def test_gelu_at_its_ends(isa: str) -> None:
    """The last step is gelu(bias) here, under a norm that an epsilon makes all but linear."""
    values = np.concatenate(
        [np.linspace(-12, 12, 480), [0, -0.0, 1e-30, -1e-30, 30, -30, 100, -100, 1e-3, -1e-3]]
    ).astype(np.float32)
    width, epsilon = values.size, 1e8
    arrays = random_arrays(np.random.default_rng(1), width, 1, 0, True, 1)
    arrays["transform.weight"][:] = 0
    arrays["transform.bias"] = values
    arrays["transform_norm.gamma"] = np.ones(width, np.float32)
    arrays["transform_norm.beta"] = np.zeros(width, np.float32)
    (found,) = run(kernels.Bert(isa, FP32, 0, 1, epsilon, arrays), np.zeros(1, np.uint32), [1])
    expected = gelu(values.astype(float))
    spread = np.sqrt(expected.var() + epsilon)
    assert np.abs(found * spread + expected.mean() - expected).max() < 1e-5


@pytest.mark.parametrize(("scale", "tolerance"), [(0, 1e-5), (5, 1e-4), (20, 2e-3), (1e6, None)])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 49, 100])
def test_softmax_at_its_ends(isa: str, scale: float, tolerance: float | None, length: int) -> None:
    """Scores of zero, of hundreds, of 10^12, where a position attends to one: float32 scores are
    off by their size over 10^7."""
    arrays = random_arrays(np.random.default_rng(length), 24, 8, 1, False, WORDS)
    arrays["layers.0.query_key_value.weight"][:48] *= scale
    arrays["layers.0.query_key_value.bias"][:48] *= scale
    ids = some_ids(3, [length])
    found = run(kernels.Bert(isa, FP32, 1, 3, EPSILON, arrays), ids, [length])
    away = np.abs(found - plain_bert.hidden(arrays, 3, EPSILON, ids, [length])).max(1)
    if tolerance is None:
        assert np.isfinite(found).all()
        assert np.median(away) < 1e-4
    else:
        assert away.max() < tolerance


@pytest.mark.parametrize("width", [4, 7, 16, 50, 96])
@pytest.mark.parametrize("value", [0, 1, -3.25, 4096])
def test_a_norm_of_equal_values_is_its_beta(isa: str, width: int, value: float) -> None:
    arrays = random_arrays(np.random.default_rng(1), width, 1, 0, False, WORDS)
    arrays["words"][:] = value
    arrays["positions"][:] = 0
    found = run(kernels.Bert(isa, FP32, 0, 1, 1e-12, arrays), some_ids(1, [9]), [9])
    assert (found == arrays["embedding_norm.beta"]).all()


@pytest.mark.parametrize("precision", [FP32, BF16, INT8])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("layers.0.query_key_value.weight", 1e25),  # finite itself; its scores are not
        ("layers.0.query_key_value.weight", 3e38),
        ("layers.0.output.weight", 3e38),
        ("layers.0.up.weight", 3e38),
        ("layers.0.down.weight", 3e38),
        ("layers.1.query_key_value.weight", 3e38),
        ("layers.1.up.weight", 3e38),
        ("layers.1.down_norm.gamma", 3e38),
        ("transform.weight", 3e38),
    ],
)
def test_what_overflows_is_not_finite(isa: str, precision: int, name: str, size: float) -> None:
    """Rather than numbers that look like any others."""
    random = np.random.default_rng(2)
    arrays = random_arrays(random, 24, 40, 2, True, WORDS)
    signs = np.sign(random.normal(size=arrays[name].shape))
    arrays[name] = (signs * size).astype(np.float32)
    ids = some_ids(4, [20])
    found = run(kernels.Bert(isa, precision, 2, 2, EPSILON, arrays), ids, [20])
    assert not np.isfinite(found).all()


def test_threads_do_not_disturb_each_other(isa: str) -> None:
    arrays = random_arrays(np.random.default_rng(6), 36, 50, 2, True, WORDS)
    models = [kernels.Bert(isa, precision, 2, 3, EPSILON, arrays) for precision in range(3)]
    work = [(models[n % 3], some_ids(n, [n, n // 2]), [n, n // 2]) for n in range(1, 60)]
    expected = [run(*each).tobytes() for each in work]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            assert [found.tobytes() for found in threads.map(lambda e: run(*e), work)] == expected


@pytest.fixture
def arrays() -> Arrays:
    return random_arrays(np.random.default_rng(8), 12, 20, 1, True, WORDS, positions=10)


def test_a_model_keeps_its_arrays(isa: str, arrays: Arrays) -> None:
    kept = {name: array.copy() for name, array in arrays.items()}
    other = {name: np.asfortranarray(array, float) for name, array in arrays.items()}
    model = kernels.Bert(isa, FP32, 1, 2, EPSILON, other)
    arrays.clear()
    other.clear()
    gc.collect()
    expected = run(kernels.Bert(isa, FP32, 1, 2, EPSILON, kept), some_ids(1, [10]), [10])
    assert (run(model, some_ids(1, [10]), [10]) == expected).all()
    ids = np.repeat(some_ids(1, [10]).astype(np.int64), 2)[::2]
    assert (model.hidden(ids, np.array([10], np.int32)) == expected).all()


def test_arrays_that_do_not_fit_are_refused(isa: str, arrays: Arrays) -> None:
    kernels.Bert(isa, FP32, 1, 2, EPSILON, arrays)
    for name, array in arrays.items():
        # `transform` is there or not: its weight says which.
        if name != "transform.weight":
            with pytest.raises(KeyError, match=name):
                kernels.Bert(
                    isa, FP32, 1, 2, EPSILON, {n: a for n, a in arrays.items() if n != name}
                )
        wrong: list[Any] = [
            np.concatenate([array, array[..., :1]], -1),
            array[..., 1:],
            array[..., :0],
        ]
        wrong += [array[None], array.astype(complex), np.full(array.shape, "x"), None, 1.0]
        if name not in ("words", "positions", "layers.0.up.weight"):
            wrong += [np.concatenate([array, array[:1]]), array[1:]]
        for other in wrong:
            with pytest.raises((ValueError, TypeError, RuntimeError)):
                kernels.Bert(isa, FP32, 1, 2, EPSILON, {**arrays, name: other})


@pytest.mark.parametrize(
    ("layers", "heads"), [(1, 0), (1, 5), (1, 24), (2, 2), (1 << 62, 2), (-1, 2), (1, -2)]
)
def test_sizes_that_do_not_fit_are_refused(
    isa: str, arrays: Arrays, layers: int, heads: int
) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        kernels.Bert(isa, FP32, layers, heads, EPSILON, arrays)


def test_models_too_wide_are_refused(isa: str, arrays: Arrays) -> None:
    width = (1 << 16) + 1
    wide = {"words": np.ones((1, width), np.float32), "positions": np.ones((1, width))}
    with pytest.raises(ValueError, match="widths"):
        kernels.Bert(isa, INT8, 0, 1, EPSILON, wide)
    arrays["layers.0.up.weight"] = np.ones((width, 12), np.float32)
    with pytest.raises(ValueError, match="wide"):
        kernels.Bert(isa, INT8, 1, 2, EPSILON, arrays)


@pytest.mark.parametrize(
    ("ids", "lengths"),
    [
        ([1, 2], [1]),
        ([1, 2], [3]),
        ([1, 2], [2, 1]),
        ([1, 2], [3, -1]),
        ([1, 2], [-1, 3]),
        ([1, 2], [(1 << 63) - 1, 3]),
        ([1, 2], []),
        ([], [1]),
        ([1] * 11, [11]),
        ([WORDS], [1]),
        ([1, (1 << 32) - 1], [2]),
        ([[1, 2]], [2]),
        ([1, 2], [[2]]),
        ([1j], [1]),
    ],
)
def test_texts_that_cannot_be_are_refused(
    isa: str, arrays: Arrays, ids: list[Any], lengths: list[Any]
) -> None:
    model = kernels.Bert(isa, FP32, 1, 2, EPSILON, arrays)
    given = np.array(ids, complex if 1j in ids else np.uint32)
    with pytest.raises((ValueError, TypeError)):
        model.hidden(given, np.array(lengths, np.int64))
    assert run(model, np.array([1, 2], np.uint32), [0, 2, 0]).shape == (2, 12)


def test_no_texts_have_no_states(isa: str, arrays: Arrays) -> None:
    model = kernels.Bert(isa, FP32, 1, 2, EPSILON, arrays)
    for lengths in ([], [0], [0, 0]):
        assert run(model, np.empty(0, np.uint32), lengths).shape == (0, 12)


@pytest.mark.parametrize("precision", [FP32, BF16, INT8])
def test_rows_are_a_heads_of_the_hidden_states(isa: str, precision: int) -> None:
    random = np.random.default_rng(9)
    arrays = random_arrays(random, 36, 50, 2, True, WORDS)
    weight = random.normal(size=(150, 36)).astype(np.float32)
    head = kernels.Head(isa, weight, random.normal(size=150).astype(np.float32) - 4)
    model = kernels.Bert(isa, precision, 2, 3, EPSILON, arrays)
    for sizes in ([70, 0, 33], [1], [], [0], [100] * 3, [5]):  # memory is kept between calls
        ids, lengths = some_ids(sum(sizes), sizes), np.array(sizes, np.int64)
        for how in ((0, 1), (1, 2)):
            found = model.rows(head, ids, lengths, *how)
            expected = head.pool(model.hidden(ids, lengths), lengths, *how)
            assert [part.tobytes() for part in found] == [part.tobytes() for part in expected]
            assert sum(sizes) < 5 or 0 < found[1].size < 150 * len(sizes)


def test_rows_that_cannot_be_are_refused(isa: str, arrays: Arrays) -> None:
    model = kernels.Bert(isa, FP32, 1, 2, EPSILON, arrays)
    head = kernels.Head(isa, np.ones((3, 12), np.float32), np.zeros(3, np.float32))
    other = kernels.Head(isa, np.ones((3, 11), np.float32), np.zeros(3, np.float32))
    ids = np.array([1, 2], np.uint32)
    with pytest.raises(ValueError, match="another width"):
        model.rows(other, ids, np.array([2]), 0, 0)
    for lengths in ([1], [3], [-1, 3], [1 << 62, 2]):
        with pytest.raises(ValueError, match="length"):
            model.rows(head, ids, np.array(lengths), 0, 0)
    with pytest.raises(ValueError, match="beyond"):
        model.rows(head, ids + WORDS, np.array([2]), 0, 0)
    with pytest.raises(TypeError):
        model.rows(None, ids, np.array([2]), 0, 0)  # type: ignore[arg-type]
    arrays["transform.bias"][3] = np.inf
    with pytest.raises(kernels.NotFinite):
        kernels.Bert(isa, FP32, 1, 2, EPSILON, arrays).rows(head, ids, np.array([2]), 0, 0)
