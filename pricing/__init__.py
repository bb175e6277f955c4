"""Pricing: what a trip costs, what surge asks on top, and the quote that holds a price still."""
