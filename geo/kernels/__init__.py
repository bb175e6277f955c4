"""Compiled loops: numbers and arrays in, arrays out. The checked functions beside this package call them."""
