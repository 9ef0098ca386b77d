"""What renting out a computer costs: the sandbox, its slices, checkpoints by size, the agent, and a poll of the platform.

    python -m benchmarks.compute_slice [--repeat 5] [--without-platform]

Prints one JSON line. Times are medians in milliseconds. Slices: CPU time of a sandboxed run in 0.1 s steps with reports
every 0.5 s, against one uninterrupted call of the same module in this process, so that what slicing and walls cost stands
alone. Checkpoints: a memory of that many MiB, a quarter of it random bytes that do not compress, the rest zeros. The
platform's part uses a PostgreSQL and a Valkey of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wasmtime

from compute_market.runners.driver import RunLimits
from compute_market.runners.wasm.instance import deterministic_config
from compute_market.runners.wasm.runner import WasmRun, WasmRunner
from compute_market.runners.wasm.samples import monte_carlo_input, sample_program

REPOSITORY = Path(__file__).resolve().parents[1]
POINTS = 200_000_000
SIZES_MIB = (1, 16, 64)

# fills a quarter of its memory with xorshift noise in init, then is done
NOISE = """(module (memory (export "memory") {pages})
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "init") (param i32 i32) (local $at i32) (local $x i64)
    (local.set $x (i64.const 88172645463325252))
    (loop $fill
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
      (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
      (i64.store (local.get $at) (local.get $x))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $fill (i32.lt_u (local.get $at) (i32.const {filled})))))
  (func (export "step") (param i32) (result i32) (i32.const 1))
  (func (export "output") (result i64) (i64.const 8)))"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--without-platform", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "compute_slice", "cpus": os.cpu_count()}
    found |= sandbox(options.repeat)
    found |= slices()
    found["checkpoints"] = [checkpoint(size, options.repeat) for size in SIZES_MIB]
    found["agent_start_cpu_ms"] = agent_start_cpu_ms(options.repeat)
    if not options.without_platform:
        found |= platform(options.repeat)
    print(json.dumps(found))


def started(program: bytes, given: bytes = b"", checkpoint: bytes | None = None, memory_mib: int = 16) -> WasmRun:
    limits = RunLimits(memory_mib=memory_mib, cpu_s=600)
    return WasmRunner().start(program=program, program_input=given, checkpoint=checkpoint, limits=limits)


def median_ms(act: Callable[[], Any], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times), 2)


def sandbox(repeat: int) -> dict[str, Any]:
    """From nothing to a program that is ready to run."""
    program, given = sample_program("monte_carlo_pi"), monte_carlo_input(seed=1, points=1000)
    run = started(program, given)
    isolation = run.isolation
    run.close()
    return {"isolation": isolation, "sandbox_start_ms": median_ms(lambda: started(program, given).close(), repeat)}


def slices() -> dict[str, Any]:
    """CPU time in slices behind walls over CPU time in one call in this process."""
    program = sample_program("monte_carlo_pi")
    engine = wasmtime.Engine(deterministic_config())
    store = wasmtime.Store(engine)
    exports: dict[str, Any] = dict(wasmtime.Instance(store, wasmtime.Module(engine, program), []).exports(store))
    exports["memory"].write(store, bytearray(monte_carlo_input(seed=11, points=POINTS)), 2048)
    exports["init"](store, 2048, 16)
    began = time.process_time()
    exports["step"](store, POINTS)
    plain_s = time.process_time() - began

    run = started(program, monte_carlo_input(seed=11, points=POINTS))
    run.uncounted_cpu_s = 0.0
    sliced_s, steps, done = 0.0, 0, False
    while not done:
        run.begin(0.5)
        stretch = run.wait(60)
        if stretch is not None:
            sliced_s, steps, done = sliced_s + stretch.cpu_s, steps + stretch.steps, stretch.done
    run.close()
    return {"plain_cpu_s": round(plain_s, 3), "sliced_cpu_s": round(sliced_s, 3), "steps": steps,
            "slice_overhead_fraction": round(sliced_s / plain_s - 1, 4)}  # fmt: skip


def checkpoint(size_mib: int, repeat: int) -> dict[str, Any]:
    """Taking an image, and starting from it."""
    text = NOISE.format(pages=size_mib * 16, filled=size_mib * (1 << 20) // 4)
    program = bytes(wasmtime.wat2wasm(text))
    run = started(program, memory_mib=size_mib)
    image = run.snapshot()
    taken = median_ms(run.snapshot, repeat)
    run.close()
    resumed = median_ms(lambda: started(program, checkpoint=image, memory_mib=size_mib).close(), repeat)
    return {"memory_mib": size_mib, "image_bytes": len(image), "save_ms": taken, "resume_ms": resumed}


def agent_start_cpu_ms(repeat: int) -> float:
    """CPU time of the agent's interpreter until it has loaded everything that it idles with."""
    code = "import time, compute_market.agent.__main__; print(time.process_time())"
    times = [
        float(subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=True).stdout)
        for _ in range(repeat)
    ]
    return round(1000 * statistics.median(times), 1)


def platform(repeat: int) -> dict[str, Any]:
    """One poll of an idle agent, as the platform's CPU time, and clearing 500 jobs on 500 computers."""
    from aggregator.management.supervisor.servers import EmbeddedServers

    servers = EmbeddedServers(given={})
    servers.launch(("postgresql", "valkey"))
    try:
        servers.wait_ready()
        os.environ.update(servers.environment())
        os.environ["DJANGO_SETTINGS_MODULE"] = "aggregator.settings.test"
        os.environ["PLATFORM_RUN_DIR"] = str(servers.workspace.path)
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        return polls(50 * repeat) | clearing(500)
    finally:
        servers.stop()


def polls(count: int) -> dict[str, Any]:
    """Offers over the whole stack of the web server but its socket."""
    import base64

    from django.test import Client
    from django.utils import timezone

    from tests.integration.compute_market.garage import park_car
    from tests.integration.places import register_test_place

    register_test_place(now=timezone.now())
    car = park_car(0)
    headers = {"Authorization": "Basic " + base64.b64encode(f"{car.computer}:{car.token}".encode()).decode()}
    client = Client()

    def poll() -> None:
        answer = client.put(
            "/api/compute/offer", json.dumps({"memory_mib": 256}), content_type="application/json", headers=headers
        )
        assert answer.status_code == 200, answer.content

    poll()
    began = time.process_time()
    for _ in range(count):
        poll()
    return {"poll_cpu_ms": round(1000 * (time.process_time() - began) / count, 2)}


def clearing(count: int) -> dict[str, Any]:
    """One clearing of a full market."""
    from django.utils import timezone

    from compute_market.operations.matching import match_jobs
    from compute_market.operations.offers import CarReport, publish_offer
    from tests.integration.compute_market.garage import park_car, submit

    now = timezone.now()
    for number in range(1, count + 1):
        car = park_car(number)
        publish_offer(computer_id=car.computer_id, report=CarReport(), memory_mib=256, now=now)
        submit(key=str(number))
    began = time.perf_counter()
    granted = len(match_jobs(now=now))
    return {"cleared_jobs": granted, "clearing_ms": round(1000 * (time.perf_counter() - began), 1)}


if __name__ == "__main__":
    main()
