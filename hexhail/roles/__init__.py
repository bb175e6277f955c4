"""The process roles: one file per role, where settings, tools and engines meet."""
