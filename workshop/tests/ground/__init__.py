"""Tests of the folder `ground`."""
