-- ARGV: players.  Answers: a standing, or false, for each.
local standings = {}
for i = 5, #ARGV do
  standings[i - 4] = standing_of(ARGV[i])
end
return answer(standings)
