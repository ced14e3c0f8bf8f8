"""Channels and status streams in this process's memory: ``memory:NAME``."""
