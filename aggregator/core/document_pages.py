"""Settlement documents as pages to print: the same numbers as `documents`, drawn on A4."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from aggregator.core.document_words import word
from aggregator.core.documents import Document, plain

# one of the fonts for Japanese that every PDF reader brings along; it has Latin letters too
FONT = "HeiseiKakuGo-W5"


def render(document: Document, *, language: str) -> bytes:
    """The document on A4 pages, its words in English or Japanese ("en", "ja")."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    styles = {
        size: ParagraphStyle(f"size{size}", fontName=FONT, fontSize=size, leading=size * 1.35, wordWrap="CJK")
        for size in (7, 9, 12, 18)
    }

    def text(value: str, size: int = 7) -> Paragraph:
        return Paragraph(value.replace("&", "&amp;").replace("<", "&lt;"), styles[size])

    story: list[Any] = [text(f"{word(document.subject, language)}  {document.number}", 18), Spacer(0, 4 * mm)]
    for title, figures in (("facts", document.facts), ("totals", document.totals)):
        story.append(text(word(title, language), 12))
        rows = [[text(word(name, language)) for name in ("what", "value", "origin")]]
        rows += [
            [
                text(word(figure.name, language)),
                text(f"{plain(figure.value)} {figure.unit}".strip()),
                text(figure.origin),
            ]
            for figure in figures
        ]
        story += [_grid(rows, [48 * mm, 56 * mm, 76 * mm]), Spacer(0, 4 * mm)]
    for table in document.tables:
        story.append(text(word(table.name, language), 12))
        rows = [[text(f"{word(column.name, language)} {column.unit}".strip()) for column in table.columns]]
        rows += [[text(_short(value)) for value in row] for row in table.rows]
        story += [_grid(rows, [180 * mm / len(table.columns)] * len(table.columns)), Spacer(0, 2 * mm)]
        story += [text(f"{word(column.name, language)}: {column.origin}") for column in table.columns if column.origin]
        story.append(Spacer(0, 4 * mm))
    story.append(text(word("evidence", language), 12))
    story += [text(f"{word(name, language)}: {value}", 9) for name, value in document.evidence.items()]
    story += [text(source, 9) for source in document.sources]
    held = io.BytesIO()
    SimpleDocTemplate(
        held,
        pagesize=A4,
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=15 * mm,
        bottomMargin=15 * mm,
        title=f"{document.subject} {document.number}",
        # the same numbers shall give the same bytes
        invariant=1,
    ).build(story, onFirstPage=_page_number, onLaterPages=_page_number)
    return held.getvalue()


def _page_number(canvas: Any, document: Any) -> None:
    canvas.setFont(FONT, 7)
    canvas.drawRightString(A4[0] - 15 * mm, 8 * mm, str(document.page))


def _grid(rows: list[list[Any]], widths: Sequence[float]) -> Table:
    table = Table(rows, colWidths=list(widths), repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.grey),
                ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    return table


def _short(value: Any) -> str:
    """A value as a person reads it on paper; the JSON and the CSV have every digit."""
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, datetime):
        return f"{value:%m-%d %H:%M:%S}Z"
    return "" if value is None else str(value)
