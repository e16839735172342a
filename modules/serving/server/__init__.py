"""A model server at hand: TF Serving's own interfaces over gRPC and REST, for small use."""
