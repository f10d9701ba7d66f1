"""`callboard cluster`: one module per command; `app.py` gathers them."""
