"""Names for latents, by the words of the documents that activate them.

The tf-idf vectors of all documents, (1 + log tf) log(N / df) at unit length, are averaged by how
strongly each document activates a latent, as shares of all that it activates; the mean over the
collection is taken off.  The words that stand out most name the latent, strongest first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from lsr.encoders.rows import matrix_of
from lsr.encoders.text.analysis import GrowingVocabulary, TermIds, count_terms
from lsr.vectors import SparseVectors

WORDS = 3  # in a name, unless two latents would have the same
_MOST_WORDS = 8
_LEAST_DOCUMENTS = 2  # a word is in, to name anything
_LATENTS = 256  # at once, which bounds memory


class LatentNames:
    """Gathers texts with their latents, then names the latents."""

    def __init__(self, latents: int) -> None:
        self._latents = latents
        self._stems = GrowingVocabulary()
        self._ids = TermIds(self._stems.add)
        self._forms: Counter[str] = Counter()
        self._counts: list[SparseVectors] = []
        self._activations: list[SparseVectors] = []
        self._used: npt.NDArray[np.bool_] = np.zeros(latents, bool)

    @property
    def unused(self) -> int:
        """Latents that no text activates."""
        return int((~self._used).sum())

    def add(self, texts: Sequence[str], activations: SparseVectors) -> None:
        """Take in texts and their latents, one row each."""
        counts, _ = count_terms(texts, self._ids)
        self._counts.append(counts)
        self._activations.append(activations)
        self._used[activations.terms] = True
        for text in texts:
            self._forms.update(self._ids.analysis.words(text))

    def names(self) -> list[str]:
        """A name for each latent, all different.

        Words are joined by "/"; a latent without any is "unnamed", and what would be the same
        with eight words has a number behind it.
        """
        words = self._commonest_forms()
        activations = matrix_of(SparseVectors.concatenate(self._activations), self._latents)
        texts = self._tf_idf(words)
        mean = np.asarray(texts.mean(axis=0)).ravel() if texts.shape[0] else np.zeros(len(words))
        totals = np.asarray(activations.sum(axis=0)).ravel()
        taken: set[str] = set()
        names = []
        for start in range(0, self._latents, _LATENTS):
            part = activations[:, start : start + _LATENTS]
            shares = (part.T @ texts).tocsr()
            for row, total in enumerate(totals[start : start + _LATENTS]):
                lead = shares[row]
                standing = lead.data / max(total, 1e-12) - mean[lead.indices]
                best = np.lexsort((lead.indices, -standing))[:_MOST_WORDS]
                names.append(
                    _distinct([words[lead.indices[i]] for i in best if standing[i] > 0], taken)
                )
        return names

    def _commonest_forms(self) -> list[str]:
        """The commonest word of each stem; of equally common ones, the first in the alphabet."""
        words = [""] * len(self._stems)
        for word, _ in sorted(self._forms.items(), key=lambda item: (-item[1], item[0])):
            stem = self._ids[word]
            if stem >= 0 and not words[stem]:
                words[stem] = word
        return words

    def _tf_idf(self, words: Sequence[str]) -> csr_matrix:
        counts = matrix_of(SparseVectors.concatenate(self._counts), len(words))
        frequency = np.bincount(counts.indices, minlength=len(words))
        idf = np.log(max(counts.shape[0], 1) / np.maximum(frequency, 1))
        # Numbers say little of what a latent is about.
        naming = np.array([not word.isdigit() for word in words], bool)
        idf[(frequency < _LEAST_DOCUMENTS) | ~naming] = 0
        counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
        counts.eliminate_zeros()
        squares = np.asarray(counts.multiply(counts).sum(axis=1)).ravel()
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        counts.data = counts.data / np.sqrt(squares)[rows]
        return counts


def _distinct(words: Sequence[str], taken: set[str]) -> str:
    """A name of these words that is not taken, which it is from then on."""
    name = "unnamed"
    for count in range(min(WORDS, len(words)), len(words) + 1):
        name = "/".join(words[:count]) or name
        if name not in taken:
            break
    number = 1
    while name in taken:
        number += 1
        name = f"{name.partition('#')[0]}#{number}"
    taken.add(name)
    return name
