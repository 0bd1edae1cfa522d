-- ARGV: size, offset, limit.  Answers: page.
local listed = math.min(total, tonumber(ARGV[5]))
local first = tonumber(ARGV[6])
return answer(page(first, math.min(first + tonumber(ARGV[7]), listed) - 1))
