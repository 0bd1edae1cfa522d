-- ARGV: player.  Answers: standing, players strictly below, the entry one place better as a page.
return answer(surroundings_of(ARGV[5]))
