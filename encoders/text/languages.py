"""Stems of words by language: Snowball's algorithms, and the stop words of English.

Other languages than English have no stop words here: lists of them differ much by where they are
from, and a word that is in most documents has next to no idf anyway.
"""

from __future__ import annotations

from collections.abc import Callable

import Stemmer

from lsr.errors import EncoderError

ENGLISH = "english"
AUTO = "auto"

# Word -> its stem, or None for a stop word.
Stem = Callable[[str], str | None]

# The English list of Lucene's EnglishAnalyzer (ENGLISH_STOP_WORDS_SET).  It stands here
# because English lists of other packages hold from 33 to 1,333 words, and scores must not
# change with a dependency's release.
# fmt: off
STOP_WORDS = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is",
    "it", "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there",
    "these", "they", "this", "to", "was", "will", "with",
))
# fmt: on

# ISO 639-1; Norwegian has a code for each of its written languages.
_CODES = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque",
    "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi",
    "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "nb": "norwegian", "ne": "nepali", "nl": "dutch", "nn": "norwegian", "no": "norwegian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "st": "sesotho", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip

# Of the scripts that decide enough; Cyrillic and Devanagari are taken for what is written most.
_BY_SCRIPT = {
    "Latin": ENGLISH,
    "Greek": "greek",
    "Cyrillic": "russian",
    "Arabic": "arabic",
    "Devanagari": "hindi",
    "Tamil": "tamil",
    "Armenian": "armenian",
}


def find_language(name: str) -> str:
    """The language of an ISO 639-1 code or a Snowball name: the name, or "auto".

    Raises `EncoderError` with the languages there are.
    """
    known = Stemmer.algorithms()
    language = _CODES.get(name.lower(), name.lower())
    if language == AUTO or language in known:
        return language
    spelt = {algorithm: algorithm for algorithm in known}
    spelt |= {name: f"{code} {name}" for code, name in reversed(_CODES.items()) if name in known}
    raise EncoderError(
        f"there is no stemmer for the language {name!r}; leave it out, or give {AUTO}, which goes "
        f"by the script of each word, or one of {', '.join(sorted(spelt.values()))}"
    )


def stop_words_of(language: str) -> frozenset[str]:
    """The stop words of a language that `find_language` gives."""
    return STOP_WORDS if language in (ENGLISH, "porter", AUTO) else frozenset()


def stemmer_of(language: str) -> Stem:
    """A function that stems folded words of a language that `find_language` gives."""
    stop = stop_words_of(language)
    stem = _by_script() if language == AUTO else _snowball(language)
    return lambda word: None if word in stop else stem(word)


def _snowball(language: str) -> Callable[[str], str]:
    stem: Callable[[str], str] = Stemmer.Stemmer(language, 0).stemWord
    return lambda word: stem(word) or word


def _by_script() -> Callable[[str], str]:
    import regex

    scripts = regex.compile("|".join(rf"(?P<{name}>\p{{{name}}})" for name in _BY_SCRIPT))
    known = Stemmer.algorithms()
    stems = {
        script: _snowball(language) for script, language in _BY_SCRIPT.items() if language in known
    }

    def stem(word: str) -> str:
        script = scripts.match(word)
        stem_word = stems.get(script.lastgroup, str) if script else str
        return stem_word(word)

    return stem
