-- ARGV: player, limit.  Answers: as standing; then the place of the page's first entry, page.
local own, below, better = surroundings_of(ARGV[5])
if not own or #own == 2 then
  return answer(own, below, better, 0, {0, {}})
end
local limit = tonumber(ARGV[6])
local first = math.max(math.min(own[4] - math.floor((limit - 1) / 2), total - limit), 0)
return answer(own, below, better, first, page(first, math.min(first + limit, total) - 1))
