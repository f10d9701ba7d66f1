"""The runtime of bench/footprint.py, for `callboard run served:runtime`."""

from workload import registry

from callboard import Runtime

runtime = Runtime()
runtime.include(registry)
