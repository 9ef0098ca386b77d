"""When the solver breaks down: another method, then an error, never a plan without proof."""

import cvxpy as cp
import pytest

from aggregator.core.dispatch import SolverFailed
from aggregator.core.dispatch.exact import run_solver


class Breaking(cp.Problem):
    """A problem whose first `failures` solves end without a result."""

    def __init__(self, failures):
        self.left, self.tried = failures, []
        power = cp.Variable(2, bounds=[0, 3])
        super().__init__(cp.Minimize(power[0] + 2 * power[1]), [power[0] + power[1] >= 4])

    def solve(self, **settings):
        self.tried.append(settings["highs_options"].get("solver", "simplex"))
        assert settings["warm_start"] is False
        if len(self.tried) <= self.left:
            raise cp.error.SolverError("broken")
        return super().solve(**settings)


def test_interior_point_is_tried_when_the_simplex_breaks_down():
    problem = Breaking(failures=1)
    assert run_solver(problem) == pytest.approx(5.0)
    assert problem.tried == ["simplex", "ipm"]


def test_no_proof_is_an_error():
    with pytest.raises(SolverFailed, match="HiGHS ended with status"):
        run_solver(Breaking(failures=2))


def test_contradiction_is_an_answer_not_an_error():
    power = cp.Variable(2, bounds=[0, 1])
    assert run_solver(cp.Problem(cp.Minimize(cp.sum(power)), [cp.sum(power) >= 3])) is None
