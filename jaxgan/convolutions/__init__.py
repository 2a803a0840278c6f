"""The convolutions of the networks, with the algorithms that CPUs run fastest."""
