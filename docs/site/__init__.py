"""The documentation site: pages of the repository and generated references, built offline by Zensical (`make docs`)."""
