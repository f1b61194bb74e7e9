"""Tests of the folder `slides`."""
