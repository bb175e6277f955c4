"""Tools without rules: what adapters and the wiring use to reach Kafka, Redis and SQL."""
