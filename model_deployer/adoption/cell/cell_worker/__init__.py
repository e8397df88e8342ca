"""The program that runs in the environment of a source: it loads the source, and answers batches of rows.

It needs Python 3.7 or later and numpy. It is started as ``python -m cell_worker`` with this folder's parent as the
only folder on ``PYTHONPATH``, so it imports nothing of this project but its own modules.
"""
