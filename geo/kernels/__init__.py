"""Compiled loops: numbers and arrays in, arrays out. Arguments are checked by the functions that call them."""
