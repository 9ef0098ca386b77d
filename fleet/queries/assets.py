"""What can take part in a plan now: every car at an EVSE and every pack, with what its battery holds and its driver wants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q

from fleet.core.battery import taper_points
from fleet.core.use_contract import UseAllowance
from fleet.models import (
    Asset,
    AssetKind,
    CapacityTest,
    CapacityTestState,
    Charger,
    ChargingSession,
    Consent,
    ConsentService,
    GridNode,
    Meter,
    OperationMode,
    Pack,
    Region,
    Site,
    Vehicle,
    VehicleModel,
)
from fleet.queries.charging_limits import UNLIMITED, OutsideLimit, outside_limits
from fleet.queries.commands import refusing_assets
from fleet.queries.contracts import contracted
from fleet.queries.state import AssetState, latest_states

# What is known of an asset counts as known for so long; after it, it takes no part.
FRESH_FOR = timedelta(minutes=5)
# A battery of which nobody has ever told the level is planned as if it were half full.
UNKNOWN_SOC_FRACTION = 0.5
CONSENTED, TESTING = "consented", "testing"


@dataclass(frozen=True, slots=True)
class FlexibleAsset:
    """One asset at one moment. Energies in kWh in the battery, powers in kW at the meter, + into the asset.

    `left_out_because` is empty for an asset that planning may steer; otherwise it says why not, in a word that the
    console translates: no_consent, offline, fault, testing, refuses, stale, emergency, uncontrollable. `charge_curve`
    are points (kWh, kW) of the power that the battery takes, see `fleet.core.power_curves`; none if it does not depend on
    the energy. `allowance` is what a contract of use leaves, None where there is no contract.
    """

    asset_id: int
    identity: str
    kind: str
    owner_id: int | None
    vehicle_id: int | None
    session_id: int | None
    site_id: int
    node_id: int
    power_kw: float
    measured_at: datetime | None
    energy_kwh: float
    capacity_kwh: float
    required_kwh: float
    floor_kwh: float
    departure_at: datetime | None
    charge_kw: float
    discharge_kw: float
    min_charge_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    wear_per_kwh: float
    charge_now: bool
    left_out_because: str
    charge_curve: tuple[tuple[float, float], ...] = ()
    allowance: UseAllowance | None = None


@dataclass(frozen=True, slots=True)
class SiteState:
    """A site's limits and the load behind it that no plan steers (positive: import)."""

    site_id: int
    node_id: int
    identity: str
    import_limit_kw: float
    export_limit_kw: float
    emergency_reserve_kwh: float
    base_load_kw: float


@dataclass(frozen=True, slots=True)
class NodeState:
    """A grid node's limits; infinite where it has none."""

    node_id: int
    code: str
    import_limit_kw: float
    export_limit_kw: float


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """All assets of a region that have a battery, and the limits they share."""

    assets: tuple[FlexibleAsset, ...]
    sites: tuple[SiteState, ...]
    nodes: tuple[NodeState, ...]


def _clip(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


def session_energy_kwh(session: ChargingSession, state: AssetState | None, capacity_kwh: float) -> float:
    """Energy in the battery of a plugged-in car, by the best that is known.

    The level that the car reports; else its level at arrival plus what the registers have counted since, both ways;
    else the last level ever heard of; else half.
    """
    if state is not None and state.soc_fraction is not None and state.measured_at >= session.started_at:
        return state.soc_fraction * capacity_kwh
    vehicle = session.vehicle
    arrival = session.arrival_soc_fraction
    if arrival is None:
        arrival = vehicle.soc_fraction if vehicle is not None else None
    if arrival is None:
        arrival = UNKNOWN_SOC_FRACTION
    gained_kwh = 0.0
    if state is not None and state.import_kwh is not None and session.meter_start_kwh is not None:
        efficiency = vehicle.model.charge_efficiency if vehicle is not None else 0.92
        gained_kwh = max(0.0, state.import_kwh - session.meter_start_kwh) * efficiency
    return _clip(arrival * capacity_kwh + gained_kwh, 0.0, capacity_kwh)


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """What decides, beside the battery, whether an asset may be steered."""

    state: AssetState | None
    consented: bool
    refuses: bool
    now: datetime
    outside: OutsideLimit = UNLIMITED
    testing: bool = False
    uncontrollable: bool = False

    def left_out_because(self, asset: Asset) -> str:
        """The reason in a word, the weightiest first; empty if there is none."""
        if not self.consented:
            return "no_consent"
        if asset.site.operation_mode == OperationMode.EMERGENCY:
            return "emergency"
        if asset.fault:
            return "fault"
        if not asset.connected:
            return "offline"
        if self.testing:
            return "testing"
        if self.uncontrollable:
            return "uncontrollable"
        if self.refuses:
            return "refuses"
        if self.state is None or self.now - self.state.measured_at > FRESH_FOR:
            return "stale"
        return ""


def _vehicle_asset(session: ChargingSession, vehicle: Vehicle, known: _Circumstances) -> FlexibleAsset:
    evse, asset, state = session.evse, session.evse.asset, known.state
    model = vehicle.model
    capacity_kwh = vehicle.battery_capacity_kwh
    energy_kwh = session_energy_kwh(session, state, capacity_kwh)
    goal = getattr(vehicle, "goal", None)
    target = session.target_soc_fraction if session.target_soc_fraction is not None else 0.8
    floor = session.floor_soc_fraction if session.floor_soc_fraction is not None else 0.3
    outside = known.outside
    charge_kw = min(evse.max_charge_kw, model.max_charge_kw, session.max_charge_kw or float("inf"), outside.charge_kw)
    may_discharge = session.bidirectional and vehicle.v2g_capable
    discharge_kw = min(
        evse.max_discharge_kw,
        model.max_discharge_kw,
        session.max_discharge_kw or float("inf"),
        outside.discharge_kw,
    )
    return FlexibleAsset(
        asset_id=asset.pk,
        identity=asset.identity,
        kind=asset.kind,
        owner_id=vehicle.owner_id,
        vehicle_id=vehicle.pk,
        session_id=session.pk,
        site_id=asset.site_id,
        node_id=asset.site.grid_node_id,
        power_kw=state.power_kw or 0.0 if state else 0.0,
        measured_at=state.measured_at if state else None,
        energy_kwh=energy_kwh,
        capacity_kwh=capacity_kwh,
        required_kwh=max(target, floor) * capacity_kwh,
        floor_kwh=floor * capacity_kwh,
        departure_at=session.departure_at,
        charge_kw=charge_kw,
        discharge_kw=discharge_kw if may_discharge else 0.0,
        min_charge_kw=evse.min_charge_kw,
        charge_efficiency=model.charge_efficiency,
        discharge_efficiency=model.discharge_efficiency,
        wear_per_kwh=float(vehicle.wear_per_kwh),
        charge_now=goal is not None and goal.charge_now_until is not None and goal.charge_now_until > known.now,
        left_out_because=known.left_out_because(asset),
        charge_curve=_charge_curve(model, capacity_kwh),
    )


def _charge_curve(source: VehicleModel | Pack, capacity_kwh: float) -> tuple[tuple[float, float], ...]:
    return taper_points(
        taper_from_fraction=source.taper_from_fraction,
        full_power_fraction=source.full_power_fraction,
        capacity_kwh=capacity_kwh,
        full_kw=source.max_charge_kw,
    )


def _pack_asset(pack: Pack, known: _Circumstances, inverter_part: tuple[float, float]) -> FlexibleAsset:
    asset, state = pack.asset, known.state
    capacity_kwh = pack.capacity_kwh
    soc = state.soc_fraction if state is not None and state.soc_fraction is not None else pack.soc_fraction
    energy_kwh = (soc if soc is not None else UNKNOWN_SOC_FRACTION) * capacity_kwh
    return FlexibleAsset(
        asset_id=asset.pk,
        identity=asset.identity,
        kind=asset.kind,
        owner_id=asset.site.owner_id,
        vehicle_id=None,
        session_id=None,
        site_id=asset.site_id,
        node_id=asset.site.grid_node_id,
        power_kw=state.power_kw or 0.0 if state else 0.0,
        measured_at=state.measured_at if state else None,
        energy_kwh=energy_kwh,
        capacity_kwh=capacity_kwh,
        # the horizon gives back what it borrowed, so that a plan earns nothing by emptying the packs at its end
        required_kwh=energy_kwh,
        floor_kwh=min(pack.minimum_soc_fraction * capacity_kwh, energy_kwh),
        departure_at=None,
        charge_kw=pack.max_charge_kw * pack.charge_fraction * inverter_part[0],
        discharge_kw=pack.max_discharge_kw * pack.discharge_fraction * inverter_part[1],
        min_charge_kw=0.0,
        charge_efficiency=pack.charge_efficiency,
        discharge_efficiency=pack.discharge_efficiency,
        wear_per_kwh=float(pack.wear_per_kwh),
        charge_now=False,
        left_out_because=known.left_out_because(asset),
        charge_curve=_charge_curve(pack, capacity_kwh),
    )


def inverter_parts(packs: Sequence[Pack]) -> dict[int, tuple[float, float]]:
    """What part of its packs' power each inverter can carry, (charging, discharging), at most 1.

    A plan takes each pack by this part, so that whatever it adds up to passes through the inverter; the sharing of the
    hub's power afterwards (`fleet.core.hub`) may give one pack more and another less.
    """
    parts: dict[int, tuple[float, float]] = {}
    for inverter in {pack.inverter_id: pack.inverter for pack in packs}.values():
        behind = [pack for pack in packs if pack.inverter_id == inverter.pk and not pack.asset.fault]
        charge_kw = sum(pack.max_charge_kw * pack.charge_fraction for pack in behind)
        discharge_kw = sum(pack.max_discharge_kw * pack.discharge_fraction for pack in behind)
        parts[inverter.pk] = (
            min(1.0, inverter.max_charge_kw / charge_kw) if charge_kw > 0 else 1.0,
            min(1.0, inverter.max_discharge_kw / discharge_kw) if discharge_kw > 0 else 1.0,
        )
    return parts


def _active_consent(service: str, **subject: OuterRef) -> Exists:
    return Exists(Consent.objects.filter(service=service, withdrawn_at__isnull=True, **subject))


def _region_filter(path: str, region_id: int) -> Q:
    return Q(**{f"{path}site__grid_node__region_id": region_id})


def _site_states(region_id: int, assets: Iterable[FlexibleAsset]) -> tuple[SiteState, ...]:
    """Sites with their unsteered load: load and PV meters, and the assets that are left out of planning."""
    meters = list(
        Meter.objects.filter(_region_filter("asset__", region_id))
        .exclude(role="connection")
        .values_list("asset_id", "asset__site_id")
    )
    metered = latest_states([asset_id for asset_id, _ in meters])
    base_load_kw: dict[int, float] = {}
    for asset_id, site_id in meters:
        state = metered.get(asset_id)
        if state is not None and state.power_kw is not None:
            base_load_kw[site_id] = base_load_kw.get(site_id, 0.0) + state.power_kw
    for asset in assets:
        if asset.left_out_because:
            base_load_kw[asset.site_id] = base_load_kw.get(asset.site_id, 0.0) + asset.power_kw
    return tuple(
        SiteState(pk, node_id, identity, import_kw, export_kw, reserve_kwh, base_load_kw.get(pk, 0.0))
        for pk, node_id, identity, import_kw, export_kw, reserve_kwh in Site.objects.filter(
            grid_node__region_id=region_id
        ).values_list("pk", "grid_node_id", "identity", "import_limit_kw", "export_limit_kw", "emergency_reserve_kwh")
    )


def fleet_snapshot(*, region_id: int, now: datetime) -> FleetSnapshot:
    """Everything with a battery in a region that is plugged in now, whether planning may steer it or not."""
    sessions = list(
        ChargingSession.objects.filter(_region_filter("evse__asset__", region_id))
        .filter(ended_at__isnull=True, vehicle__isnull=False)
        .select_related("charger", "evse__asset__site__grid_node", "vehicle__model", "vehicle__goal")
        .annotate(**{CONSENTED: _active_consent(ConsentService.FLEXIBILITY, vehicle=OuterRef("vehicle"))})
        .order_by("evse__asset_id")
    )
    packs = list(
        Pack.objects.filter(_region_filter("asset__", region_id))
        .select_related("asset__site__grid_node", "inverter")
        .annotate(**{CONSENTED: _active_consent(ConsentService.FLEXIBILITY, site=OuterRef("asset__site"))})
        .annotate(
            **{TESTING: Exists(CapacityTest.objects.filter(pack=OuterRef("pk"), state=CapacityTestState.RUNNING))}
        )
        .order_by("asset_id")
    )
    states = latest_states(
        [session.evse.asset_id for session in sessions] + [pack.asset_id for pack in packs],
    )
    refusing = refusing_assets(now=now)
    outside = outside_limits(evse_ids=[session.evse_id for session in sessions], now=now)

    def circumstances(row: ChargingSession | Pack, asset_id: int) -> _Circumstances:
        consented = bool(getattr(row, CONSENTED))  # annotated above
        known = _Circumstances(states.get(asset_id), consented, asset_id in refusing, now)
        if not isinstance(row, ChargingSession):
            return replace(known, testing=bool(getattr(row, TESTING, False)))
        limit = outside.get(row.evse_id, UNLIMITED)
        # it has answered that it knows no charging profiles
        return replace(known, outside=limit, uncontrollable=row.charger.capabilities.get("smart_charging") is False)

    parts = inverter_parts(packs)
    cars = [
        _vehicle_asset(session, session.vehicle, circumstances(session, session.evse.asset_id))
        for session in sessions
        if session.vehicle is not None
    ]
    assets = (
        *cars,
        *(_pack_asset(pack, circumstances(pack, pack.asset_id), parts[pack.inverter_id]) for pack in packs),
    )

    assets = contracted(assets, now)
    nodes = tuple(
        NodeState(
            pk,
            code,
            import_kw if import_kw is not None else float("inf"),
            export_kw if export_kw is not None else float("inf"),
        )
        for pk, code, import_kw, export_kw in GridNode.objects.filter(region_id=region_id).values_list(
            "pk", "code", "import_limit_kw", "export_limit_kw"
        )
    )
    return FleetSnapshot(assets, _site_states(region_id, assets), nodes)


def region_of_assets(asset_ids: Iterable[int]) -> dict[int, int]:
    """Region of each asset."""
    return dict(Asset.objects.filter(pk__in=list(asset_ids)).values_list("pk", "site__grid_node__region_id"))


def owners_of_assets(asset_ids: Iterable[int], *, at: datetime) -> dict[int, tuple[int, str] | None]:
    """Who owned what each asset served at an instant: (owner, identity) of the car plugged in there, or of the site's packs."""
    ids = list(asset_ids)
    owners: dict[int, tuple[int, str] | None] = dict.fromkeys(ids)
    cars = (
        ChargingSession.objects.filter(evse__asset_id__in=ids, vehicle__isnull=False, started_at__lte=at)
        .filter(Q(ended_at__isnull=True) | Q(ended_at__gt=at))
        .values_list("evse__asset_id", "vehicle__owner_id", "vehicle__owner__identity")
    )
    owners.update({asset_id: (owner_id, identity) for asset_id, owner_id, identity in cars})
    packs = Pack.objects.filter(asset_id__in=ids, asset__site__owner__isnull=False).values_list(
        "asset_id", "asset__site__owner_id", "asset__site__owner__identity"
    )
    owners.update({asset_id: (owner_id, identity) for asset_id, owner_id, identity in packs})
    return owners


def connected_counts() -> dict[str, int]:
    """How many stations and packs are connected now: {"chargers": …, "packs": …}."""
    return {
        "chargers": Charger.objects.exclude(gateway_identity="").count(),
        "packs": Asset.objects.filter(kind=AssetKind.PACK, connected=True).count(),
    }


def region_ids() -> list[int]:
    """All regions, by identifier."""
    return list(Region.objects.order_by("pk").values_list("pk", flat=True))
