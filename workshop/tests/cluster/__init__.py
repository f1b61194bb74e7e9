"""Tests of the clusters, and of the comparison of both DAGs under a fault."""
