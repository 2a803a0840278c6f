"""The studies of `experiments.study`, one file each."""
