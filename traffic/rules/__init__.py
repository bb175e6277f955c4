"""Pure rules: what drives say about edges, how far weights may move, and which weights are refused."""
