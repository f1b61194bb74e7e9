"""One file for each notebook whose exercises try out a DAG or a function: their judges."""
