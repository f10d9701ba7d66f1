"""Node processes that are kept running: what `callboard cluster up` does once its command line was understood."""
