"""People, sessions, keys, and who may do what."""
