"""Writes of the event log; each subject is a module of its own."""
