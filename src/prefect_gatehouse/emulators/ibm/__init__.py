"""IBM Quantum as its unmodified SDK sees it: sign-in, instances, one machine with a calibration, and jobs of the sampler."""
