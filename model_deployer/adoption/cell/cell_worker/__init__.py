"""The program that runs in the environment of a source: it loads the source, and answers batches of rows.

It needs Python 3.6 or later and numpy; annotations that Python 3.6 does not know are texts. It is started as
``python -m cell_worker`` with this folder's parent as the only folder on ``PYTHONPATH``, so it imports nothing of this
project but its own modules.
"""
