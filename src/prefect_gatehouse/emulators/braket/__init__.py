"""Amazon Braket as its unmodified SDK sees it, made from botocore's own model of the service; results lie in an S3 that moto serves."""
