"""Settlement documents: one set of numbers as JSON, CSV and PDF, every number with the rule that it comes from. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

DOCUMENT_VERSION = 1
# one of the fonts for Japanese that every PDF reader brings along; it has Latin letters too
FONT = "HeiseiKakuGo-W5"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `origin` says which rule it follows from and from what."""

    name: str
    value: Decimal | float | int | str | None
    unit: str
    origin: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `origin` as for a figure."""

    name: str
    unit: str
    origin: str


@dataclass(frozen=True, slots=True)
class DocumentTable:
    """Rows of values under columns."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Everything that a settlement says. `evidence` tells how to check it, `sources` where the rules were read."""

    subject: str
    number: str
    facts: tuple[Figure, ...]
    totals: tuple[Figure, ...]
    tables: tuple[DocumentTable, ...]
    evidence: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


def as_json(document: Document) -> dict[str, Any]:
    """The document as plain data; numbers that were rounded as text, so that no reader rounds them again."""
    return {
        "document": document.subject,
        "document_version": DOCUMENT_VERSION,
        "number": document.number,
        "facts": [_figure(figure) for figure in document.facts],
        "totals": [_figure(figure) for figure in document.totals],
        "tables": [
            {
                "name": table.name,
                "columns": [
                    {"name": column.name, "unit": column.unit, "origin": column.origin} for column in table.columns
                ],
                "rows": [[_plain(value) for value in row] for row in table.rows],
            }
            for table in document.tables
        ],
        "evidence": dict(document.evidence),
        "sources": list(document.sources),
    }


def as_csv(document: Document) -> str:
    """The document as one CSV: facts and totals as lines of section, name, value, unit, origin; then each table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["section", "name", "value", "unit", "origin"])
    writer.writerow(["document", document.subject, document.number, "", ""])
    for section, figures in (("fact", document.facts), ("total", document.totals)):
        for figure in figures:
            writer.writerow([section, figure.name, _cell(_plain(figure.value)), figure.unit, figure.origin])
    for name, value in document.evidence.items():
        writer.writerow(["evidence", name, _cell(value), "", ""])
    for source in document.sources:
        writer.writerow(["source", "", _cell(source), "", ""])
    for table in document.tables:
        writer.writerow([])
        writer.writerow([table.name, *[f"{column.name} [{column.unit}]" for column in table.columns]])
        for row in table.rows:
            writer.writerow(["", *[_cell(_plain(value)) for value in row]])
    return text.getvalue()


def as_pdf(document: Document, *, language: str) -> bytes:
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
                text(f"{_plain(figure.value)} {figure.unit}".strip()),
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


def _figure(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, "value": _plain(figure.value), "unit": figure.unit, "origin": figure.origin}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def _short(value: Any) -> str:
    """A value as a person reads it on paper; the JSON and the CSV have every digit."""
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, datetime):
        return f"{value:%m-%d %H:%M:%S}Z"
    return "" if value is None else str(value)


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; negative numbers stay numbers."""
    if isinstance(value, str) and value[:1] in {"=", "+", "@"}:
        return f"'{value}"
    return value
