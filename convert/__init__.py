"""Converts published checkpoints into network folders that `jaxgan` loads; PyTorch is not needed."""
