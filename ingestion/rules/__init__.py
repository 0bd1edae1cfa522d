"""The log's rules in plain Python: what a valid event is, when two are the same, where one goes."""
