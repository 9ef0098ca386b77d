"""The computing market in the admin console: to look at, not to edit. What changes a lease or a job is an operation."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from compute_market.models import Checkpoint, ComputingTerms, Job, Lease, Offer, Program, Result, WorkSlice


class ReadOnly(admin.ModelAdmin):
    """No adding, changing or deleting; bytes are neither loaded nor shown."""

    show_full_result_count = False
    left_out: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Rows without their bytes."""
        return super().get_queryset(request).defer(*self.left_out)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Every field but bytes."""
        return [field.name for field in self.model._meta.fields if field.name not in self.left_out]

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False


@admin.register(Job)
class JobAdmin(ReadOnly):
    """Jobs by state and tenant."""

    left_out = ("input",)
    list_display = (
        "id",
        "label",
        "tenant",
        "state",
        "progress_fraction",
        "price_cap_per_cpu_hour",
        "currency",
        "submitted_at",
    )
    list_filter = ("state", "latency_class", "currency")
    search_fields = ("label", "tenant")


@admin.register(Lease)
class LeaseAdmin(ReadOnly):
    """Leases with how they ended."""

    list_display = ("id", "job", "computer", "fencing_token", "state", "end_reason", "granted_at", "ended_at")
    list_filter = ("state", "end_reason")
    list_select_related = ("job", "computer")


@admin.register(Offer)
class OfferAdmin(ReadOnly):
    """Offers and what stands in their way."""

    list_display = ("id", "computer", "state", "refused_because", "ask_per_cpu_hour", "currency", "last_seen_at")
    list_filter = ("state", "refused_because")
    list_select_related = ("computer",)
    search_fields = ("computer__identity",)


@admin.register(WorkSlice)
class WorkSliceAdmin(ReadOnly):
    """Work and its money."""

    list_display = ("id", "lease", "sequence", "cpu_s", "amount", "currency", "secured_at", "voided_at", "booked_at")
    list_filter = ("currency",)


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnly):
    """Checkpoints that are kept."""

    left_out = ("content",)
    list_display = ("id", "job", "sequence", "size_bytes", "progress_fraction", "created_at")


@admin.register(Result)
class ResultAdmin(ReadOnly):
    """Results and who made them."""

    left_out = ("output",)
    list_display = ("id", "job", "computer", "sha256", "size_bytes", "completed_at")


@admin.register(Program)
class ProgramAdmin(ReadOnly):
    """Programs by hash."""

    left_out = ("content",)
    list_display = ("sha256", "size_bytes", "created_at")


@admin.register(ComputingTerms)
class ComputingTermsAdmin(ReadOnly):
    """Owners' terms."""

    list_display = ("computer", "minimum_soc_fraction", "departure_margin_s", "floor_price_per_cpu_hour", "updated_at")
