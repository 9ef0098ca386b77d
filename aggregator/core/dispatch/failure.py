"""The one way in which planning itself can fail; apart from the solver, so that naming it does not load CVXPY."""

from __future__ import annotations

from common.errors import PlatformError


class SolverFailed(PlatformError):
    """The solver ended without a proven optimum and without a proof that there is none."""

    code = "solver_failed"
