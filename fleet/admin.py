"""The fleet in the admin console. What is history there is read only: consents, commands, sessions, traces."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from fleet.models import (
    Asset,
    CapacityTest,
    Charger,
    ChargingLimit,
    ChargingSession,
    Connector,
    Consent,
    Departure,
    DeviceCommand,
    EventStream,
    Evse,
    FirmwareCampaign,
    GridNode,
    IdToken,
    Inverter,
    LatestMeasurand,
    Meter,
    OnboardComputer,
    Owner,
    Pack,
    PackHealthRecord,
    PackIntake,
    PackIntakeRule,
    Region,
    SignedMeterValue,
    Site,
    StationCertificate,
    StationEvent,
    UseContract,
    Vehicle,
    VehicleGoal,
    VehicleModel,
)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows; nobody adds, changes or deletes them here. Lists do not count what may be millions."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Region)
class RegionAdmin(admin.ModelAdmin):
    list_display = ("code", "name", "country", "time_zone", "currency")
    search_fields = ("code", "name")


@admin.register(GridNode)
class GridNodeAdmin(admin.ModelAdmin):
    list_display = ("code", "name", "region", "import_limit_kw", "export_limit_kw")
    list_filter = ("region",)
    list_select_related = ("region",)
    search_fields = ("code", "name")


@admin.register(Site)
class SiteAdmin(admin.ModelAdmin):
    list_display = ("identity", "name", "kind", "operation_mode", "grid_node", "owner", "import_limit_kw")
    list_filter = ("kind", "operation_mode", "grid_node__region")
    list_select_related = ("grid_node", "owner")
    search_fields = ("identity", "name")
    autocomplete_fields = ("grid_node", "owner")


@admin.register(Owner)
class OwnerAdmin(admin.ModelAdmin):
    list_display = ("identity", "name", "email", "user")
    list_select_related = ("user",)
    search_fields = ("identity", "name", "email")
    autocomplete_fields = ("user",)


@admin.register(Asset)
class AssetAdmin(admin.ModelAdmin):
    list_display = ("identity", "kind", "site", "connected", "fault", "last_seen_at")
    list_filter = ("kind", "connected")
    list_select_related = ("site",)
    search_fields = ("identity", "fault")
    autocomplete_fields = ("site",)
    readonly_fields = ("connected", "last_seen_at")
    show_full_result_count = False


class EvseInline(admin.TabularInline):
    model = Evse
    extra = 0
    autocomplete_fields = ("asset",)


@admin.register(Charger)
class ChargerAdmin(admin.ModelAdmin):
    list_display = ("identity", "protocol", "site", "vendor", "model", "gateway_identity", "last_seen_at")
    list_filter = ("protocol", "vendor")
    list_select_related = ("site",)
    search_fields = ("identity", "serial_number")
    autocomplete_fields = ("site",)
    # a password is set by `create_charger`, never typed here
    readonly_fields = ("password_hash", "gateway_identity", "connected_at", "last_seen_at", "booted_at", "capabilities")
    inlines = (EvseInline,)
    show_full_result_count = False


@admin.register(Evse)
class EvseAdmin(admin.ModelAdmin):
    list_display = ("asset", "charger", "number", "max_charge_kw", "max_discharge_kw", "fail_safe_kw")
    list_select_related = ("asset", "charger")
    search_fields = ("asset__identity", "charger__identity")
    autocomplete_fields = ("asset", "charger")


@admin.register(Connector)
class ConnectorAdmin(admin.ModelAdmin):
    list_display = ("evse", "number", "connector_type", "status", "detail", "status_at")
    list_filter = ("status", "connector_type")
    list_select_related = ("evse",)
    search_fields = ("evse__asset__identity",)
    autocomplete_fields = ("evse",)


@admin.register(IdToken)
class IdTokenAdmin(admin.ModelAdmin):
    list_display = ("token", "kind", "vehicle", "blocked", "expires_at")
    list_filter = ("kind", "blocked")
    list_select_related = ("vehicle",)
    search_fields = ("token", "vehicle__identity", "vehicle__label")
    autocomplete_fields = ("vehicle",)


@admin.register(VehicleModel)
class VehicleModelAdmin(admin.ModelAdmin):
    list_display = ("make", "name", "battery_capacity_kwh", "max_charge_kw", "max_discharge_kw")
    list_filter = ("make",)
    search_fields = ("make", "name")


class VehicleGoalInline(admin.StackedInline):
    model = VehicleGoal
    extra = 0


@admin.register(Vehicle)
class VehicleAdmin(admin.ModelAdmin):
    list_display = ("identity", "label", "owner", "model", "home_site", "soc_fraction", "withdrawn_at")
    list_filter = ("v2g_capable", "model__make")
    list_select_related = ("owner", "model", "home_site")
    search_fields = ("identity", "label", "owner__identity", "owner__name")
    autocomplete_fields = ("owner", "model", "home_site")
    readonly_fields = ("soc_fraction", "soc_measured_at")
    inlines = (VehicleGoalInline,)
    show_full_result_count = False


@admin.register(OnboardComputer)
class OnboardComputerAdmin(admin.ModelAdmin):
    list_display = ("identity", "vehicle", "cpu_cores", "memory_mib", "active_power_kw")
    list_select_related = ("vehicle",)
    search_fields = ("identity", "vehicle__identity")
    autocomplete_fields = ("vehicle",)
    readonly_fields = ("token_hash",)


@admin.register(Inverter)
class InverterAdmin(admin.ModelAdmin):
    list_display = ("identity", "site", "host", "port", "framing", "register_profile", "connected", "last_seen_at")
    list_filter = ("connected",)
    list_select_related = ("site",)
    search_fields = ("identity", "host")
    autocomplete_fields = ("site",)
    readonly_fields = ("connected", "last_seen_at", "gateway_identity")


class PackHealthRecordInline(admin.TabularInline):
    model = PackHealthRecord
    extra = 0


@admin.register(Pack)
class PackAdmin(admin.ModelAdmin):
    list_display = ("asset", "inverter", "origin", "nameplate_kwh", "state_of_health_fraction", "soc_fraction")
    list_filter = ("inverter",)
    list_select_related = ("asset", "inverter")
    search_fields = ("asset__identity", "serial_number", "origin")
    autocomplete_fields = ("asset", "inverter")
    readonly_fields = (
        "soc_fraction",
        "soc_measured_at",
        "temperature_c",
        "charge_fraction",
        "discharge_fraction",
        "condition_reason",
        "sound_since",
    )
    inlines = (PackHealthRecordInline,)


@admin.register(PackIntakeRule)
class PackIntakeRuleAdmin(admin.ModelAdmin):
    list_display = ("valid_from", "refuse_below_health", "derate_below_health", "derated_power_fraction", "source")


@admin.register(PackIntake)
class PackIntakeAdmin(ReadOnlyAdmin):
    list_display = ("identity", "verdict", "origin", "inspected_at", "inspected_by", "rule")
    list_filter = ("verdict",)
    list_select_related = ("rule",)
    search_fields = ("identity", "serial_number")


@admin.register(CapacityTest)
class CapacityTestAdmin(ReadOnlyAdmin):
    list_display = ("pack", "starts_at", "ends_at", "state", "capacity_kwh", "standard_error_kwh", "note")
    list_filter = ("state",)
    list_select_related = ("pack__asset",)
    search_fields = ("pack__asset__identity",)


@admin.register(Meter)
class MeterAdmin(admin.ModelAdmin):
    list_display = ("asset", "role", "host", "port", "device_id")
    list_filter = ("role",)
    list_select_related = ("asset",)
    search_fields = ("asset__identity", "host")
    autocomplete_fields = ("asset",)


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    list_display = ("owner", "vehicle", "site", "service", "terms_version", "granted_at", "withdrawn_at")
    list_filter = ("service", "terms_version", ("withdrawn_at", admin.EmptyFieldListFilter))
    list_select_related = ("owner", "vehicle", "site")
    search_fields = ("owner__identity", "vehicle__identity", "site__identity")
    date_hierarchy = "granted_at"


@admin.register(UseContract)
class UseContractAdmin(admin.ModelAdmin):
    """Made and ended here for sites' packs; owners set their cars' in the portal. What holds is ended, never rewritten."""

    list_display = ("owner", "vehicle", "site", "valid_from", "valid_until", "max_discharge_kwh_per_day")
    list_filter = (("valid_until", admin.EmptyFieldListFilter),)
    list_select_related = ("owner", "vehicle", "site")
    search_fields = ("owner__identity", "vehicle__identity", "site__identity")
    autocomplete_fields = ("owner", "vehicle", "site")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        ended = ("valid_until",) if obj.valid_until is not None else ()
        return (*(field.name for field in UseContract._meta.fields if field.name != "valid_until"), *ended)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ChargingSession)
class ChargingSessionAdmin(ReadOnlyAdmin):
    list_display = ("transaction_id", "charger", "vehicle", "started_at", "ended_at", "stop_reason")
    list_filter = (("ended_at", admin.EmptyFieldListFilter), "bidirectional")
    list_select_related = ("charger", "vehicle")
    search_fields = ("transaction_id", "charger__identity", "vehicle__identity")


@admin.register(DeviceCommand)
class DeviceCommandAdmin(ReadOnlyAdmin):
    list_display = ("asset", "sequence", "kind", "state", "queued_at", "sent_at", "answered_at", "attempts", "plan_id")
    list_filter = ("state", "kind")
    list_select_related = ("asset",)
    search_fields = ("asset__identity",)


@admin.register(StationCertificate)
class StationCertificateAdmin(ReadOnlyAdmin):
    list_display = ("charger", "use", "state", "serial_number", "requested_at", "expires_at")
    list_filter = ("state",)
    list_select_related = ("charger",)


@admin.register(StationEvent)
class StationEventAdmin(ReadOnlyAdmin):
    list_display = ("charger", "kind", "name", "value", "occurred_at")
    list_filter = ("kind",)
    list_select_related = ("charger",)


@admin.register(FirmwareCampaign)
class FirmwareCampaignAdmin(ReadOnlyAdmin):
    list_display = ("name", "vendor", "model", "firmware_version", "state", "created_by", "created_at")
    list_filter = ("state",)


@admin.register(Departure)
class DepartureAdmin(ReadOnlyAdmin):
    list_display = ["asset", "source", "told_kw", "found_kw", "began_at", "ended_at"]
    list_filter = ["source"]
    list_select_related = ["asset"]


@admin.register(ChargingLimit)
class ChargingLimitAdmin(ReadOnlyAdmin):
    list_display = ["charger", "evse", "source", "grid_critical", "starts_at", "ends_at"]
    list_select_related = ["charger", "evse"]


@admin.register(EventStream)
class EventStreamAdmin(ReadOnlyAdmin):
    list_display = ["charger", "stream_id", "monitor_id", "interval_s", "last_value", "last_value_at", "closed_at"]
    list_select_related = ["charger"]


@admin.register(LatestMeasurand)
class LatestMeasurandAdmin(ReadOnlyAdmin):
    list_display = ["asset", "measurand", "phase", "location", "value", "unit", "measured_at"]
    list_select_related = ["asset"]
    search_fields = ["asset__identity", "measurand"]


@admin.register(SignedMeterValue)
class SignedMeterValueAdmin(ReadOnlyAdmin):
    list_display = ["asset", "transaction_id", "measurand", "context", "measured_at", "signing_method"]
    list_select_related = ["asset"]
    search_fields = ["asset__identity", "transaction_id"]
