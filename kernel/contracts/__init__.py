"""What crosses between the parts, named once: topics and Redis keys."""
