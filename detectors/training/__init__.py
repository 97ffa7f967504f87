"""Training: one loop for training, fine-tuning and distillation; averaging; input sizes."""
