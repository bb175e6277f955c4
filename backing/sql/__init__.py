"""SQL databases: transactions as scripts, run over SQLite or PostgreSQL, and the migrations of all packages."""
