"""Process runtime: settings, connections, supervision, embedded servers, health checks."""
