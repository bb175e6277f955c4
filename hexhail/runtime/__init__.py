"""What every process needs: settings, connections, supervision, embedded servers, checks."""
