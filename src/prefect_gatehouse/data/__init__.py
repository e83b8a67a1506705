"""What happens to data before anything leaves: read, minimised, counted, encrypted."""
