"""Where news, records and log lines come from: this process, status streams elsewhere, channels, the cluster."""
