"""Private real servers for tests, one of each kind per run."""
