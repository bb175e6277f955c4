"""Where simulated drivers are and how they drive: ways, motion, tracks, congestion and zones."""
