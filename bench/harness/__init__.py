"""What benches and tests of faults share: real processes, a record of what handlers did, a look at the store."""
