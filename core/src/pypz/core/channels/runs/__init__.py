"""Runs of a whole pipeline: begun, joined, rescaled, retired, cleaned up after."""
