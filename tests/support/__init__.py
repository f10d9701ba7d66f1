"""What several tests share; imported as `tests.support`."""
