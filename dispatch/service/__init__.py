"""Where waiting and deciding meet."""
