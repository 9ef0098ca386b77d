#!/bin/sh
# Mosquitto re-reads its users on SIGHUP only; the platform, in another container, replaces the file when a device is registered.
mosquitto -c /mosquitto/config/mosquitto.conf &
broker=$!
trap 'kill -TERM "$broker"' TERM INT

version() { stat -c '%i %Y' /srv/mqtt/passwords 2>/dev/null; }

seen=$(version)
while kill -0 "$broker" 2>/dev/null; do
    sleep 1
    now=$(version)
    if [ "$now" != "$seen" ]; then
        seen=$now
        kill -HUP "$broker"
    fi
done
wait "$broker"
