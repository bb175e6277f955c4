"""Who is asking: signed tokens and roles."""
