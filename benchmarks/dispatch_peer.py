"""A site of 300 EVs planned by us and, in the same run, by FlexMeasures' device scheduler: CPU seconds and cost of both.

    python benchmarks/dispatch_peer.py [--assets 300] [--peer PYTHON]

FlexMeasures is installed from PyPI into a virtual environment that is thrown away afterwards; `--peer` names the interpreter
of one that has it already. Prints one JSON line; where the peer cannot be installed or does not end, it says so there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aggregator.core.dispatch import DispatchProblem, solve
from aggregator.core.dispatch.fleet.plan import solve_fleet, warm_up
from tests.unit.aggregator.core.dispatch.instances import study_problem

PEER_PROGRAM = Path(__file__).with_name("_flexmeasures.py")
GAP = 5e-4
INSTALL_S, PEER_S = 900, 900
ASSET_ARRAYS = [
    "arrival_step",
    "departure_step",
    "energy_kwh",
    "required_kwh",
    "capacity_kwh",
    "floor_kwh",
    "charge_kw",
    "discharge_kw",
    "charge_efficiency",
    "discharge_efficiency",
    "wear_per_kwh",
]
STEP_ARRAYS = ["price_per_kwh", "base_load_kw", "import_limit_kw", "export_limit_kw", "missed_price_per_kwh"]


def install_peer(folder: Path) -> Path:
    """A fresh environment with FlexMeasures in it; raises CalledProcessError or TimeoutExpired."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True, text=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "flexmeasures", "highspy"]
    subprocess.run(install, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    return python


def peer_plan(python: Path, problem: DispatchProblem, folder: Path, solver: str) -> dict[str, Any]:
    """What the peer plans, or why it does not."""
    instance = folder / "instance.npz"
    arrays = {name: getattr(problem.assets, name) for name in ASSET_ARRAYS}
    np.savez(instance, **arrays, **{name: getattr(problem, name) for name in STEP_ARRAYS})
    try:
        done = subprocess.run(
            [python, PEER_PROGRAM, instance, solver], check=True, capture_output=True, text=True, timeout=PEER_S
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"did not end within {PEER_S} s"}
    except subprocess.CalledProcessError as error:
        return {"failed": error.stderr.strip().splitlines()[-1][:300]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def our_plan(problem: DispatchProblem) -> dict[str, float]:
    """What column generation plans; compiling is left out, and done before."""
    warm_up()
    plan = solve_fleet(problem, gap=GAP)
    return {"cost": plan.cost, "cpu_s": round(plan.cpu_s, 3), "wall_s": round(plan.wall_s, 3), "gap": plan.gap}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=300)
    parser.add_argument("--peer", type=Path)
    # its default, which leaves Pyomo out, and the one before
    parser.add_argument("--solvers", default="highspy,appsi_highs")
    options = parser.parse_args()
    problem = study_problem(options.assets)
    told: dict[str, Any] = {"benchmark": "dispatch_peer", "assets": options.assets, "ours": our_plan(problem)}
    told["exact"] = {"cost": (exact := solve(problem)).cost, "cpu_s": round(exact.cpu_s, 3)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = options.peer or install_peer(Path(folder) / "peer")
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            told["flexmeasures"] = {"failed": f"could not be installed: {error}"}
        else:
            for solver in options.solvers.split(","):
                told[f"flexmeasures, {solver}"] = peer = peer_plan(python, problem, Path(folder), solver)
                if "cpu_s" in peer:
                    peer["times_our_cpu"] = round(peer["cpu_s"] / told["ours"]["cpu_s"], 1)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
