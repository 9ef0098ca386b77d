"""A portfolio as plain data: what is drawn for a demonstration or a benchmark, stored at once and played by the twin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PortfolioSite:
    """A site with the grid node that it hangs on."""

    identity: str
    name: str
    kind: str
    node: str
    owner: str
    latitude: float
    longitude: float
    import_limit_kw: float
    export_limit_kw: float
    emergency_reserve_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class PortfolioModel:
    """A vehicle model."""

    make: str
    name: str
    battery_capacity_kwh: float
    max_charge_kw: float
    max_discharge_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    taper_from_fraction: float = 1.0
    full_power_fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class PortfolioComputer:
    """A computer on board."""

    identity: str
    token: str
    cpu_cores: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class PortfolioCar:
    """A car with the station that it uses. Seconds count from the start of the twin.

    A car is bidirectional only if its model, its station and its station's protocol are.
    """

    identity: str
    label: str
    owner: str
    site: str
    model: PortfolioModel
    charger: str
    protocol: str
    password: str
    id_token: str
    phases: int
    evse_charge_kw: float
    evse_discharge_kw: float
    min_charge_kw: float
    soc_fraction: float
    target_soc_fraction: float
    floor_soc_fraction: float
    wear_per_kwh: float
    plug_in_s: float
    unplug_s: float | None
    departure_in_s: float
    computer: PortfolioComputer | None = None

    @property
    def bidirectional(self) -> bool:
        """Whether this car at this station can discharge."""
        return self.protocol == "ocpp2.1" and self.model.max_discharge_kw > 0 and self.evse_discharge_kw > 0


@dataclass(frozen=True, slots=True)
class PortfolioPack:
    """A reused pack behind an inverter."""

    identity: str
    device_id: int
    serial_number: str
    origin: str
    nameplate_kwh: float
    state_of_health_fraction: float
    soc_fraction: float
    temperature_c: float
    max_charge_kw: float
    max_discharge_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    wear_per_kwh: float
    full_cycles: float
    taper_from_fraction: float = 1.0
    full_power_fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class PortfolioInverter:
    """An inverter with its packs."""

    identity: str
    site: str
    host: str
    port: int
    max_charge_kw: float
    max_discharge_kw: float
    packs: tuple[PortfolioPack, ...]


@dataclass(frozen=True, slots=True)
class PortfolioMeter:
    """A load or PV meter of a site."""

    identity: str
    site: str
    role: str
    host: str
    port: int
    peak_kw: float


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A region with everything in it. Owners are (identity, name)."""

    region_code: str
    region_name: str
    country: str
    time_zone: str
    currency: str
    seed: int
    owners: tuple[tuple[str, str], ...]
    nodes: tuple[tuple[str, str], ...]
    sites: tuple[PortfolioSite, ...]
    cars: tuple[PortfolioCar, ...]
    inverters: tuple[PortfolioInverter, ...]
    meters: tuple[PortfolioMeter, ...]
