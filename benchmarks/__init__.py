"""Measure the same work through s3dlio and through its peers, side by side.

`python -m benchmarks` runs every row of `benchmarks.rows`. Each measurement is a process of its own, the
clients take turns, and medians are reported. Nothing leaves 127.0.0.1.
"""
