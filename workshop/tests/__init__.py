"""Tests of the workbook: what a user touches, from outside."""
