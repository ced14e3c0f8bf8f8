"""What Redis carries out as one step, in Lua, and the names of what we keep there.

A channel is a hash: its incarnation, the number of its partitions, and per partition p the number of the last block
(``last:p``), the bytes ever written (``total:p``) and dropped (``freed:p``). Its blocks are a stream per partition, with ids
``1-0``, ``2-0``, ...: a gap in them is a loss that can be seen. What every group has committed is dropped.
"""

from __future__ import annotations

from typing import Final

from pypz.core.channels.spi import ChannelInfo

PIPELINES: Final = "pypz:pipelines"


def channel_key(name: str) -> str:
    """Hash of a channel."""
    return f"pypz:channel:{name}"


def blocks_key(info: ChannelInfo, partition: int) -> str:
    """Stream with a partition's blocks."""
    return f"pypz:blocks:{info.name}:{info.incarnation}:{partition}"


def positions_key(info: ChannelInfo, group: str) -> str:
    """Hash of what a group has committed: ``position note`` by partition."""
    return f"pypz:positions:{info.name}:{info.incarnation}:{group}"


def groups_key(info: ChannelInfo) -> str:
    """Set of the groups that read a channel."""
    return f"pypz:groups:{info.name}:{info.incarnation}"


def room_key(info: ChannelInfo) -> str:
    """Stream that gets an entry when blocks were dropped: writers that found the channel full watch it."""
    return f"pypz:room:{info.name}:{info.incarnation}"


def gone_key(info: ChannelInfo) -> str:
    """Stream that gets an entry when the channel is deleted: its readers watch it."""
    return f"pypz:gone:{info.name}:{info.incarnation}"


def facts_key(pipeline: str) -> str:
    """Hash of a pipeline's facts: ``id value`` by key."""
    return f"pypz:facts:{pipeline}"


def changes_key(pipeline: str) -> str:
    """Stream of a pipeline's changes of facts."""
    return f"pypz:changes:{pipeline}"


def beats_key(pipeline: str) -> str:
    """Stream of a pipeline's beats."""
    return f"pypz:beats:{pipeline}"


def epochs_key(pipeline: str) -> str:
    """Hash of the latest epoch of each member that has settled."""
    return f"pypz:epochs:{pipeline}"


def notes_key(pipeline: str) -> str:
    """Hash of the note that each member has stored with its last unit."""
    return f"pypz:notes:{pipeline}"


CREATE: Final = """
-- KEYS: channel. ARGV: incarnation if it is new, partitions. Gives incarnation and partitions.
local found = redis.call('HMGET', KEYS[1], 'incarnation', 'partitions')
if not found[1] then
  redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'partitions', ARGV[2])
  return {ARGV[1], ARGV[2]}
end
if tonumber(found[2]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'partitions', ARGV[2])
  return {found[1], ARGV[2]}
end
return found
"""

DELETE: Final = """
-- KEYS: channel, groups, room, gone. ARGV: incarnation, prefix of blocks, prefix of positions, seconds to remember it.
local found = redis.call('HMGET', KEYS[1], 'incarnation', 'partitions')
if found[1] ~= ARGV[1] then return 0 end
for p = 0, tonumber(found[2]) - 1 do redis.call('DEL', ARGV[2] .. p) end
for _, group in ipairs(redis.call('SMEMBERS', KEYS[2])) do redis.call('DEL', ARGV[3] .. group) end
redis.call('DEL', KEYS[1], KEYS[2])
for _, key in ipairs({KEYS[3], KEYS[4]}) do
  redis.call('XADD', key, 'MAXLEN', 1, '*', '', '')
  redis.call('EXPIRE', key, ARGV[4])
end
return 1
"""

WRITE: Final = """
-- KEYS: channel, blocks, room. ARGV: incarnation, partition, writer, its number of the block, bytes that fit, headers, payload.
-- A block that was written already, and whose answer got lost, is not written again.
local p, writer = ARGV[2], 'writer:' .. ARGV[3] .. ':' .. ARGV[2]
local c = redis.call('HMGET', KEYS[1], 'incarnation', writer, 'total:' .. p, 'freed:' .. p, 'last:' .. p)
if c[1] ~= ARGV[1] then return {'gone'} end
if c[2] and tonumber(c[2]) >= tonumber(ARGV[4]) then return {'written'} end
local held, size = (c[3] or 0) - (c[4] or 0), #ARGV[7] + 64
if held > 0 and held + size > tonumber(ARGV[5]) then
  local room = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
  return {'full', room[1] and room[1][1] or '0-0'}
end
local last, total = string.format('%.0f', (c[5] or 0) + 1), string.format('%.0f', (c[3] or 0) + size)
redis.call('XADD', KEYS[2], last .. '-0', 'h', ARGV[6], 'p', ARGV[7], 't', total)
redis.call('HSET', KEYS[1], writer, ARGV[4], 'total:' .. p, total, 'last:' .. p, last)
return {'written'}
"""

COMMIT: Final = """
-- KEYS: epochs, notes. ARGV: member, epoch, 'note' or nothing, the member's note, then per position: channel, blocks, room,
-- groups, prefix of positions, incarnation, group, partition, position, note. All of it or nothing.
local later = redis.call('HGET', KEYS[1], ARGV[1])
if later and tonumber(later) > tonumber(ARGV[2]) then return {'fenced', later} end
for i = 5, #ARGV, 10 do
  if redis.call('HGET', ARGV[i], 'incarnation') ~= ARGV[i + 5] then return {'gone', ARGV[i]} end
end
for i = 5, #ARGV, 10 do
  local channel, blocks, room, groups, positions = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local group, p, position, note = ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9]
  redis.call('HSET', positions .. group, p, position .. ' ' .. note)
  local least = tonumber(position)
  for _, other in ipairs(redis.call('SMEMBERS', groups)) do
    local found = redis.call('HGET', positions .. other, p)
    least = math.min(least, found and tonumber(string.match(found, '^%d+')) or 0)
  end
  local upto = string.format('%.0f', least)
  local done = redis.call('XREVRANGE', blocks, upto, '-', 'COUNT', 1)
  if done[1] then
    redis.call('HSET', channel, 'freed:' .. p, done[1][2][6])
    redis.call('XTRIM', blocks, 'MINID', string.format('%.0f', least + 1))
    redis.call('XADD', room, 'MAXLEN', 1, '*', '', '')
  end
end
if ARGV[3] == 'note' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[4]) end
return {'committed'}
"""

SETTLE: Final = """
-- KEYS: epochs, notes. ARGV: member, epoch. Gives the latest epoch, and the member's note.
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found and tonumber(found) > tonumber(ARGV[2]) then return {found, ''} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {ARGV[2], redis.call('HGET', KEYS[2], ARGV[1]) or ''}
"""

PUT: Final = """
-- KEYS: facts, changes, pipelines. ARGV: key, 'put', 'first' or 'remove', value, entries kept, pipeline. Gives id and value.
if ARGV[2] == 'first' then
  local found = redis.call('HGET', KEYS[1], ARGV[1])
  if found then
    local blank = string.find(found, ' ', 1, true)
    return {string.sub(found, 1, blank - 1), string.sub(found, blank + 1)}
  end
end
redis.call('SADD', KEYS[3], ARGV[5])
local id
if ARGV[2] == 'remove' then
  id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'k', ARGV[1])
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'k', ARGV[1], 'v', ARGV[3])
  redis.call('HSET', KEYS[1], ARGV[1], id .. ' ' .. ARGV[3])
end
return {id, ARGV[3]}
"""
