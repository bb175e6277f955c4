"""Who asks for rides in a simulated day: read from files, drawn from zone totals, resampled."""
