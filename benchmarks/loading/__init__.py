"""Measure one epoch of training data through s3dlio and through its peers, and checkpoints, side by side.

`python -m benchmarks.loading` runs every row of `benchmarks.loading.rows`, `python -m benchmarks.loading.checkpoints`
saves and loads a state. Each measurement is a process of its own, the clients take turns, and medians are reported.
Nothing leaves 127.0.0.1.
"""
