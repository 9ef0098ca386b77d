"""Users, clients, plans and the books in the admin console. The books and the plans are read only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.http import HttpRequest

from aggregator.models import (
    ApiClient,
    DeliverySample,
    LedgerAccount,
    LedgerEntry,
    LedgerSeal,
    LedgerTransaction,
    LedgerVerification,
    Payout,
    PayoutAccount,
    PayoutBatch,
    Plan,
    PlannedSchedule,
    Portfolio,
    PortfolioLimit,
    PortfolioPart,
    PortfolioPlan,
    PortfolioRegion,
    User,
)

admin.site.site_header = "Vehicle-to-grid aggregator"
admin.site.site_title = "Aggregator"


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


class NewUserForm(AdminUserCreationForm):
    """A login is named by its e-mail address."""

    class Meta:
        model = User
        fields = ("email",)


class UserForm(UserChangeForm):
    """All of a login but its password."""

    class Meta:
        model = User
        fields = "__all__"


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    form = UserForm
    add_form = NewUserForm
    list_display = ("email", "name", "is_operator", "is_staff", "is_active", "date_joined")
    list_filter = ("is_operator", "is_staff", "is_active", "language")
    search_fields = ("email", "name")
    ordering = ("email",)
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password", "name", "language")}),
        ("Roles", {"fields": ("is_operator", "is_staff", "is_superuser", "is_active", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)


@admin.register(ApiClient)
class ApiClientAdmin(admin.ModelAdmin):
    list_display = ("name", "role", "application", "created_at")
    list_filter = ("role",)
    list_select_related = ("application",)
    search_fields = ("name",)
    readonly_fields = ("application", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """`create_client` makes them, with their secret."""
        return False


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    list_display = ("id", "region", "trigger", "made_at", "status", "gap", "solve_s", "asset_count", "grid_event_id")
    list_filter = ("trigger", "status", "region")
    list_select_related = ("region",)
    search_fields = ("=grid_event_id",)


@admin.register(PlannedSchedule)
class PlannedScheduleAdmin(ReadOnlyAdmin):
    list_display = ("plan", "asset_id")
    list_select_related = ("plan",)
    search_fields = ("=asset_id", "=plan__id")


@admin.register(DeliverySample)
class DeliverySampleAdmin(ReadOnlyAdmin):
    list_display = ("grid_event_id", "at", "target_kw", "baseline_kw", "measured_kw", "delivered_kw")
    search_fields = ("=grid_event_id",)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ("kind", "party", "unit")
    list_filter = ("kind", "unit")
    search_fields = ("party",)


class LedgerEntryInline(admin.TabularInline):
    model = LedgerEntry
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("account")


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin):
    list_display = ("idempotency_key", "kind", "occurred_at", "booked_at", "description", "grid_event_id")
    list_filter = ("kind",)
    search_fields = ("idempotency_key", "description", "=grid_event_id")
    inlines = (LedgerEntryInline,)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("transaction", "account", "amount", "asset_id")
    list_filter = ("account__kind", "account__unit")
    list_select_related = ("transaction", "account")
    search_fields = ("account__party", "transaction__idempotency_key", "=asset_id")


@admin.register(LedgerSeal)
class LedgerSealAdmin(ReadOnlyAdmin):
    list_display = ("position", "transaction", "sha256")
    list_select_related = ("transaction",)
    search_fields = ("=position", "sha256", "transaction__idempotency_key")


@admin.register(LedgerVerification)
class LedgerVerificationAdmin(ReadOnlyAdmin):
    """Whether the books are what they were: one line per look."""

    list_display = ("at", "length", "sound", "head_sha256", "faults")

    @admin.display(boolean=True)
    def sound(self, row: LedgerVerification) -> bool:
        return not row.faults


@admin.register(PayoutAccount)
class PayoutAccountAdmin(ReadOnlyAdmin):
    list_display = ("party", "holder_name", "changed_at")
    search_fields = ("party", "holder_name")


class PayoutInline(admin.TabularInline):
    model = Payout
    extra = 0
    can_delete = False
    fields = readonly_fields = ("party", "amount", "end_to_end_id", "holder_name")


@admin.register(PayoutBatch)
class PayoutBatchAdmin(ReadOnlyAdmin):
    list_display = ("idempotency_key", "currency", "made_at", "execution_date", "total", "message_sha256")
    list_filter = ("currency",)
    exclude = ("message",)
    inlines = (PayoutInline,)


class PortfolioRegionInline(admin.TabularInline):
    model = PortfolioRegion
    extra = 0


class PortfolioLimitInline(admin.TabularInline):
    model = PortfolioLimit
    extra = 0


@admin.register(Portfolio)
class PortfolioAdmin(admin.ModelAdmin):
    list_display = ("code", "name", "currency")
    search_fields = ("code", "name")
    inlines = (PortfolioRegionInline, PortfolioLimitInline)


class PortfolioPartInline(admin.TabularInline):
    """What each region got and did."""

    model = PortfolioPart
    fields = readonly_fields = ("region", "sampled_at", "planned_at", "plan", "cost", "bound")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(PortfolioPlan)
class PortfolioPlanAdmin(ReadOnlyAdmin):
    list_display = ("id", "portfolio", "trigger", "made_at", "state", "cost", "gap", "missed_kwh", "finished_at")
    list_filter = ("state", "portfolio")
    list_select_related = ("portfolio",)
    inlines = (PortfolioPartInline,)
