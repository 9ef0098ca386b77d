"""The supervisor with small processes of its own: order, readiness, restarts, and an end that leaves nothing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from aggregator.management.supervisor.launching import wait_until
from aggregator.management.supervisor.output import LogFollower, Terminal
from aggregator.management.supervisor.processes import Stage
from aggregator.management.supervisor.run_directory import RunDirectory, first_free, running_pid
from common.errors import Conflict

REPOSITORY = Path(__file__).resolve().parents[2]
DRIVER = """
    import sys
    from pathlib import Path
    from aggregator.management.supervisor.output import Terminal
    from aggregator.management.supervisor.processes import ProcessSpec, Stage, process_environment
    from aggregator.management.supervisor.servers import EmbeddedServers
    from aggregator.management.supervisor.supervisor import Supervisor

    folder = Path(sys.argv[1])
    given = {"DATABASE_URL": "postgresql://elsewhere", "MQTT_URL": "mqtt://elsewhere", "REDIS_URL": "redis://elsewhere"}
    if EMBED_VALKEY:
        del given["REDIS_URL"]

    def python(program):
        return (sys.executable, "-c", program)

    specs = SPECS
    supervisor = Supervisor(
        servers=EmbeddedServers(log_dir=folder / "logs", given=given),
        specs=specs,
        environment=process_environment({}),
        log_dir=folder / "logs",
        working_directory=folder,
        terminal=Terminal(),
    )
    (folder / "workspace").write_text(str(supervisor.servers.workspace.path))
    sys.exit(supervisor.run(on_ready=lambda: (folder / "ready").touch(), ready_before=READY_BEFORE))
"""
SLEEPER = "import time; print('READY', flush=True); time.sleep(600)"
# a process with a child, as Celery and granian have them
PARENT = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "open('grandchild', 'w').write(str(child.pid)); print('READY', flush=True); time.sleep(600)"
)

Drive = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    """Start a supervisor over the given specs (source text) in `tmp_path`."""
    started: list[subprocess.Popen[str]] = []

    def start(specs: str, *, embed_valkey: bool = False, ready_before: Stage = Stage.STORY) -> subprocess.Popen[str]:
        program = textwrap.dedent(DRIVER).replace("EMBED_VALKEY", str(embed_valkey)).replace("SPECS", specs)
        program = program.replace("READY_BEFORE", f"Stage.{ready_before.name}")
        driver = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=(tmp_path / "terminal").open("w"),
            text=True,
        )
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.kill()
        driver.communicate()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children_of(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(driver.pid).children(recursive=True)


def ready(tmp_path: Path) -> bool:
    return wait_until(lambda: (tmp_path / "ready").exists(), timeout_s=60)


def test_stages_start_in_order_and_the_story_has_the_last_word(drive: Drive, tmp_path: Path) -> None:
    note = "open('order', 'a').write({!r} + chr(10))"
    driver = drive(
        f"""[
        ProcessSpec("story", python("print('a tale'); print('{{}}')"), Stage.STORY, story=True),
        ProcessSpec("second", python({note.format("second")!r} + "; {SLEEPER}"), Stage.PLATFORM),
        ProcessSpec("first", python("import time; time.sleep(0.5); " + {note.format("first")!r}), Stage.SCHEMA, once=True),
        ]""".replace(f'"; {SLEEPER}"', repr(f"; {SLEEPER}"))
    )
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert (tmp_path / "order").read_text().split() == ["first", "second"]
    assert output.splitlines() == ["a tale", "{}"]


def test_ready_may_be_said_before_what_works_in_the_background(drive: Drive, tmp_path: Path) -> None:
    looks = "import os; open('seen', 'w').write(str(os.path.exists('ready')))"
    driver = drive(
        f"""[
        ProcessSpec("field", python({(looks.replace("seen", "seen_in_the_field") + "; " + SLEEPER)!r}), Stage.FIELD),
        ProcessSpec("background", python({looks!r}), Stage.BACKGROUND, once=True),
        ProcessSpec("story", python("pass"), Stage.STORY, story=True),
        ]""",
        ready_before=Stage.BACKGROUND,
    )
    driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert (tmp_path / "seen_in_the_field").read_text() == "False"
    assert (tmp_path / "seen").read_text() == "True"


def test_a_step_that_fails_ends_the_start_and_shows_its_log(drive: Drive, tmp_path: Path) -> None:
    driver = drive(
        """[
        ProcessSpec("migrate", python("raise SystemExit('no such table')"), Stage.SCHEMA, once=True),
        ProcessSpec("web", python("open('started', 'w')"), Stage.PLATFORM),
        ]"""
    )
    driver.communicate(timeout=60)
    terminal = (tmp_path / "terminal").read_text()
    assert driver.returncode == 1
    assert "migrate failed with status 1" in terminal
    assert "no such table" in terminal
    assert not (tmp_path / "started").exists()


def test_what_keeps_dying_at_the_start_is_given_up(drive: Drive, tmp_path: Path) -> None:
    driver = drive("""[ProcessSpec("web", python("raise SystemExit('port taken')"), Stage.PLATFORM)]""")
    driver.communicate(timeout=90)
    assert driver.returncode == 1
    assert "web does not start" in (tmp_path / "terminal").read_text()


def test_a_killed_process_is_started_again_without_its_orphans(drive: Drive, tmp_path: Path) -> None:
    drive(f"""[ProcessSpec("parent", python({PARENT!r}), Stage.PLATFORM)]""")
    assert ready(tmp_path)
    orphan = int((tmp_path / "grandchild").read_text())
    parent = psutil.Process(orphan).parent()
    assert parent is not None
    parent.kill()
    assert wait_until(lambda: int((tmp_path / "grandchild").read_text() or orphan) != orphan, timeout_s=30)
    assert wait_until(lambda: not alive(orphan), timeout_s=10)
    assert "parent killed by signal 9; starting it again" in (tmp_path / "terminal").read_text()


def test_a_killed_server_is_started_again_on_its_port(drive: Drive, tmp_path: Path) -> None:
    driver = drive(f"""[ProcessSpec("sleeper", python({SLEEPER!r}), Stage.PLATFORM)]""", embed_valkey=True)
    assert ready(tmp_path)

    def server() -> psutil.Process | None:
        return next((child for child in children_of(driver) if "valkey-server" in child.name()), None)

    before = server()
    assert before is not None
    port = before.cmdline()[-1]
    before.kill()
    assert wait_until(lambda: "valkey is back" in (tmp_path / "terminal").read_text(), timeout_s=30)
    after = server()
    assert after is not None
    assert after.cmdline()[-1] == port


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_everything(drive: Drive, tmp_path: Path, number: int) -> None:
    driver = drive(f"""[ProcessSpec("parent", python({PARENT!r}), Stage.PLATFORM)]""", embed_valkey=True)
    assert ready(tmp_path)
    family = children_of(driver)
    assert len(family) >= 4  # guardian, server, process, its child
    driver.send_signal(number)
    driver.communicate(timeout=30)
    assert driver.returncode == 0
    assert not any(alive(member.pid) for member in family)
    assert not Path((tmp_path / "workspace").read_text()).exists()


def test_a_second_interrupt_does_not_wait_for_the_stubborn(drive: Drive, tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
    driver = drive(f"""[ProcessSpec("stubborn", python({stubborn!r}), Stage.PLATFORM)]""")
    assert ready(tmp_path)
    family = children_of(driver)
    driver.send_signal(signal.SIGINT)
    assert wait_until(lambda: "interrupt again to kill" in (tmp_path / "terminal").read_text(), timeout_s=30)
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=30)
    assert "killing what is left" in (tmp_path / "terminal").read_text()
    assert not any(alive(member.pid) for member in family)


def test_kill_of_the_supervisor_takes_grandchildren_with_it(drive: Drive, tmp_path: Path) -> None:
    driver = drive(f"""[ProcessSpec("parent", python({PARENT!r}), Stage.PLATFORM)]""", embed_valkey=True)
    assert ready(tmp_path)
    family = children_of(driver)
    driver.kill()
    assert wait_until(lambda: not any(alive(member.pid) for member in family), timeout_s=30)
    assert wait_until(lambda: not Path((tmp_path / "workspace").read_text()).exists(), timeout_s=10)


def test_a_killed_guardian_is_replaced_and_knows_what_to_guard(drive: Drive, tmp_path: Path) -> None:
    driver = drive(f"""[ProcessSpec("parent", python({PARENT!r}), Stage.PLATFORM)]""")
    assert ready(tmp_path)

    def guardians() -> list[psutil.Process]:
        living = [child for child in children_of(driver) if alive(child.pid)]
        return [child for child in living if any("guardian.py" in word for word in child.cmdline())]

    first = guardians()[0]
    first.kill()
    assert wait_until(lambda: [guardian.pid for guardian in guardians()] not in ([], [first.pid]), timeout_s=20)
    family = children_of(driver)
    driver.kill()
    assert wait_until(lambda: not any(alive(member.pid) for member in family), timeout_s=30)
    assert wait_until(lambda: not Path((tmp_path / "workspace").read_text()).exists(), timeout_s=10)


def test_a_run_directory_has_one_supervisor_at_a_time(tmp_path: Path) -> None:
    held = RunDirectory(tmp_path / "run")
    assert running_pid(tmp_path / "run") == os.getpid()
    with pytest.raises(Conflict, match="make down"):
        RunDirectory(tmp_path / "run")
    beside = first_free(tmp_path / "run")
    assert beside.path == tmp_path / "run-2"
    beside.close()
    held.close()
    assert running_pid(tmp_path / "run") is None
    RunDirectory(tmp_path / "run").close()


def test_published_files_keep_secrets_to_their_owner_and_go_with_the_run(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.publish(environment={"SECRET_KEY": "s"}, addresses={"web": "http://127.0.0.1:1"})
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "env").read_text() == "SECRET_KEY=s\n"
    assert json.loads((tmp_path / "platform.json").read_text()) == {"web": "http://127.0.0.1:1", "pid": os.getpid()}
    directory.close()
    assert not (tmp_path / "env").exists()
    assert not (tmp_path / "platform.json").exists()


class TeletypeDouble(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_people_who_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for stream, colour in ((TeletypeDouble(), True), (io.StringIO(), False)):
        Terminal(stream=stream).line("web", "hello")
        assert ("\033[" in stream.getvalue()) is colour
    monkeypatch.setenv("NO_COLOR", "1")
    stream = TeletypeDouble()
    Terminal(stream=stream).line("web", "hello")
    assert "\033[" not in stream.getvalue()


def test_a_demonstration_shows_what_matters_only() -> None:
    stream = io.StringIO()
    terminal = Terminal(important_only=True, stream=stream)
    for text in (
        "INFO all is well",
        "2026-11-23 ERROR fleet.devices lost",
        "ValueError: no such pack",
        "Traceback (most",
    ):
        terminal.line("gateway", text)
    assert [line.partition("| ")[2] for line in stream.getvalue().splitlines()] == [
        "2026-11-23 ERROR fleet.devices lost",
        "ValueError: no such pack",
        "Traceback (most",
    ]


def test_following_a_log_waits_for_whole_lines_and_starts_over_when_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.management.supervisor.output.MAX_LOG_BYTES", 20)
    follower = LogFollower(tmp_path / "web.log")
    with follower.path.open("a") as log:
        log.write("one\ntw")
        log.flush()
        assert follower.new_lines() == ["one"]
        log.write("o\nthree and more\n")
        log.flush()
        assert follower.new_lines() == ["two", "three and more"]
        log.write("four\n")
        log.flush()
        assert follower.new_lines() == ["four"]
    assert follower.path.read_text() == "four\n"
    assert "three and more" in (tmp_path / "web.log.1").read_text()
