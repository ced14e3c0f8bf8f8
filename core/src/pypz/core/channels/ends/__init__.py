"""The two ends of a port on its channels, and the thread between them and a transport's client."""
