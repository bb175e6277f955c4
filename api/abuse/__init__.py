"""Recent activity of riders, counted in one place for all processes, and abuse flags for operators."""
