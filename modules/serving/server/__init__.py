"""A small model server with TF Serving's gRPC and REST interfaces."""
