"""A payment rail to try things with: three protocols, one honest record, every sin on demand."""
