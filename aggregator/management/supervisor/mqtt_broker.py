"""A throw-away MQTT broker on a free loopback port: Mosquitto if the machine has it, else amqtt from its own venv.

Both read the same password file and keep the same topic rules; see `fleet/operations/broker_access.py`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from aggregator.management.supervisor.launching import (
    LOOPBACK,
    Account,
    ReservedPort,
    spawn,
    stop,
    tail,
    unprivileged_account,
)
from aggregator.management.supervisor.workspace import Workspace, everyone_can_enter
from fleet.operations.broker_access import (
    MOSQUITTO_ACL,
    PLATFORM_USER,
    hash_broker_password,
    update_password_file,
)

PYTHON_VARIABLE = "MQTT_BROKER_PYTHON"
_REPOSITORY = Path(__file__).resolve().parents[3]
_AMQTT_SCRIPT = _REPOSITORY / "fleet" / "devices" / "mqtt" / "broker" / "amqtt_broker.py"
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_CONNECT_TIMEOUT_S = 1.0

_MOSQUITTO_CONFIGURATION = """\
listener {port} {host}
allow_anonymous false
password_file {password_file}
acl_file {acl_file}
persistence true
persistence_location {folder}/
autosave_interval 5
max_inflight_messages 1000
max_queued_messages 100000
log_dest stderr
log_type error
log_type warning
log_type notice
"""


class MqttBroker:
    """Prepared in `folder`; `launch` may be called again after a crash and finds the same port and users."""

    name = "mqtt-broker"
    death_signal = signal.SIGKILL

    def __init__(self, workspace: Workspace, *, log_dir: Path) -> None:
        self.workspace = workspace
        self.log_path = log_dir / "mqtt-broker.log"
        self.folder = workspace.path / "mqtt"
        self.password_file = self.folder / "passwords"
        self.process: subprocess.Popen[bytes] | None = None
        self.mosquitto = find_mosquitto()
        # amqtt keeps nothing that an orderly end could save, and takes seconds over it
        self.stop_signal = signal.SIGTERM if self.mosquitto else signal.SIGKILL
        self._account: Account | None = None
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        return f"mqtt://{PLATFORM_USER}:{self.password}@{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        return {"MQTT_URL": self.url, "MQTT_CREDENTIALS_FILE": str(self.password_file)}

    def prepare(self) -> None:
        """Write the password file with the platform's own user and, for Mosquitto, its configuration.

        Raises RuntimeError with the remedy if there is no broker to run.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)  # devices enrolled before the broker starts have made it
        self.folder.chmod(0o700)
        update_password_file(self.password_file, {PLATFORM_USER: hash_broker_password(self.password)})
        if self.mosquitto is None:
            python = amqtt_python()
            self._command = [str(python), str(_AMQTT_SCRIPT), str(self.port), str(self.password_file)]
            return
        acl_file, configuration = self.folder / "acl", self.folder / "mosquitto.conf"
        acl_file.touch(mode=0o600)
        acl_file.write_text(MOSQUITTO_ACL)
        configuration.write_text(
            _MOSQUITTO_CONFIGURATION.format(
                port=self.port,
                host=LOOPBACK,
                password_file=self.password_file,
                acl_file=acl_file,
                folder=self.folder,
            )
        )
        self._command = [self.mosquitto, "-c", str(configuration)]
        if everyone_can_enter(Path(self.mosquitto).resolve().parent):
            self._account = unprivileged_account()
        if self._account is not None:
            for path in (self.folder, self.password_file, acl_file, configuration):
                os.chown(path, self._account.uid, self._account.gid)

    def launch(self) -> None:
        """Start the broker; returns before it is ready."""
        self._reserved.release()
        self.process = spawn(
            self._command,
            log_path=self.log_path,
            working_directory=self.folder,
            account=self._account,
            death_signal=self.death_signal,
        )
        self.workspace.watch(self.process.pid, ending=self.death_signal)
        if self.mosquitto is not None:  # `write_broker_credentials` asks this process to re-read its users
            Path(f"{self.password_file}.pid").write_text(str(self.process.pid))

    def is_ready(self) -> bool:
        """Whether the platform's user can log in."""
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(PLATFORM_USER, self.password)
        try:
            client.connect(LOOPBACK, self.port, keepalive=10)
            client.loop(timeout=_CONNECT_TIMEOUT_S)
            return client.is_connected()
        except OSError:
            return False
        finally:
            client.disconnect()

    def stop(self, *, grace_s: float = 3.0) -> None:
        if self.process is not None:
            stop(self.process, stop_signal=self.stop_signal, grace_s=grace_s)
            self.workspace.forget(self.process.pid)

    def failure(self) -> str:
        """What the log said last."""
        return tail(self.log_path)


def find_mosquitto() -> str | None:
    """Mosquitto's program, also where an ordinary user's PATH leaves it out."""
    search_path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_FOLDERS])
    return shutil.which("mosquitto", path=search_path)


def amqtt_python() -> Path:
    """The interpreter that has amqtt. Raises RuntimeError with the remedy if it has not been set up."""
    chosen = Path(os.environ.get(PYTHON_VARIABLE, _REPOSITORY / ".venv-broker" / "bin" / "python"))
    if not chosen.exists():
        raise RuntimeError(
            f"No MQTT broker: Mosquitto is not installed and {chosen} does not exist. "
            f"Run `make .venv-broker`, install Mosquitto, set {PYTHON_VARIABLE}, or set MQTT_URL."
        )
    return chosen
