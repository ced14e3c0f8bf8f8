"""The command line ``pypz``; nothing else of pypz imports it."""
