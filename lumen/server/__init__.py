"""One process that serves: the dispatcher in front of everything, health, headers, logs, start and stop."""
