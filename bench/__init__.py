"""Figures of this machine: ratios taken in one run, interleaved, medians with their spread."""
