"""The registers of a simulated SunSpec unit: models one after the other, and values put into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymodbus.simulator import DataType, SimData

from fleet.devices.modbus.sunspec import BASE_ADDRESSES, END_MODEL_ID, SUNSPEC_IDENTIFIER, Model, Point, encode

BASE_ADDRESS = BASE_ADDRESSES[0]


class RegisterMap:
    """What a unit holds, in registers from `base_address`.

    Args:
        models: the layouts, in the order of the map; model 1 comes first.
        scale_factors: by model and name of the scale factor's point; every one that is left out is "not implemented".
        base_address: where "SunS" stands.
    """

    def __init__(
        self,
        models: Sequence[Model],
        scale_factors: Mapping[tuple[int, str], int],
        *,
        base_address: int = BASE_ADDRESS,
    ) -> None:
        self.base_address = base_address
        self.registers: list[int] = list(SUNSPEC_IDENTIFIER)
        self._writable: list[bool] = [False, False]
        self._places: dict[tuple[int, str], tuple[Point, int]] = {}
        self._scales = dict(scale_factors)
        for model in models:
            self._append(model)
        self.registers += [END_MODEL_ID, 0]
        self._writable += [False, False]

    def _append(self, model: Model) -> None:
        start = len(self.registers)
        self.registers += [0] * model.registers
        self._writable += [False] * model.registers
        for name, point in model.points.items():
            self._places[model.model_id, name] = (point, start + point.offset)
            for index in range(start + point.offset, start + point.offset + point.size):
                self._writable[index] = point.writable
            value = self._scales.get((model.model_id, name)) if point.type == "sunssf" else None
            self.set(model.model_id, name, value)
        self.set(model.model_id, "ID", model.model_id)
        self.set(model.model_id, "L", model.length)

    def scale_factor(self, model_id: int, name: str) -> int:
        """The power of ten by which a point is scaled."""
        point, _ = self._places[model_id, name]
        return point.scale if isinstance(point.scale, int) else self._scales.get((model_id, point.scale or ""), 0)

    def set(self, model_id: int, name: str, value: float | int | str | None) -> None:
        """Put a value; None is "not implemented"."""
        point, start = self._places[model_id, name]
        encoded = encode(point, value, self.scale_factor(model_id, name))
        self.registers[start : start + point.size] = encoded

    def span(self, model_id: int, name: str) -> tuple[Point, int, int]:
        """A point, where it starts in the registers, and the scale factor that it has."""
        point, start = self._places[model_id, name]
        return point, start, self.scale_factor(model_id, name)

    def simulated(self) -> list[SimData]:
        """The registers for a simulated device of pymodbus, read-only where SunSpec says so."""
        blocks: list[SimData] = []
        start = 0
        for index in range(1, len(self.registers) + 1):
            if index == len(self.registers) or self._writable[index] != self._writable[start]:
                blocks.append(
                    SimData(
                        self.base_address + start,
                        values=self.registers[start:index],
                        datatype=DataType.REGISTERS,
                        readonly=not self._writable[start],
                    )
                )
                start = index
        return blocks
