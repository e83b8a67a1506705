"""Synthetic data: a file of the same schema, marginals and correlations as a source, with no row and no rare value of it, measured."""
