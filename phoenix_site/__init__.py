"""Composition root of Phoenix: settings, entrances, admin site and runtime."""

__version__ = "0.1.0"
