"""Measuring: what the workbook costs, and how the executors compare."""
