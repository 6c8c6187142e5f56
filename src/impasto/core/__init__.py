"""The method: tensors in, tensors out. Read `method`, `objective`, `losses`, `statistics`, `optimize`, `pyramid`."""
