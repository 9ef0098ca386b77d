"""Settlement documents: one set of numbers as JSON, CSV and PDF, every number with the rule that it comes from. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

DOCUMENT_VERSION = 1


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
                "rows": [[plain(value) for value in row] for row in table.rows],
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
            writer.writerow([section, figure.name, _cell(plain(figure.value)), figure.unit, figure.origin])
    for name, value in document.evidence.items():
        writer.writerow(["evidence", name, _cell(value), "", ""])
    for source in document.sources:
        writer.writerow(["source", "", _cell(source), "", ""])
    for table in document.tables:
        writer.writerow([])
        writer.writerow([table.name, *[f"{column.name} [{column.unit}]" for column in table.columns]])
        for row in table.rows:
            writer.writerow(["", *[_cell(plain(value)) for value in row]])
    return text.getvalue()


def as_pdf(document: Document, *, language: str) -> bytes:
    """The document on A4 pages, its words in English or Japanese ("en", "ja")."""
    from aggregator.core.document_pages import render  # drawing takes long to load, and few processes ever do

    return render(document, language=language)


def _figure(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, "value": plain(figure.value), "unit": figure.unit, "origin": figure.origin}


def plain(value: Any) -> Any:
    """Exact as text: a decimal with all its digits, an instant in UTC."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; negative numbers stay numbers."""
    if isinstance(value, str) and value[:1] in {"=", "+", "@"}:
        return f"'{value}"
    return value
