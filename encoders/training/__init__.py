"""The mathematics of fitting, without collections and indexes."""
