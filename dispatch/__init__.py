"""Who drives whom: requests, candidates, matching, offers and the life of a ride."""
