"""The grid side in the admin console. Terms are changed by adding a dated row; settlements are read only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from grid.models import (
    AwardSettlement,
    AwardSettlementSlot,
    BaselineCheck,
    BaselineRule,
    Certificate,
    CreditProject,
    EmissionFactor,
    EmissionFactorSeries,
    GridEvent,
    MarketAward,
    MarketProduct,
    MonitoringRecord,
    OpenAdrAnswer,
    OpenAdrNotification,
    OpenAdrSubscription,
    OutsideVtn,
    PricePoint,
    PriceSeries,
    Programme,
    Settlement,
    SettlementDispute,
    SettlementShare,
    SettlementStep,
    SiteYear,
    UftpCongestionPoint,
    UftpOutgoing,
    UftpParticipant,
    UftpReceived,
)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows; nobody adds, changes or deletes them here."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Programme)
class ProgrammeAdmin(admin.ModelAdmin):
    """Terms that events were settled by stay as they are: a change is a new row with its date."""

    list_display = ("code", "name", "region", "effective_from", "max_kw", "energy_price_per_kwh", "currency")
    list_filter = ("region", "baseline_method")
    list_select_related = ("region",)
    search_fields = ("code", "name")
    save_as = True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or not obj.events.exists())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or not obj.events.exists())


@admin.register(BaselineRule)
class BaselineRuleAdmin(ReadOnlyAdmin):
    """A changed rule is a new dated row; what is not confirmed by the primary text is named."""

    list_display = ("code", "effective_from", "kind", "verified", "unverified", "source")
    list_filter = ("kind",)
    search_fields = ("code", "source")

    @admin.display(boolean=True)
    def verified(self, row: BaselineRule) -> bool:
        return not row.unverified


@admin.register(BaselineCheck)
class BaselineCheckAdmin(ReadOnlyAdmin):
    list_display = ("event", "asset_id", "today_kw", "typical_kw", "planned_kw", "excess_kw", "conspicuous", "verdict")
    list_filter = ("conspicuous",)
    list_select_related = ("event",)
    search_fields = ("=event__id", "=asset_id")


@admin.register(MarketProduct)
class MarketProductAdmin(ReadOnlyAdmin):
    """Changed rules are a new dated row; what is not confirmed by the primary text is named."""

    list_display = ("code", "name", "effective_from", "assessment", "verified", "unverified", "source")
    list_filter = ("market", "zone", "assessment")
    search_fields = ("code", "name", "source")

    @admin.display(boolean=True)
    def verified(self, row: MarketProduct) -> bool:
        return not row.unverified


@admin.register(MarketAward)
class MarketAwardAdmin(ReadOnlyAdmin):
    list_display = ("reference", "product", "starts_at", "ends_at", "up_kw", "down_kw", "state", "requested_by")
    list_filter = ("state", "product")
    list_select_related = ("product",)
    search_fields = ("reference", "requested_by")


class AwardSlotInline(admin.TabularInline):
    model = AwardSettlementSlot
    extra = 0
    can_delete = False


@admin.register(AwardSettlement)
class AwardSettlementAdmin(ReadOnlyAdmin):
    list_display = ("award", "revision", "settled_at", "compliant_fraction", "payment", "penalty", "currency")
    list_select_related = ("award",)
    inlines = (AwardSlotInline,)


@admin.register(GridEvent)
class GridEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "programme", "direction", "target_kw", "starts_at", "ends_at", "state", "requested_by")
    list_filter = ("state", "direction", "programme")
    list_select_related = ("programme",)
    search_fields = ("idempotency_key", "requested_by")
    date_hierarchy = "starts_at"


@admin.register(PriceSeries)
class PriceSeriesAdmin(admin.ModelAdmin):
    list_display = ("code", "region", "currency", "source")
    list_select_related = ("region",)
    search_fields = ("code", "source")


@admin.register(PricePoint)
class PricePointAdmin(ReadOnlyAdmin):
    list_display = ("series", "starts_at", "ends_at", "price_per_kwh")
    list_filter = ("series",)
    list_select_related = ("series",)
    date_hierarchy = "starts_at"


@admin.register(EmissionFactorSeries)
class EmissionFactorSeriesAdmin(admin.ModelAdmin):
    list_display = ("code", "region", "kind", "source")
    list_filter = ("kind",)
    list_select_related = ("region",)
    search_fields = ("code", "source")


@admin.register(EmissionFactor)
class EmissionFactorAdmin(ReadOnlyAdmin):
    list_display = ("series", "starts_at", "ends_at", "kg_per_kwh")
    list_filter = ("series",)
    list_select_related = ("series",)
    date_hierarchy = "starts_at"


class SettlementStepInline(admin.TabularInline):
    model = SettlementStep
    extra = 0
    can_delete = False


@admin.register(Settlement)
class SettlementAdmin(ReadOnlyAdmin):
    list_display = ("event", "revision", "settled_at", "delivered_kwh", "target_kwh", "payment", "currency")
    list_filter = ("currency", "rule_version")
    list_select_related = ("event",)
    search_fields = ("event__idempotency_key", "evidence_sha256")
    inlines = (SettlementStepInline,)


@admin.register(SettlementShare)
class SettlementShareAdmin(ReadOnlyAdmin):
    list_display = ("settlement", "asset_id", "owner_id", "delivered_kwh", "payment")
    list_select_related = ("settlement",)
    search_fields = ("=asset_id", "=owner_id")


@admin.register(SettlementDispute)
class SettlementDisputeAdmin(ReadOnlyAdmin):
    list_display = ("event", "revision", "raised_by", "raised_at", "state", "resolution")
    list_filter = ("state",)
    list_select_related = ("event",)
    search_fields = ("=event__id", "raised_by", "reason")
    exclude = ("evidence",)


@admin.register(OutsideVtn)
class OutsideVtnAdmin(admin.ModelAdmin):
    """Where the portfolio takes events of others, and how that goes. `join_vtn` adds one, with its checks."""

    list_display = ("name", "ven_name", "transport", "enabled", "last_success_at", "failures", "last_error")
    exclude = ("callback_token", "ven_id", "subscription_id", "scope")
    readonly_fields = ("name", "base_url", "last_success_at", "due_at", "failures", "last_error")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(OpenAdrAnswer)
class OpenAdrAnswerAdmin(ReadOnlyAdmin):
    """What the portfolio answered to OpenADR events, and why."""

    list_display = ("source", "revision", "payload_type", "starts_at", "asked_kw", "promised_kw", "state", "reason")
    list_filter = ("state", "payload_type")
    search_fields = ("source",)


@admin.register(OpenAdrSubscription)
class OpenAdrSubscriptionAdmin(ReadOnlyAdmin):
    """Who is called; one that is broken waits until its client renews it. Its body holds a secret and is not shown."""

    list_display = ("object_id", "client_name", "is_business_logic", "failing_since", "broken_at")
    list_filter = ("is_business_logic",)
    fields = list_display


@admin.register(OpenAdrNotification)
class OpenAdrNotificationAdmin(ReadOnlyAdmin):
    """What is to be told, was told, or was given up."""

    list_display = ("notification_id", "callback_url", "state", "attempts", "due_at", "last_error")
    list_filter = ("state",)
    fields = (*list_display, "topics", "created_at")


@admin.register(Certificate)
class CertificateAdmin(ReadOnlyAdmin):
    list_display = ("registry", "serial", "kind", "produced_from", "kwh", "holder", "retired_at", "retired_for")
    list_filter = ("kind", "registry")
    search_fields = ("serial", "holder", "retired_for")


class MonitoringInline(admin.TabularInline):
    model = MonitoringRecord
    extra = 0
    can_delete = False


@admin.register(CreditProject)
class CreditProjectAdmin(ReadOnlyAdmin):
    list_display = ("code", "site_identity", "methodology", "approved", "starts_on", "ends_on")
    inlines = (MonitoringInline,)


@admin.register(SiteYear)
class SiteYearAdmin(admin.ModelAdmin):
    list_display = ("site_identity", "year", "verified_kg", "allowances_kg", "offsets_kg", "output", "energy_kwh")
    search_fields = ("site_identity",)


@admin.register(UftpParticipant)
class UftpParticipantAdmin(admin.ModelAdmin):
    """With whom UFTP messages are exchanged. One that left is switched off, not deleted."""

    list_display = ("domain", "role", "endpoint", "enabled")
    search_fields = ("domain",)


@admin.register(UftpCongestionPoint)
class UftpCongestionPointAdmin(admin.ModelAdmin):
    list_display = ("entity_address", "participant", "programme_code", "isp_minutes", "time_zone")
    list_select_related = ("participant",)
    search_fields = ("entity_address",)


@admin.register(UftpReceived)
class UftpReceivedAdmin(ReadOnlyAdmin):
    list_display = ("kind", "message_id", "participant", "received_at", "rejection_reason")
    list_filter = ("kind",)
    list_select_related = ("participant",)
    search_fields = ("=message_id", "=conversation_id")


@admin.register(UftpOutgoing)
class UftpOutgoingAdmin(ReadOnlyAdmin):
    list_display = ("kind", "message_id", "participant", "state", "attempts", "sent_at", "last_error")
    list_filter = ("state", "kind")
    list_select_related = ("participant",)
    search_fields = ("=message_id",)
