"""Scopes of roles."""

from __future__ import annotations

from aggregator.core.access import SCOPES_OF_ROLE, scopes_of_role


def test_only_who_buys_flexibility_may_ask_for_it_and_only_tenants_submit_jobs() -> None:
    may_write_events = {role for role, scopes in SCOPES_OF_ROLE.items() if "events:write" in scopes}
    may_write_jobs = {role for role, scopes in SCOPES_OF_ROLE.items() if "jobs:write" in scopes}
    assert may_write_events == {"operator", "bl"} and may_write_jobs == {"tenant"}


def test_who_has_no_role_has_no_scope() -> None:
    assert scopes_of_role(None) == scopes_of_role("") == scopes_of_role("root") == ()
