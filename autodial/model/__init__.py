"""The domain's values and tables. Imports nothing else of this package."""
