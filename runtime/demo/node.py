"""One node process of the demo: `python -m callboard.runtime.demo.node QUEUE SLOTS READY_FILE`.

What `callboard run` starts, with two differences: the store comes in the environment only (CALLBOARD_STORE), and the
node drains when its standard input ends, so that it never outlives the demo.
"""

from __future__ import annotations

import sys
import warnings

from ..patience import WAIT_S
from ..runtime import Runtime
from ..settings import Settings
from ..tether import end_with_parent
from .jobs import jobs

# A short lease, so that a killed node's jobs are taken over soon; and whoever kills here is the demo, not the job.
SETTINGS = Settings(lease="2s", grace="5s", max_crashes=1000)


def main() -> None:
    """Work on the demo's queue until the demo is done or gone."""
    queue, slots, ready_file = sys.argv[1:]
    # What the indexed files are warned about concerns their authors; as errors it would look like broken files.
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    end_with_parent()
    runtime = Runtime(settings=SETTINGS)
    runtime.include(jobs)
    runtime.run(queues={queue: int(slots)}, ready_file=ready_file, wait=WAIT_S)


if __name__ == "__main__":
    main()
