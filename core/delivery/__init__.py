"""The draft-PR gate and everything that leads to a remote write."""
