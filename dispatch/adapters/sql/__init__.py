"""The ride store in SQL: one set of statements, two drivers."""
