"""The demo: index a folder of Python files with two node processes on one store. See `conduct.py` for how it goes."""
