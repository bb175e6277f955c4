"""The record of prices in SQL, and the migrations of its tables."""
