"""Data: COCO reading and validation, the generated set, transforms, loading."""
