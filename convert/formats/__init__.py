"""The kinds of network files, each as a table of names."""
