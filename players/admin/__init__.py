from players.admin import players

__all__ = ["players"]
