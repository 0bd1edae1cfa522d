-- ARGV: size, offset, limit, the moment whose page the caller still has.
-- Answers: page, or false when nothing has changed since.
local epoch, sequence = '', 0
for i = 1, #meta, 2 do
  if meta[i] == 'epoch' then
    epoch = meta[i + 1]
  elseif string.sub(meta[i], 1, 6) == 'shard:' then
    sequence = sequence + tonumber(meta[i + 1])
  end
end
if ARGV[8] == string.format('%s:%d', epoch, sequence) then
  return answer(false)
end

local listed = math.min(total, tonumber(ARGV[5]))
local first = tonumber(ARGV[6])
return answer(page(first, math.min(first + tonumber(ARGV[7]), listed) - 1))
