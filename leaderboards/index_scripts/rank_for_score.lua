-- ARGV: score, player whose own entry does not count (may be empty).
-- Answers: strictly better players, strictly better scores, players with this score.
local score, own = ARGV[5], standing_of(ARGV[6])
local better = count_better(score)
local better_scores = redis.call('ZCOUNT', SCORES, lowest, '(' .. score)
local tied = redis.call('ZCOUNT', ENTRIES, score, score)
if own and #own > 2 then
  local own_score = own[2]
  if tonumber(own_score) < tonumber(score) then
    better = better - 1
    if policy == 'dense' and redis.call('ZCOUNT', ENTRIES, own_score, own_score) == 1 then
      better_scores = better_scores - 1
    end
  elseif tonumber(own_score) == tonumber(score) then
    tied = tied - 1
  end
end
return answer(better, better_scores, tied)
