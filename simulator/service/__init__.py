"""The service in virtual time: dispatch, prices, leases and position tracking by the shipped engines."""
