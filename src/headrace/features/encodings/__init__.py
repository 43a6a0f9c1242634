"""The encodings beyond codes and plain numbers: one file an idea, each with its form by the batch and for a row."""
