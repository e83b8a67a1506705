"""IBM Quantum: devices by the sampler of its service."""
