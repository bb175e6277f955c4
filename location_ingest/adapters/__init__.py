"""One file for each tool that ingestion speaks to."""
