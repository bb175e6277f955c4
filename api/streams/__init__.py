"""WebSockets: the streams of riders and drivers and the operators' live picture."""
