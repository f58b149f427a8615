r"""Formulas of built pages as MathML, which browsers draw by themselves: no script, no font, nothing from outside.

Markdown leaves \( … \) and \[ … \] in elements of the class "arithmatex".
"""

import html
import re

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_UNREAD = re.compile(r"<m[ion][^>]*>\\")  # a command that the converter does not know


def with_mathml(page: str) -> str:
    """The page with its formulas converted.

    Raises:
        ValueError: a formula cannot be converted.
    """
    return _FORMULA.sub(lambda match: mathml(html.unescape(match[3]), display=match[2] == "["), page)


def mathml(formula: str, *, display: bool) -> str:
    """A formula as a <math> element. Raises `ValueError` if it cannot be converted."""
    try:
        out = convert(formula, display="block" if display else "inline")
    except Exception as error:
        raise ValueError(f"{formula!r}: {type(error).__name__} {error}") from error
    if unread := _UNREAD.search(out):
        raise ValueError(f"{formula!r}: unknown command in {out[unread.start() : unread.start() + 60]!r}")
    return out
