"""Batches: whatever the threads, models and sizes, each text gets its row, and errors surface."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.encoders import load_encoder
from lsr.encoders.methods import Side
from lsr.encoders.models.batches import Batches
from lsr.encoders.rows import Row
from lsr.errors import EncoderError
from lsr.machine import memory_in_use

MakeCheckpoint = Callable[..., Path]
SIDE = Side("mlm")
PIECE = 32  # texts that a thread takes at a time
DEADLINE = 60.0  # seconds after which a test that hangs fails


class Letters:
    """A tokenizer: each letter is a token, and one stands before them."""

    def encode(self, texts: list[str]) -> list[Any]:
        return [np.array([0, *map(ord, text)], np.uint32) for text in texts]


class Fake:
    """A model whose rows tell what it was given."""

    folder, terms, positions, position_bytes = Path("fake"), 200, 99.0, 1 << 12

    def __init__(self, before: Callable[[list[Any]], Any] = lambda ids: None) -> None:
        self.before = before
        self.seen: list[list[int]] = []  # the sizes of each batch
        self.running = self.most_running = 0

    def rows(self, side: Side, ids: Any) -> list[Row]:
        assert side is SIDE
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.seen.append([own.size for own in ids])
        try:
            self.before(ids)
            return [row_of(own) for own in ids]
        finally:
            self.running -= 1

    @property
    def texts(self) -> int:
        return sum(map(len, self.seen))


def row_of(ids: Any) -> Row:
    terms, counts = np.unique(ids, return_counts=True)
    return terms, counts.astype(np.float32)


def run(models: list[Any], texts: list[str], most: int | None = None, advance: Any = None) -> Any:
    return Batches(models, most).rows(SIDE, Letters(), texts, advance)  # type: ignore[arg-type]


def right(rows: Any, texts: list[str]) -> bool:
    expected = [row_of(own) for own in Letters().encode(texts)]
    return len(rows) == len(expected) and all(
        a.tolist() == b.tolist()
        for row, other in zip(rows, expected, strict=True)
        for a, b in zip(row, other, strict=True)
    )


def some_texts(count: int) -> list[str]:
    """So many texts; a thread takes `PIECE` at a time."""
    return ["abc"[n % 3] * (n * 7 % 11) for n in range(count)]


@given(
    lengths=st.lists(st.integers(0, 400), max_size=150),
    models=st.integers(1, 4),
    most=st.none() | st.integers(1, 40),
    positions=st.integers(256, 2048),
)
def test_each_text_gets_its_row(
    lengths: list[int], models: int, most: int | None, positions: int
) -> None:
    texts = ["abc"[n % 3] * length for n, length in enumerate(lengths)]
    fakes = [Fake() for _ in range(models)]
    for fake in fakes:
        fake.position_bytes = (1 << 22) // positions
    positions = (1 << 22) // fakes[0].position_bytes
    done: list[int] = []
    assert right(run(fakes, texts, most, done.append), texts)
    assert sum(done) == len(texts)
    assert all(0 < count <= PIECE for count in done)
    for batch in [batch for fake in fakes for batch in fake.seen]:
        assert 1 <= len(batch) <= min(PIECE, most or PIECE)
        assert len(batch) == 1 or max(batch) * len(batch) <= positions
    assert sum(fake.texts for fake in fakes) == len(texts)


def test_batches_are_as_large_as_they_may_be() -> None:
    fake = Fake()
    fake.position_bytes = 1 << 40  # so that a batch has 256 positions, the fewest
    run([fake], ["a" * (size - 1) for size in (128, 120, 85, 70, 60, 1)])
    assert fake.seen == [[128, 120], [85, 70, 60], [1]]


@pytest.mark.parametrize(("cost", "positions"), [(1, 2048), (4096, 1024), (1 << 40, 256)])
def test_batches_go_by_working_memory(cost: int, positions: int) -> None:
    fake = Fake()
    fake.position_bytes = cost
    run([fake], ["a" * 99] * 1000)
    assert max(map(len, fake.seen)) == positions // 100


def test_models_work_at_the_same_time() -> None:
    barrier = threading.Barrier(3)
    first = threading.local()

    def meet(ids: Any) -> None:
        if not hasattr(first, "met"):
            first.met = True
            barrier.wait(DEADLINE)

    fakes = [Fake(meet) for _ in range(3)]
    texts = some_texts(600)
    assert right(run([*fakes], texts), texts)
    assert all(fake.texts and fake.most_running == 1 for fake in fakes)
    # The same model twice works twice at a time.
    one = Fake(meet)
    assert right(run([one] * 3, texts), texts)
    assert one.most_running > 1


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread is not threading.main_thread()}


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_ends_the_others(threads: int) -> None:
    failed = threading.Event()

    def fail(ids: Any) -> None:
        if ids[0].size == 5:
            failed.set()
            raise EncoderError("too bad")
        if failed.is_set():  # give way, or on a busy machine the others may be through first
            time.sleep(0.001)

    before = workers()
    fake = Fake(fail)
    done: list[int] = []
    with pytest.raises(EncoderError, match=r"^too bad$"):
        run([fake] * threads, some_texts(3000), None, done.append)
    assert workers() <= before
    assert fake.texts < 3000
    assert sum(done) < 3000
    fake.before = lambda ids: None
    assert right(run([fake] * threads, some_texts(9)), some_texts(9))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("where", ["consumer", "waiting"])
def test_an_interrupt_leaves_no_thread(threads: int, where: str) -> None:
    def interrupt(_: Any) -> None:
        if where == "consumer":
            raise KeyboardInterrupt

    main = threading.get_ident()
    left = [signal.SIGINT] if where == "waiting" else []

    def interrupt_waiting(ids: Any) -> None:
        if ids[0].size == 5 and left:
            signal.pthread_kill(main, left.pop())
        if where == "waiting":
            time.sleep(0.01)  # so that the work outlasts the signal, however busy the machine is

    before = workers()
    fake = Fake(interrupt_waiting)
    with pytest.raises(KeyboardInterrupt):
        run([fake] * threads, some_texts(3000), None, interrupt)
    assert workers() <= before
    assert fake.texts < 3000


def test_one_piece_needs_no_thread() -> None:
    ran: list[threading.Thread] = []
    fake = Fake(lambda ids: ran.append(threading.current_thread()))
    run([fake] * 4, some_texts(20))
    assert set(ran) == {threading.current_thread()}


@pytest.mark.parametrize("threads", [1, 3])
def test_too_little_memory_makes_smaller_batches(threads: int) -> None:
    def scarce(ids: Any) -> None:
        if sum(own.size for own in ids) > 30:
            raise MemoryError

    fake = Fake(scarce)
    runner = Batches([fake] * threads)
    texts = ["a" * 9] * 200
    for _ in range(2):
        assert right(runner.rows(SIDE, Letters(), texts), texts)  # type: ignore[arg-type]
        tries, fake.seen = fake.seen, []
    assert max(map(len, tries)) == 2  # the second time no batch is tried in vain
    with pytest.raises(EncoderError, match=r"one text of 41 tokens .* fake; give a smaller max_l"):
        runner.rows(SIDE, Letters(), [*texts, "a" * 40])  # type: ignore[arg-type]


def test_max_memory() -> None:
    fake = Fake()
    fake.position_bytes = 1 << 32  # more than this process takes
    position = 2 * 2 * fake.position_bytes  # twice what batches of both threads take
    # What is in use already takes less than a position: 30 are left, so three texts.
    runner = Batches([fake] * 2, None, 31 * position - 1)
    runner.rows(SIDE, Letters(), ["a" * 9] * 20)  # type: ignore[arg-type]
    assert max(map(len, fake.seen)) == 3
    for limit in (1, 999_999, position):
        with pytest.raises(EncoderError, match=r"^max_memory of [\d,]+ MB is too little") as raised:
            Batches([fake] * 2, None, limit)
        numbers = re.findall(r"([\d,]+) MB", str(raised.value))
        given, used, enough = (int(number.replace(",", "")) for number in numbers)
        assert given == round(limit / 1e6)
        assert abs(used - memory_in_use() / 1e6) < 50
        assert 178 < enough - used - position / 1e6 < 181  # 170 MiB besides, and a MB of rounding
        Batches([fake] * 2, None, enough * 1_000_000)


def test_max_memory_of_an_encoder() -> None:
    with pytest.raises(EncoderError, match=r"max_memory of 1 MB is too little: with the model"):
        load_encoder(max_memory=1_000_000)
    texts = ["the red planet " * n for n in range(40)]
    scarce = load_encoder(max_memory=1 << 34).encode_documents(texts)
    assert scarce == load_encoder().encode_documents(texts)


WORDS = [
    "red planet",
    "",
    "the reddish planet, saturns rings. " * 8,
    "mars is known",
    "venus " * 20,
]


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_vectors_do_not_depend_on_threads_and_batches(
    make_checkpoint: MakeCheckpoint, kind: str, precision: Any
) -> None:
    folder = str(make_checkpoint(kind))
    texts = [text + " a" * (n % 50) for n, text in enumerate(WORDS * 34)]
    expected = None
    for threads, batch_size in ((1, None), (3, None), (2, 1), (2, 7), (5, 3)):
        encoder: Any = load_encoder(
            folder, max_length=24, threads=threads, batch_size=batch_size, precision=precision
        )
        done: list[int] = []
        found = encoder.collect(texts, done.append)
        assert sum(done) == len(texts)
        expected = expected or found
        assert found == expected
        assert encoder.encode_queries(texts) == expected
    alone = [encoder.encode_documents([text]) for text in texts[:50]]
    assert all(one == expected[n : n + 1] for n, one in enumerate(alone))


def test_devices_share_the_work(
    make_checkpoint: MakeCheckpoint, before_each_batch: Callable[..., None]
) -> None:
    folder = str(make_checkpoint())
    texts = [text for text in WORDS if text] * 12
    expected = load_encoder(folder, max_length=24).encode_documents(texts)
    encoder: Any = load_encoder(folder, max_length=24, device="cpu,cpu")
    seen: dict[Any, int] = {}
    barrier = threading.Barrier(2)

    def meet(model: Any, ids: Any) -> None:
        if model not in seen:
            seen[model] = 0
            barrier.wait(DEADLINE)
        seen[model] += len(ids)

    before_each_batch(meet)
    found = encoder.encode_documents(texts)
    assert len(seen) == 2
    assert sum(seen.values()) == len(texts)
    for one, other in zip(found, expected, strict=True):
        assert one.terms.tolist() == other.terms.tolist()
        assert one.weights == pytest.approx(other.weights, abs=1e-4)
