"""The maths of pricing: fares and surge."""
