"""The Open Inference Protocol over gRPC: a translation into the same protocol over REST, and back."""
