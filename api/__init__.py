"""The edges: riders, drivers and operators over REST and WebSocket."""
