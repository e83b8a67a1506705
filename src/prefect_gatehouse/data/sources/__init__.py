"""Where data comes from: files, objects in S3, a query, a frame."""
