"""Readings and the message trace, partitioned by day; `fleet.operations.retention` adds and drops the days.

The default partition catches what no day covers yet, so that a late upkeep never loses a reading.
"""

from django.db import migrations

FORWARD = """
CREATE TABLE fleet_reading (
    asset_id bigint NOT NULL,
    measured_at timestamptz NOT NULL,
    power_kw double precision,
    import_kwh double precision,
    export_kwh double precision,
    soc_fraction double precision CHECK (soc_fraction BETWEEN 0 AND 1),
    temperature_c double precision,
    flags smallint NOT NULL DEFAULT 0,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (asset_id, measured_at)
) PARTITION BY RANGE (measured_at);
CREATE TABLE fleet_reading_default PARTITION OF fleet_reading DEFAULT;
CREATE INDEX fleet_reading_measured_at ON fleet_reading USING brin (measured_at);

CREATE SEQUENCE fleet_device_message_id;
CREATE TABLE fleet_device_message (
    id bigint NOT NULL DEFAULT nextval('fleet_device_message_id'),
    at timestamptz NOT NULL,
    device_identity varchar(60) NOT NULL,
    direction varchar(3) NOT NULL CHECK (direction IN ('in', 'out')),
    action varchar(60) NOT NULL,
    message_id varchar(64) NOT NULL,
    payload jsonb NOT NULL,
    result varchar(60) NOT NULL DEFAULT '',
    reply_ms double precision,
    command_id bigint,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE fleet_device_message_default PARTITION OF fleet_device_message DEFAULT;
CREATE INDEX fleet_device_message_device ON fleet_device_message (device_identity, at DESC, id DESC);

CREATE SEQUENCE fleet_command_sequence;
"""

BACKWARD = """
DROP TABLE fleet_reading;
DROP TABLE fleet_device_message;
DROP SEQUENCE fleet_device_message_id;
DROP SEQUENCE fleet_command_sequence;
"""


class Migration(migrations.Migration):
    dependencies = [("fleet", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
