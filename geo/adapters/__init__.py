"""Readers of road data, one file per format. They translate; what a road is, the rules decide."""
