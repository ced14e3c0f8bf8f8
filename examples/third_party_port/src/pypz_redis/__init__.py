"""Channels of pypz over Redis Streams: ``redis://HOST[:PORT][/DATABASE]``, ``rediss://`` with TLS.

For one Redis server (7 or newer); not for Redis Cluster.
"""
