"""Conversion of published PyTorch checkpoints into network folders that `jaxgan` loads. Needs no PyTorch."""
