-- ARGV: layout, generation, shard, version before, version after, packed {player, stamp, score, …}.
-- Answers: applied, missing, ahead or behind.  Scores are absolute, so repeating is harmless.
local layout, generation, shard = ARGV[1], ARGV[2], 'shard:' .. ARGV[3]
local before, after = tonumber(ARGV[4]), tonumber(ARGV[5])

if not is_whole(layout) or redis.call('HGET', META, 'generation') ~= generation then
  return 'missing'
end
local version = tonumber(redis.call('HGET', META, shard) or 0)
if version >= after then
  return 'ahead'
elseif version ~= before then
  return 'behind'
end

local is_dense = string.sub(layout, -6) == '.dense'
local changes = cmsgpack.unpack(ARGV[6])
local names, members, stamps, scores = {}, {}, {}, {}
for i = 1, #changes, 3 do
  local player, stamp, score = changes[i], changes[i + 1], changes[i + 2]
  names[#names + 1] = player
  stamps[#stamps + 1] = player
  stamps[#stamps + 1] = stamp
  members[#members + 1] = score
  members[#members + 1] = stamp .. player
  scores[#scores + 1] = score
  scores[#scores + 1] = score
end

if #names > 0 then
  local old_members, moved, old_scores = {}, {}, {}
  for i, old_stamp in ipairs(redis.call('HMGET', PLAYERS, unpack(names))) do
    if old_stamp then
      local old_member = old_stamp .. names[i]
      old_members[#old_members + 1] = old_member
      if old_stamp ~= stamps[2 * i] then
        moved[#moved + 1] = old_member
      end
    end
  end
  if is_dense and #old_members > 0 then
    old_scores = redis.call('ZMSCORE', ENTRIES, unpack(old_members))
  end
  if #moved > 0 then
    redis.call('ZREM', ENTRIES, unpack(moved))
  end
  redis.call('ZADD', ENTRIES, unpack(members))
  redis.call('HSET', PLAYERS, unpack(stamps))
  if is_dense then
    redis.call('ZADD', SCORES, unpack(scores))
    for _, score in ipairs(old_scores) do
      if redis.call('ZCOUNT', ENTRIES, score, score) == 0 then
        redis.call('ZREMRANGEBYSCORE', SCORES, score, score)
      end
    end
  end
end

redis.call('HSET', META, shard, ARGV[5],
  'count', redis.call('ZCARD', ENTRIES), 'scores', redis.call('ZCARD', SCORES))
return 'applied'
