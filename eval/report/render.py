"""A report as text: one HTML page that asks for nothing (page.html), and Markdown (report.md).

What a template prints is escaped, so that nothing from data is mark-up; `Markup`, such as a plot,
is printed as it is.  The page's content security policy forbids every request besides, so that a
mistake in the template could still fetch nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from lsr.eval.report import figures, plots
from lsr.eval.report.figures import escape, shortened
from lsr.eval.report.summary import Summary
from lsr.terminal import printable

_LONGEST_HEAD = 36  # characters of an encoder's name above a column
_MARK_UP = re.compile(r"([\\`*_{}\[\]()<>#|~$&!])")  # of Markdown


def page(summary: Summary) -> str:
    """The whole report as one HTML page; styles and plots are in it, scripts are not."""
    values = [value for pair in summary.pairs for point in pair.points for value in point]
    times = [point for row in summary.latencies.values() for point in row if point is not None]
    limits = (min(p.median for p in times), max(p.p99 for p in times)) if times else None
    template = _template("page.html", escape)
    return template.render(summary=summary, top=max([1.0, *values]), limits=limits)


def markdown(summary: Summary) -> str:
    """The tables of the page as Markdown, without its plots."""
    return _template("report.md", _as_markdown).render(summary=summary)


def parted(name: str) -> Markup:
    """A name above a column, which is rather broken between its parts than within them."""
    return Markup(re.sub(r"[:+/,=]", r"\g<0><wbr>", escape(shortened(name, _LONGEST_HEAD))))


def _as_markdown(text: str) -> str:
    """Text from data: no character of it is mark-up, and it stays on its line."""
    return _MARK_UP.sub(r"\\\1", printable(" ".join(text.split())))


def fenced(text: str) -> Markup:
    """A block of text as it is, between more backticks than it has in a row."""
    text = printable(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{fence}\n{text}\n{fence}")


_FUNCTIONS = (
    fenced, parted, plots.bars, plots.colour, plots.latency, plots.scatter, figures.counted,
    figures.effect, figures.excerpt, figures.figure, figures.milliseconds, figures.probability,
    figures.signed, figures.span, figures.tally,
)  # fmt: skip


def _template(name: str, escaped: Callable[[str], str]) -> Template:
    def shown(value: object) -> Markup:
        return value if isinstance(value, Markup) else Markup(escaped(str(value)))

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # makes Markup of what macros return
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update({function.__name__: function for function in _FUNCTIONS})
    return environment.get_template(name)
