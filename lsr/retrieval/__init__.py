"""Open indexes: search, hybrids, feedback, explanations.

The names here are the choices of the API and the command line, known without NumPy.
"""

from typing import Literal, get_args

FeedbackKind = Literal["average", "rocchio", "rm3"]
Interpolate = Literal["none", "before", "after", "both"]
FEEDBACK_KINDS: tuple[FeedbackKind, ...] = get_args(FeedbackKind)
INTERPOLATE: tuple[Interpolate, ...] = get_args(Interpolate)
DEPTH = 1000  # documents of each list of a hybrid search
