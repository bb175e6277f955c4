"""Request and response bodies of the public routes: one file for each audience."""
