"""A model that was trained elsewhere becomes the same artifact as a trained one.

The steps: read the source without running it (``source``), write a graph on raw fields (``graph``), ask the source
itself in a process of its own (``cell``), and prove that both give the same answers (``equality``).
"""
