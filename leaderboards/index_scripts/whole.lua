-- KEYS: meta, entries, players, scores.
local META, ENTRIES, PLAYERS, SCORES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- Whether the index is there under `layout`; an evicted or deleted key must not pass for an
-- empty board.
local function is_whole(layout)
  local known = redis.call('HMGET', META, 'layout', 'count', 'scores')
  return known[1] == layout
    and tonumber(known[2]) == redis.call('ZCARD', ENTRIES)
    and tonumber(known[2]) == redis.call('HLEN', PLAYERS)
    and tonumber(known[3]) == redis.call('ZCARD', SCORES)
end
