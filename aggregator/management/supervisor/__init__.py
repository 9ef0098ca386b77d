"""Starts, watches and stops what the platform is made of: embedded servers and its own processes.

Nothing here imports Django or anything else of the platform, so that it runs before settings exist:

- `launching`   one child process: privilege drop, death with its parent, orderly stop
- `workspace`   the private temporary directory of one run, and what a killed run left behind
- `guardian`    a tiny process that clears up if the supervisor is killed
- `postgresql`, `valkey`, `mqtt_broker`   throw-away servers on free loopback ports
- `servers`     the three together, and the environment that reaches them
"""
