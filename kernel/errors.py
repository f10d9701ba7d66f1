"""placeholder until the kernel branch is merged"""


class CallboardError(Exception):
    """Root of every error that Callboard raises on purpose."""
