"""Numeric columns of CSV and NPZ files: every complaint names file, row and column, and what was expected there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidInput


class BadInstance(InvalidInput):
    """A file of an instance cannot be used as it is."""

    code = "bad_instance"


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of one file. In a CSV file, row 0 of an array stands in line 2.

    Attributes:
        first_line: number by which a person finds row 0 in the file.
    """

    path: Path
    values: dict[str, NDArray[Any]]
    first_line: int

    def __len__(self) -> int:
        return len(next(iter(self.values.values()))) if self.values else 0

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def names(self, name: str) -> NDArray[Any]:
        """A column of identifiers, as text."""
        return self.column(name).astype(str)

    def column(self, name: str) -> NDArray[Any]:
        """Raises BadInstance if there is no such column."""
        if name not in self.values:
            raise BadInstance(
                f"has no column “{name}”; it has {', '.join(self.values) or 'none'}",
                field=str(self.path.name),
                remedy="Add the column; `manage.py dispatch --help` lists them all.",
            )
        return self.values[name]

    def numbers(
        self, name: str, *, least: float | None = None, most: float | None = None, infinite: bool = False
    ) -> NDArray[np.float64]:
        """A column of numbers within bounds.

        Raises:
            BadInstance: a cell is no number, is NaN, infinite where that means nothing, or lies outside the bounds.
        """
        values = _as_numbers(self.column(name))
        expected = "a number" if infinite else "a finite number"
        bad = np.isnan(values) if infinite else ~np.isfinite(values)
        if least is not None:
            bad, expected = bad | (values < least), f"{expected}, at least {least:g}"
        if most is not None:
            bad, expected = bad | (values > most), f"{expected}, at most {most:g}"
        self.refuse(bad, name, expected)
        return values

    def whole(self, name: str, *, least: int, most: int) -> NDArray[np.int64]:
        """A column of whole numbers within bounds."""
        values = self.numbers(name)
        bad = (values != np.rint(values)) | (values < least) | (values > most)
        self.refuse(bad, name, f"a whole number from {least} to {most}")
        return values.astype(np.int64)

    def refuse(self, bad: NDArray[np.bool_], name: str, expected: str) -> None:
        """Raises BadInstance for the first bad row, if there is one."""
        rows = np.flatnonzero(bad)
        if not rows.size:
            return
        row = int(rows[0])
        more = f" ({rows.size} such rows)" if rows.size > 1 else ""
        found = self.values[name][row] if name in self.values else ""
        raise BadInstance(
            f"row {row + self.first_line}, column “{name}”: found “{found}”, expected {expected}{more}",
            field=str(self.path.name),
            remedy="Correct the row.",
        )


def read_columns(folder: Path, name: str, *, required: bool = True) -> Columns | None:
    """Read `name`.npz if there is one, else `name`.csv.

    Raises:
        BadInstance: neither can be read, or one that is required is missing.
    """
    packed, text = folder / f"{name}.npz", folder / f"{name}.csv"
    if packed.exists():
        return _read_npz(packed)
    if text.exists():
        return _read_csv(text)
    if not required:
        return None
    raise BadInstance("there is no such file", field=str(text), remedy=f"Put {name}.csv there, or {name}.npz.")


def _as_numbers(raw: NDArray[Any]) -> NDArray[np.float64]:
    """The cells as numbers; NaN where one is none."""
    if raw.dtype.kind in "iufb":
        return raw.astype(np.float64)

    def number(cell: Any) -> float:
        try:
            return float(cell)
        except (TypeError, ValueError):
            return np.nan

    return np.array([number(cell) for cell in raw.tolist()], dtype=np.float64)


def _read_csv(path: Path) -> Columns:
    import pandas as pd  # takes a second and 50 MiB, which a portfolio in NPZ need not spend

    try:
        frame = pd.read_csv(path, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise BadInstance(
            f"cannot be read: {error}",
            field=str(path),
            remedy="Write it as CSV in UTF-8 with the columns' names first.",
        ) from error
    return Columns(path, {str(name).strip(): frame[name].to_numpy() for name in frame.columns}, first_line=2)


def _read_npz(path: Path) -> Columns:
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise BadInstance(
            f"cannot be read: {error}", field=str(path), remedy="Write it with numpy.savez, without Python objects."
        ) from error
    lengths = {name: array.shape for name, array in values.items()}
    if len(set(lengths.values())) > 1 or any(array.ndim != 1 for array in values.values()):
        raise BadInstance(
            f"its arrays differ in shape: {lengths}", field=str(path), remedy="Give one row for each asset."
        )
    return Columns(path, values, first_line=0)


def first_repeated(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.bool_]:  # [row]
    """Rows whose value stands in an earlier row already."""
    repeated = np.ones(len(values), dtype=np.bool_)
    repeated[np.unique(np.asarray(values), return_index=True)[1]] = False
    return repeated
