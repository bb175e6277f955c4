"""What authorization keeps in SQL, in tables of its own."""
