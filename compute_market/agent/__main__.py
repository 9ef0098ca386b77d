"""python -m compute_market.agent --url https://… --identity CPU-0001 --token-env COMPUTE_TOKEN

SIGTERM is the notice of departure: the agent stops at the next step, uploads a checkpoint, gives the lease back, takes
its offer back and leaves, within `--departure-s` seconds. SIGINT does the same with another reason.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from compute_market.agent.car import Car
from compute_market.agent.client import LeaseClient
from compute_market.agent.loop import Agent
from compute_market.agent.work import Notice
from compute_market.runners.driver import Runner


def main(arguments: list[str] | None = None) -> int:
    """Run the agent until a signal; returns the exit status."""
    options = parse(arguments)
    logging.basicConfig(
        level=options.log_level.upper(),
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s {options.identity} %(message)s",
    )
    token = os.environ.pop(options.token_env, "")
    if not token:
        print(f"{options.token_env}: is not set; put the computer's token there", file=sys.stderr)
        return 2
    notice = Notice(threading.Event())
    signal.signal(signal.SIGTERM, lambda *_: notice.give("departure"))
    signal.signal(signal.SIGINT, lambda *_: notice.give("agent_stopped"))
    agent = Agent(
        connect=lambda: LeaseClient(options.url, options.identity, token),
        runner=wasm_runner,
        car=Car(soc_fraction=options.soc_fraction, departure_in_s=options.departure_in_s, file=options.car_file),
        notice=notice,
        memory_mib=options.memory_mib,
        duty_fraction=options.duty_fraction,
        drain_s=options.departure_s,
    )
    print(f"READY agent {options.identity}", flush=True)
    agent.run()
    return 0


def wasm_runner() -> Runner:
    """The runner, loaded when there is something to run."""
    from compute_market.runners.registry import runner_of

    return runner_of("wasm")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="compute_market.agent", description="Rents out this computer while it is parked."
    )
    parser.add_argument("--url", required=True, help="web address of the platform")
    parser.add_argument("--identity", required=True, help="the computer's identity")
    parser.add_argument("--token-env", default="COMPUTE_TOKEN", help="environment variable that holds its token")
    parser.add_argument("--memory-mib", type=int, default=1024, help="memory that jobs may use")
    parser.add_argument(
        "--soc-fraction", type=fraction, help="the battery's level, 0 to 1; left out: the platform's word"
    )
    parser.add_argument(
        "--departure-in-s", type=float, help="seconds until the car leaves; left out: the platform's word"
    )
    parser.add_argument(
        "--car-file", type=Path, help="JSON file with plugged_in, soc_fraction, departure_at; read anew"
    )
    parser.add_argument("--departure-s", type=float, default=8.0, help="time for the last words at departure")
    parser.add_argument(
        "--duty-fraction", type=fraction, default=1.0, help="part of the time in which jobs may compute"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    options = parser.parse_args(arguments)
    if options.memory_mib < 1 or not options.duty_fraction > 0:
        parser.error("--memory-mib and --duty-fraction must be above zero")
    return options


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside 0 to 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
