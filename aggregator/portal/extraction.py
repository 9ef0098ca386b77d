"""Finds the portal's texts for `pybabel extract`: Django's templates, and the codes of sentences (see babel.cfg)."""

from __future__ import annotations

import ast
import io
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any

from babel.messages.extract import extract_python
from django.utils.translation.template import templatize

from aggregator.portal.wording import MESSAGE_PREFIX

Found = tuple[Any, ...]  # line, function, message, comments (and the context, if Babel gives one)


def extract_template(
    file: IO[bytes], keywords: Mapping[str, Any], comment_tags: Collection[str], options: Any
) -> Iterator[Found]:
    """Texts of a Django template: Django's own reader turns it into calls that Babel understands."""
    code = templatize(file.read().decode(), origin=getattr(file, "name", ""))
    # what is between the calls is blanked with X; indentation of the page means nothing to Python's tokenizer
    lines = "\n".join(line.strip() for line in code.splitlines())
    yield from extract_python(io.BytesIO(lines.encode()), keywords, comment_tags, options)


def extract_sentences(
    file: IO[bytes], keywords: Mapping[str, Any], comment_tags: Collection[str], options: Any
) -> Iterator[Found]:
    """Every code that `Sentence(code, …)` is made with, as the message under which its text stands."""
    for node in ast.walk(ast.parse(file.read())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != "Sentence":
            continue
        for code in _codes(node.args[0]):
            yield node.lineno, "gettext", MESSAGE_PREFIX + code, []


def _codes(node: ast.expr) -> Iterator[str]:
    """The codes that an argument can be: a constant, or either branch of a choice."""
    if isinstance(node, ast.IfExp):
        yield from _codes(node.body)
        yield from _codes(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
