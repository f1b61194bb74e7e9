"""Tests of the folder `authoring`."""
