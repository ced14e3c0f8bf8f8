"""The sniffer without a screen: lines for each change, log lines, JSON objects."""
