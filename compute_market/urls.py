"""Addresses of the lease protocol, below /api/compute/."""

from django.urls import path

from compute_market.api.leases import (
    LeaseCheckpoint,
    LeaseCheckpointUpload,
    LeaseInput,
    LeaseProgram,
    LeaseRenewal,
    LeaseResult,
    LeaseReturn,
    LeaseSlices,
)
from compute_market.api.offers import OfferDetail

app_name = "compute"

urlpatterns = [
    path("offer", OfferDetail.as_view(), name="offer"),
    path("leases/<int:lease_id>/program", LeaseProgram.as_view(), name="lease-program"),
    path("leases/<int:lease_id>/input", LeaseInput.as_view(), name="lease-input"),
    path("leases/<int:lease_id>/checkpoint", LeaseCheckpoint.as_view(), name="lease-checkpoint"),
    path("leases/<int:lease_id>/renewal", LeaseRenewal.as_view(), name="lease-renewal"),
    path("leases/<int:lease_id>/slices", LeaseSlices.as_view(), name="lease-slices"),
    path(
        "leases/<int:lease_id>/checkpoints/<int:sequence>",
        LeaseCheckpointUpload.as_view(),
        name="lease-checkpoint-upload",
    ),
    path("leases/<int:lease_id>/result", LeaseResult.as_view(), name="lease-result"),
    path("leases/<int:lease_id>/return", LeaseReturn.as_view(), name="lease-return"),
]
