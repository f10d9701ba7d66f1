"""The program that bench/cluster.py runs as a cluster: `harness.cluster_program:runtime`."""

from __future__ import annotations

import os

from callboard import Runtime
from harness.storm_node import jobs

runtime = Runtime()
runtime.include(jobs(os.environ["CLUSTER_RECORDS"], int(os.environ["CLUSTER_JOB_MS"])))
