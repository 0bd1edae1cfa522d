"""Starts, watches and stops the processes of a Phoenix; plain Python, usable before Django is set up."""
