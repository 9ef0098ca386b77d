"""The portfolio as a node of our own VTN: grid operators find it among the nodes and grant it targets like any other."""

from __future__ import annotations

from datetime import datetime

from grid.core.openadr.wishes import programme_code
from grid.models import OpenAdrProgram, OpenAdrVen
from grid.queries.openadr.objects import Caller
from grid.queries.openadr.reportable import PORTFOLIO_CLIENT
from grid.queries.programmes import ProgrammeView, UnknownProgramme, programme_on


def bound_programme(program: OpenAdrProgram, now: datetime) -> ProgrammeView | None:
    """The platform's programme that an OpenADR programme means; None if it means none of ours."""
    code = programme_code(program.body)
    if "\x00" in code or not code.isprintable():
        return None
    try:
        return programme_on(code, now)
    except UnknownProgramme:
        return None


def enrol_portfolio(program: OpenAdrProgram, *, now: datetime) -> OpenAdrVen | None:
    """Make sure that the portfolio of a programme's region is a node; None for a programme that is none of ours."""
    programme = bound_programme(program, now)
    if programme is None:
        return None
    name = node_name(programme.region_code)
    made, _ = OpenAdrVen.objects.get_or_create(
        ven_name=name,
        defaults={
            "client_id": portfolio_caller(programme.region_code).client_id,
            "created_at": now,
            "modified_at": now,
            "body": {"venName": name},
        },
    )
    return made


def node_name(region_code: str) -> str:
    """What the portfolio of a region is called among the nodes."""
    return f"PORTFOLIO-{region_code}"


def portfolio_caller(region_code: str) -> Caller:
    """The portfolio of a region as a client. No token has such a client identifier."""
    return Caller(f"{PORTFOLIO_CLIENT}{region_code}", node_name(region_code), is_business_logic=False)
