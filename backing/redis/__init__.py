"""Redis and Valkey: server-side functions in versions that stand side by side."""
