"""The ride store in SQL, and the migrations of its tables."""
