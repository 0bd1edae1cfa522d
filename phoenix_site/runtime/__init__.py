"""Starts, watches and stops the processes of a Phoenix; usable before Django is set up."""
