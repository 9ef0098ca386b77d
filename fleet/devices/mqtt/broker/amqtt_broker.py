"""The embedded MQTT broker: amqtt with our passwords and topic rules. Run as a script, in an environment of its own.

    python amqtt_broker.py PORT PASSWORD_FILE

It imports nothing of the platform, because amqtt pins a release of websockets that the platform cannot use. It listens
on the loopback address only and is meant for demonstration and tests; production runs Mosquitto with the same password
file and the same rules (`fleet/operations/broker_access.py`).
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

PLATFORM_USER = "platform"
TOPIC_ROOT = "v2g/"
OPENADR_ROOT = "openadr/"
logger = logging.getLogger("broker")


def password_matches(password: str, password_hash: str) -> bool:
    """Verify against `$7$iterations$salt$hash` (PBKDF2-SHA512)."""
    try:
        _, scheme, iterations, salt, expected = password_hash.split("$")
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt), int(iterations))
        return scheme == "7" and hmac.compare_digest(digest, base64.b64decode(expected))
    except ValueError:
        return False


def may_publish(user: str, topic: str) -> bool:
    """Whether a user may send to a topic; wildcards never match a device's own branch."""
    if user == PLATFORM_USER:
        return topic.startswith((TOPIC_ROOT, OPENADR_ROOT))
    return topic.startswith(f"{TOPIC_ROOT}v1/devices/{user}/up/")


def may_subscribe(user: str, topic_filter: str) -> bool:
    """Whether a user may receive what a filter selects, or a message on that topic."""
    if user == PLATFORM_USER:
        return topic_filter.startswith((TOPIC_ROOT, OPENADR_ROOT))
    own = (f"{TOPIC_ROOT}v1/devices/{user}/down/", f"{OPENADR_ROOT}3.1.0/{user}/")
    return topic_filter.startswith(own)


class PasswordFilePlugin(BaseAuthPlugin):
    """Lets in who is in the password file, which is read again whenever it has been replaced."""

    @dataclass
    class Config:
        password_file: str = ""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self.path = Path(self.config.password_file)
        self.version: tuple[int, int] | None = None
        self.users: dict[str, str] = {}

    def current_users(self) -> dict[str, str]:
        status = self.path.stat()
        version = (status.st_ino, status.st_mtime_ns)
        if version != self.version:
            pairs = (line.partition(":") for line in self.path.read_text().splitlines() if line)
            self.users = {user: password_hash for user, _, password_hash in pairs}
            self.version = version
        return self.users

    async def authenticate(self, *, session: Session) -> bool:
        user, password = session.username, session.password
        password_hash = self.current_users().get(user or "")
        if not user or password is None or not password_hash or not password_matches(password, password_hash):
            logger.warning("refused %s: unknown user or wrong password", user or "an anonymous client")
            return False
        # The broker publishes a last will without asking the topic rules, so they are applied here.
        if session.will_flag and not may_publish(user, session.will_topic or ""):
            logger.warning("refused %s: its last will is on %s", user, session.will_topic)
            return False
        # A lasting session keeps messages under its client id: nobody may pick up another's.
        if not session.clean_session and user != PLATFORM_USER and session.client_id != user:
            logger.warning("refused %s: a lasting session must use the identity as its client id", user)
            return False
        return True


class TopicRulesPlugin(BaseTopicPlugin):
    """Each device may speak and listen in its own branch only."""

    @dataclass
    class Config:
        pass

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        user = session.username if session else None
        if not user or not topic:
            return False
        allowed = may_publish(user, topic) if action == Action.PUBLISH else may_subscribe(user, topic)
        if not allowed:
            logger.warning("refused %s: may not %s %s", user, action, topic)
        return allowed


class SteadyDict(dict[Any, Any]):
    """Loops go over a copy: amqtt 0.12.1 waits within loops over its subscriptions while others subscribe, and loses the
    message at hand when the dictionary has grown under it."""

    def __iter__(self) -> Iterator[Any]:
        return iter(tuple(self.keys()))

    def items(self) -> Any:
        return tuple(super().items())


class IsolatingBroker(Broker):
    """amqtt 0.12.1 sends whoever comes back the retained messages of everybody's subscriptions; here only of its own."""

    def __init__(self, config: dict[str, object]) -> None:
        super().__init__(config)
        self._subscriptions = SteadyDict()

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


def configuration(port: int, password_file: str) -> dict[str, object]:
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {
            "amqtt_broker.PasswordFilePlugin": {"password_file": password_file},
            "amqtt_broker.TopicRulesPlugin": {},
        },
    }


async def serve(port: int, password_file: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopping.set)
    broker = IsolatingBroker(configuration(port, password_file))
    await broker.start()
    logger.info("listening on 127.0.0.1:%d", port)
    await stopping.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logger.setLevel(logging.INFO)
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
