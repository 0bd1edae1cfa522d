class StartError(Exception):
    """Phoenix, or a server that it needs, cannot start; the message is one line for a person."""

    exit_code = 1


class UsageError(StartError):
    """What the person asked for cannot be done as asked: a taken port, one URL alone."""

    exit_code = 2
