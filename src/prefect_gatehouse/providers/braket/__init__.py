"""Amazon Braket: devices and managed simulators."""
