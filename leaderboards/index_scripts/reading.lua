-- What every question begins with.  ARGV: layout, lowest, highest, tie policy, its own.
-- `entries` is ordered best first: its scores carry the sign that makes smaller better. Scores
-- stay text wherever they can, because Lua would write a number with 14 digits only.
local lowest, highest, policy = ARGV[2], ARGV[3], ARGV[4]

if not is_whole(ARGV[1]) then
  return false
end

local meta = redis.call('HGETALL', META)
local total = redis.call('ZCOUNT', ENTRIES, lowest, highest)
-- Entries that are kept but not ranked and would stand before the first.
local skipped = redis.call('ZCOUNT', ENTRIES, '-inf', '(' .. lowest)

local function count_better(score)
  return redis.call('ZCOUNT', ENTRIES, lowest, '(' .. score)
end

-- `place` counts from 0 among the ranked.
local function rank_of(place, score)
  if policy == 'shared' then
    return count_better(score) + 1
  elseif policy == 'dense' then
    return redis.call('ZCOUNT', SCORES, lowest, '(' .. score) + 1
  end
  return place + 1
end

local function is_ranked(score)
  return tonumber(score) >= tonumber(lowest) and tonumber(score) <= tonumber(highest)
end

-- Returns {stamp, score, rank, place}, without the last two when not ranked; false when unknown.
local function standing_of(player)
  local stamp = redis.call('HGET', PLAYERS, player)
  if not stamp then
    return false
  end
  local member = stamp .. player
  local score = redis.call('ZSCORE', ENTRIES, member)
  if not is_ranked(score) then
    return {stamp, score}
  end
  local place = redis.call('ZRANK', ENTRIES, member) - skipped
  return {stamp, score, rank_of(place, score), place}
end

-- Returns {rank of the first, {member, score, …}} of the ranked places from `first` to `last`.
local function page(first, last)
  if first < 0 or first > last then
    return {0, {}}
  end
  local rows = redis.call('ZRANGE', ENTRIES, skipped + first, skipped + last, 'WITHSCORES')
  return {rank_of(first, rows[2]), rows}
end

-- Returns the standing, the players strictly below, and the entry one place better as a page.
local function surroundings_of(player)
  local own = standing_of(player)
  if not own or #own == 2 then
    return own, 0, {0, {}}
  end
  local score, place = own[2], own[4]
  if policy == 'first_to_reach' then
    return own, total - place - 1, page(place - 1, place - 1)
  end
  local better = count_better(score)
  local below = redis.call('ZCOUNT', ENTRIES, '(' .. score, highest)
  return own, below, page(better - 1, better - 1)
end

local function answer(...)
  return cmsgpack.pack({meta, total, ...})
end
