"""Tokenizers inside a TensorFlow graph, equal to Hugging Face's `tokenizers` on the same files."""
