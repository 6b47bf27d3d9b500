"""`SearchContext`: an open index and the encoders of its queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lsr.encoders import Encoder, restore_encoder
from lsr.encoders.names import lasting_name, part_slices
from lsr.encoders.text.words import reader as word_reader
from lsr.errors import EncoderError, EncoderMismatch, IndexCorrupt
from lsr.index.dense import DENSE, no_dense
from lsr.index.format import Manifest
from lsr.index.reader import IndexReader

if TYPE_CHECKING:
    from lsr.encoders.dense.encoder import DenseEncoder
    from lsr.index.dense.side import DenseSide

Self = TypeVar("Self", bound="SearchContext")


class SearchContext:
    """An index's reader and its encoders, each loaded at first use.

    Retrievers, feedback and explanations take a context; an `Index` is one.  A pickled context
    contains its reader and the settings of its encoders.  A copy shares the reader, and may use
    other encoders.
    """

    def __init__(self, reader: IndexReader) -> None:
        self.reader = reader
        self._encoder: Encoder | None = None
        self._encoder_options: dict[str, Any] = {}
        self._dense_encoder: DenseEncoder | None = None
        self._dense_encoder_options: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        options = self._encoder_options, self._dense_encoder_options
        return _restore, (type(self), self.reader, *options)

    def __copy__(self: Self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self: Self, memo: object) -> Self:
        return self.__copy__()

    @property
    def path(self) -> Path:
        """The index directory, absolute."""
        return self.reader.path

    @property
    def manifest(self) -> Manifest:
        """The list of the edition's files."""
        return self.reader.manifest

    @property
    def dense(self) -> DenseSide | None:
        """The dense vectors of the documents; see `IndexReader.dense`."""
        return self.reader.dense

    @property
    def encoder(self) -> Encoder:
        """The encoder the index was built with, loaded at first use."""
        if self._encoder is None:
            self.use_encoder(**self._encoder_options)
        assert self._encoder is not None
        return self._encoder

    def use_encoder(
        self,
        source: str | PathLike[str] | Encoder | None = None,
        *,
        device: str | None = None,
        weights: Mapping[str, float] | str | None = None,
    ) -> None:
        """Load the index's encoder.

        Args:
            source: its new location, if it moved; or the loaded `Encoder` itself.
            weights: of the parts of a composite encoder (see `lsr.load_encoder`); they apply to
                queries only, and do not change the index.

        Raises `EncoderMismatch` when the encoder is not the one of this index.
        """
        reader = self.reader
        if reader.manifest.encoder is None or reader.words is None:
            raise EncoderError(
                f"{self.path} was built from vectors without an encoder; search it with vectors"
            )
        if isinstance(source, Encoder):
            if source.identity != reader.manifest.encoder:
                raise EncoderMismatch(
                    f"{self.path} was not built with this encoder {source.name!r}; give the "
                    "encoder it was built with"
                )
            if weights is not None:
                source.set_part_weights(weights)
            self._encoder, source = source, None
        else:
            self._encoder = restore_encoder(
                reader.manifest.encoder,
                reader.words,
                reader.word_columns,
                source=source,
                device=device,
                weights=weights,
            )
        self._encoder_options = {"source": _lasting(source), "device": device, "weights": weights}

    @property
    def dense_encoder(self) -> DenseEncoder:
        """The encoder that the dense vectors were made with, loaded at first use."""
        if self._dense_encoder is None:
            self.use_dense_encoder(**self._dense_encoder_options)
        assert self._dense_encoder is not None
        return self._dense_encoder

    def use_dense_encoder(
        self, source: str | PathLike[str] | DenseEncoder | None = None, *, device: str | None = None
    ) -> None:
        """Load the encoder of the dense vectors.

        Args:
            source: its new location, if it moved; or the loaded `DenseEncoder` itself.

        Raises `EncoderMismatch` when the encoder is not the one of the dense vectors,
        `EncoderError` when it cannot be loaded, `IndexFormatError` without a dense side.
        """
        from lsr.encoders.dense.encoder import DenseEncoder, restore_dense

        if self.dense is None:
            raise no_dense(self.path)
        if isinstance(source, DenseEncoder):
            if source.identity != self.dense.encoder:
                raise EncoderMismatch(
                    f"the dense vectors of {self.path} were not made with this encoder "
                    f"{source.name!r}; give the encoder they were made with"
                )
            encoder, source = source, None
        else:
            encoder = restore_dense(self.dense.encoder, source=source, device=device)
        if encoder.dimensions != self.dense.dimensions:
            raise EncoderMismatch(
                f"the dense encoder {encoder.name!r} makes vectors of {encoder.dimensions} "
                f"dimensions, and those of {self.path} have {self.dense.dimensions}; remove "
                f"{self.path / DENSE} and make it again"
            )
        self._dense_encoder = encoder
        self._dense_encoder_options = {"source": _lasting(source), "device": device}

    @cached_property
    def part_terms(self) -> list[tuple[str, int, int]]:
        """Name, first term and end of each part; empty for a single encoder."""
        try:
            return part_slices(self.manifest.encoder)
        except (KeyError, TypeError, ValueError) as error:
            raise IndexCorrupt(
                self.path, f"its encoder's parts are incomplete ({error!r})"
            ) from None

    def part_and_word(self, term: int) -> tuple[str | None, str]:
        """The part that a term belongs to (None for a single encoder), and its readable word."""
        word = self.reader.word(term)
        for name, start, stop in self.part_terms:
            if start <= term < stop:
                return name, self._word_readers[name](word.removeprefix(f"{name}:"))
        return None, word if self.part_terms else self._word_readers[None](word)

    @cached_property
    def _word_readers(self) -> dict[str | None, Callable[[str], str]]:
        """The function that makes words readable, by part; None for a single encoder."""
        find = self.reader.find_term
        if not self.part_terms:
            return {None: word_reader(find)}
        return {
            name: word_reader(lambda word, name=name: find(f"{name}:{word}"))  # type: ignore[misc]  # mypy cannot infer a lambda's default
            for name, _, _ in self.part_terms
        }


def _lasting(source: str | PathLike[str] | None) -> str | None:
    return None if source is None else lasting_name(source)


def _restore(
    kind: type[Self], reader: IndexReader, encoder: dict[str, Any], dense: dict[str, Any]
) -> Self:
    context = kind(reader)
    context._encoder_options, context._dense_encoder_options = encoder, dense
    return context
