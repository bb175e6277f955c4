"""Adapters of ingestion, one file per tool."""
