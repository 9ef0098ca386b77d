"""Participants of UFTP markets and the congestion points at which they may ask."""

from __future__ import annotations

from dataclasses import dataclass

from grid.core.uftp import MarketTerms
from grid.models import UftpCongestionPoint, UftpParticipant


@dataclass(frozen=True, slots=True)
class ParticipantView:
    """A party as its messages are verified. `public_key` is Ed25519 in base64."""

    participant_id: int
    domain: str
    public_key: str
    enabled: bool


def participant(domain: str, role: str) -> ParticipantView | None:
    """The party of that domain and role; None if we know none."""
    row = UftpParticipant.objects.filter(domain=domain, role=role).first()
    return ParticipantView(row.pk, row.domain, row.public_key, row.enabled) if row else None


def congestion_point_terms(participant_id: int, entity_address: str) -> MarketTerms | None:
    """What is agreed with a participant for a congestion point; None if it is not one of its points."""
    row = UftpCongestionPoint.objects.filter(participant_id=participant_id, entity_address=entity_address).first()
    return MarketTerms(row.isp_minutes, row.time_zone) if row else None
