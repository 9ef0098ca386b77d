"""The latest state of assets in Redis: written after commit, the newest measurement of every field winning."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import redis

from fleet.queries.state import MEASURED, STATE_FORMAT, STATE_KEY, STATE_MEMORY, AssetState, redis_client

logger = logging.getLogger(__name__)

_NAN = float("nan")
# Field by field, so that a late or partial reading never hides a newer value. NaN is unequal to itself.
_MERGE = """
local layout = '<' .. string.rep('d', ARGV[1] * 2)
for i, key in ipairs(KEYS) do
    local new = {struct.unpack(layout, ARGV[i + 2])}
    local old = redis.call('GET', key)
    if old then
        old = {struct.unpack(layout, old)}
        for f = 1, ARGV[1] * 2, 2 do
            if new[f] ~= new[f] or old[f] > new[f] then
                new[f], new[f + 1] = old[f], old[f + 1]
            end
        end
    end
    redis.call('SET', key, struct.pack(layout, unpack(new, 1, ARGV[1] * 2)), 'EX', ARGV[2])
end
"""


def write_latest_states(states: Sequence[AssetState]) -> None:
    """Show states to `fleet.queries.state.latest_states`. While Redis is away nothing is lost: readings are in PostgreSQL."""
    if not states:
        return
    client = redis_client()
    try:
        client.register_script(_MERGE)(
            keys=[f"{STATE_KEY}{state.asset_id}" for state in states],
            args=[len(MEASURED), int(STATE_MEMORY.total_seconds()), *(_pack(state) for state in states)],
        )
    except redis.RedisError as error:
        logger.warning("the latest states of %d assets are not shown: %s", len(states), error)


def _pack(state: AssetState) -> bytes:
    at = state.measured_at.timestamp()
    numbers: list[float] = []
    for field in MEASURED:
        value = getattr(state, field)
        numbers += (_NAN, _NAN) if value is None else (at, value)
    return STATE_FORMAT.pack(*numbers)
