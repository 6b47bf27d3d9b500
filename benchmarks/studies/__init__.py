"""Quality and cost of hybrid search, feedback and latent terms on judged datasets."""
