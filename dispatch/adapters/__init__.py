"""Adapters: one file per tool."""
