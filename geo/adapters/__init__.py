"""Readers of road data, one file per format. `geo.roads.rules` decides what a road is."""
