"""The gateway in front of the API processes: an HAProxy, configured from the settings."""
