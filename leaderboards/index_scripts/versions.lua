-- ARGV: layout.  Answers: what meta holds, while the index is whole.
return is_whole(ARGV[1]) and cmsgpack.pack({redis.call('HGETALL', META), 0})
