-- Puts a finished draft in the place of the index, under a new epoch.
-- KEYS: …, lock, draft of entries, of players, of scores.
-- ARGV: token, layout, generation, epoch, number of entries, {shard, version}…
local LOCK, DRAFTS = KEYS[5], {KEYS[6], KEYS[7], KEYS[8]}

-- Another builder took over, or the draft did not survive.
if redis.call('GET', LOCK) ~= ARGV[1] or redis.call('ZCARD', DRAFTS[1]) ~= tonumber(ARGV[5]) then
  return 0
end
redis.call('UNLINK', META, ENTRIES, PLAYERS, SCORES)
for i, place in ipairs({ENTRIES, PLAYERS, SCORES}) do
  if redis.call('EXISTS', DRAFTS[i]) == 1 then
    redis.call('RENAME', DRAFTS[i], place)
    redis.call('PERSIST', place)
  end
end
redis.call('HSET', META, 'layout', ARGV[2], 'generation', ARGV[3], 'epoch', ARGV[4],
  'count', redis.call('ZCARD', ENTRIES), 'scores', redis.call('ZCARD', SCORES))
for i = 6, #ARGV, 2 do
  redis.call('HSET', META, 'shard:' .. ARGV[i], ARGV[i + 1])
end
redis.call('DEL', LOCK)
return 1
