"""The shells: one makes weights and puts them in force, the other follows them."""
