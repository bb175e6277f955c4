"""Ping ingestion: filters the pings of drivers and stores the accepted positions by cell."""
