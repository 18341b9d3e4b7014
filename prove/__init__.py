"""What Lumen promises of coins, tried on a real server with real callers, model servers and databases: `make prove`."""
