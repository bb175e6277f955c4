"""Load by locust: riders and drivers over REST and WebSocket, on a web page (`make load`) or in steps.

Nothing in this folder imports locust, which patches the standard library of its process; `people/` does, and runs as
processes of its own.
"""
